//! Macros over keys and values, or indices and items, at once.

use std::sync::Arc;

use super::macros::Maker;
use crate::ast::{ACCUMULATOR, Expr, Fold, Kind, Literal};

/// `all`, `exists` and `existsOne` with two variables.
pub(super) fn quantifier(
    make: &mut Maker<'_, '_>,
    function: &str,
    range: Expr,
    mut args: Vec<Expr>,
) -> Expr {
    let Some(predicate) = args.pop() else { return range };
    let (variable, second) = match variables(make, &args) {
        Ok(names) => names,
        Err(wrong) => return wrong,
    };
    let [init, condition, step, result] = make.quantified(function, predicate);
    let (second, accumulator) = (Some(second), ACCUMULATOR.into());
    make.fold(Fold { range, variable, second, accumulator, init, condition, step, result })
}

/// `transformList`, `transformMap` and `transformMapEntry`.
pub(super) fn transform(
    make: &mut Maker<'_, '_>,
    function: &str,
    range: Expr,
    mut args: Vec<Expr>,
) -> Expr {
    let Some(transform) = args.pop() else { return range };
    let filter = if args.len() == 3 { args.pop() } else { None };
    let (variable, second) = match variables(make, &args) {
        Ok(names) => names,
        Err(wrong) => return wrong,
    };
    let accumulator = make.accumulator();
    let step = match function {
        "transformList" => {
            let item = make.list(vec![transform]);
            make.call("_+_", vec![accumulator, item])
        }
        "transformMap" => {
            let key = make.ident(&variable);
            make.call("cel.@mapInsert", vec![accumulator, key, transform])
        }
        _ => make.call("cel.@mapInsert", vec![accumulator, transform]),
    };
    let step = make.filtered(filter, step);
    let init = match function {
        "transformList" => make.list(Vec::new()),
        _ => make.node(Kind::Map { entries: Vec::new() }),
    };
    let (condition, result) = (make.literal(Literal::Bool(true)), make.accumulator());
    let (second, accumulator) = (Some(second), ACCUMULATOR.into());
    make.fold(Fold { range, variable, second, accumulator, init, condition, step, result })
}

fn variables(make: &mut Maker<'_, '_>, args: &[Expr]) -> Result<(Arc<str>, Arc<str>), Expr> {
    const WRONG: &str = "argument must be a simple name";
    let first = make.variable(&args[0], WRONG)?;
    let second = make.variable(&args[1], WRONG)?;
    if first == second {
        return Err(make.wrong(&args[1], format!("duplicate variable name: {first}")));
    }
    Ok((first, second))
}

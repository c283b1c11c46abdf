//! Macros: calls that are rewritten while they are parsed.

use std::sync::Arc;

use super::pairs;
use super::parser::Parser;
use crate::ast::{ACCUMULATOR, Element, Expr, Fold, Kind, Literal, UNUSED};

/// The expression that a call stands for, or its parts if it is no macro.
pub(super) fn expand(
    parser: &mut Parser<'_>,
    id: usize,
    function: &str,
    target: Option<Expr>,
    args: Vec<Expr>,
) -> Result<Expr, (Option<Expr>, Vec<Expr>)> {
    let mut make = Maker { parser, id };
    let Some(target) = target else {
        return match (function, <[Expr; 1]>::try_from(args)) {
            ("has", Ok([arg])) => Ok(make.has(arg)),
            (_, Ok(args)) => Err((None, args.into())),
            (_, Err(args)) => Err((None, args)),
        };
    };
    match (function, args.len()) {
        ("all" | "exists" | "exists_one" | "map", 2 | 3)
        | ("filter", 2)
        | ("existsOne", 3)
        | ("optMap" | "optFlatMap" | "sortBy", 2)
        | ("transformList" | "transformMap" | "transformMapEntry", 3 | 4) => {}
        _ => return Err((Some(target), args)),
    }
    Ok(make.member(function, target, args))
}

/// Makes nodes at the place of the macro's call.
pub(super) struct Maker<'p, 's> {
    pub(super) parser: &'p mut Parser<'s>,
    id: usize,
}

impl Maker<'_, '_> {
    pub(super) fn node(&mut self, kind: Kind) -> Expr {
        let location = self.parser.location(self.id);
        Expr::new(self.parser.id(location), kind)
    }

    pub(super) fn ident(&mut self, name: &str) -> Expr {
        self.node(Kind::Ident(name.into()))
    }

    pub(super) fn accumulator(&mut self) -> Expr {
        self.ident(ACCUMULATOR)
    }

    pub(super) fn literal(&mut self, value: Literal) -> Expr {
        self.node(Kind::Literal(value))
    }

    pub(super) fn call(&mut self, function: &str, args: Vec<Expr>) -> Expr {
        self.node(Kind::Call { function: function.into(), target: None, args })
    }

    fn member_call(&mut self, function: &str, target: Expr, args: Vec<Expr>) -> Expr {
        self.node(Kind::Call { function: function.into(), target: Some(Box::new(target)), args })
    }

    pub(super) fn list(&mut self, elements: Vec<Expr>) -> Expr {
        let elements =
            elements.into_iter().map(|value| Element { value, optional: false }).collect();
        self.node(Kind::List { elements })
    }

    pub(super) fn wrong(&mut self, at: &Expr, message: impl Into<String>) -> Expr {
        let location = self.parser.location(at.id);
        self.parser.wrong(location, message)
    }

    pub(super) fn fold(&mut self, fold: Fold) -> Expr {
        self.node(Kind::Fold(Box::new(fold)))
    }

    fn has(&mut self, arg: Expr) -> Expr {
        match arg.kind {
            Kind::Select { operand, field, .. } => {
                self.node(Kind::Select { operand, field, test: true })
            }
            _ => self.wrong(&arg, "invalid argument to has() macro"),
        }
    }

    fn member(&mut self, function: &str, target: Expr, args: Vec<Expr>) -> Expr {
        let three = args.len() == 3;
        match function {
            "all" | "exists" | "exists_one" | "existsOne" if three => {
                pairs::quantifier(self, function, target, args)
            }
            "all" | "exists" | "exists_one" => self.quantifier(function, target, args),
            "map" => self.map(target, args),
            "filter" => self.filter(target, args),
            "optMap" | "optFlatMap" => self.optional_map(function, target, args),
            "sortBy" => self.sort_by(target, args),
            _ => pairs::transform(self, function, target, args),
        }
    }

    /// The name of an iteration variable.
    pub(super) fn variable(&mut self, arg: &Expr, wrong: &str) -> Result<Arc<str>, Expr> {
        match &arg.kind {
            Kind::Ident(name) if &**name == ACCUMULATOR || &**name == "__result__" => {
                Err(self.wrong(arg, "iteration variable overwrites accumulator variable"))
            }
            Kind::Ident(name) => Ok(name.clone()),
            _ => Err(self.wrong(arg, wrong)),
        }
    }

    /// The parts of a fold that decide for `all`, `exists` and `exists_one`.
    pub(super) fn quantified(&mut self, function: &str, predicate: Expr) -> [Expr; 4] {
        match function {
            "all" => {
                let accumulator = self.accumulator();
                let condition = self.call("@not_strictly_false", vec![accumulator]);
                let accumulator = self.accumulator();
                let step = self.call("_&&_", vec![accumulator, predicate]);
                [self.literal(Literal::Bool(true)), condition, step, self.accumulator()]
            }
            "exists" => {
                let accumulator = self.accumulator();
                let not = self.call("!_", vec![accumulator]);
                let condition = self.call("@not_strictly_false", vec![not]);
                let accumulator = self.accumulator();
                let step = self.call("_||_", vec![accumulator, predicate]);
                [self.literal(Literal::Bool(false)), condition, step, self.accumulator()]
            }
            _ => {
                let (accumulator, one) = (self.accumulator(), self.literal(Literal::Int(1)));
                let sum = self.call("_+_", vec![accumulator, one]);
                let accumulator = self.accumulator();
                let step = self.call("_?_:_", vec![predicate, sum, accumulator]);
                let (accumulator, one) = (self.accumulator(), self.literal(Literal::Int(1)));
                let result = self.call("_==_", vec![accumulator, one]);
                let condition = self.literal(Literal::Bool(true));
                [self.literal(Literal::Int(0)), condition, step, result]
            }
        }
    }

    fn quantifier(&mut self, function: &str, range: Expr, mut args: Vec<Expr>) -> Expr {
        let Some(predicate) = args.pop() else { return range };
        let variable = match self.variable(&args[0], "argument must be a simple name") {
            Ok(name) => name,
            Err(wrong) => return wrong,
        };
        let [init, condition, step, result] = self.quantified(function, predicate);
        let accumulator = ACCUMULATOR.into();
        self.fold(Fold {
            range,
            variable,
            second: None,
            accumulator,
            init,
            condition,
            step,
            result,
        })
    }

    fn map(&mut self, range: Expr, mut args: Vec<Expr>) -> Expr {
        let Some(transform) = args.pop() else { return range };
        let filter = if args.len() == 2 { args.pop() } else { None };
        let variable = match self.variable(&args[0], "argument is not an identifier") {
            Ok(name) => name,
            Err(wrong) => return wrong,
        };
        self.append(range, variable, filter, transform)
    }

    fn filter(&mut self, range: Expr, mut args: Vec<Expr>) -> Expr {
        let (Some(filter), Some(element)) = (args.pop(), args.pop()) else { return range };
        match self.variable(&element, "argument is not an identifier") {
            Ok(variable) => self.append(range, variable, Some(filter), element),
            Err(wrong) => wrong,
        }
    }

    fn append(
        &mut self,
        range: Expr,
        variable: Arc<str>,
        filter: Option<Expr>,
        element: Expr,
    ) -> Expr {
        let (accumulator, element) = (self.accumulator(), self.list(vec![element]));
        let step = self.call("_+_", vec![accumulator, element]);
        let step = self.filtered(filter, step);
        let (init, condition) = (self.list(Vec::new()), self.literal(Literal::Bool(true)));
        let result = self.accumulator();
        let accumulator = ACCUMULATOR.into();
        self.fold(Fold {
            range,
            variable,
            second: None,
            accumulator,
            init,
            condition,
            step,
            result,
        })
    }

    /// The step where the filter holds, otherwise what is there already.
    pub(super) fn filtered(&mut self, filter: Option<Expr>, step: Expr) -> Expr {
        match filter {
            Some(filter) => {
                let accumulator = self.accumulator();
                self.call("_?_:_", vec![filter, step, accumulator])
            }
            None => step,
        }
    }

    /// A fold over nothing whose accumulator is a name for a value.
    fn named(&mut self, name: Arc<str>, init: Expr, result: Expr) -> Expr {
        let (range, condition) = (self.list(Vec::new()), self.literal(Literal::Bool(false)));
        let step = self.ident(&name);
        self.fold(Fold {
            range,
            variable: UNUSED.into(),
            second: None,
            accumulator: name,
            init,
            condition,
            step,
            result,
        })
    }

    fn optional_map(&mut self, function: &str, target: Expr, mut args: Vec<Expr>) -> Expr {
        let (Some(result), Some(name)) = (args.pop(), args.pop()) else { return target };
        let Kind::Ident(variable) = &name.kind else {
            let message = format!("{function}() variable name must be a simple identifier");
            return self.wrong(&name, message);
        };
        let copy = self.copy(&target);
        let init = self.member_call("value", copy, Vec::new());
        let mut then = self.named(variable.clone(), init, result);
        if function == "optMap" {
            then = self.call("optional.of", vec![then]);
        }
        let condition = self.member_call("hasValue", target, Vec::new());
        let none = self.call("optional.none", Vec::new());
        self.call("_?_:_", vec![condition, then, none])
    }

    fn sort_by(&mut self, target: Expr, args: Vec<Expr>) -> Expr {
        const INPUT: &str = "@__sortBy_input__";
        if matches!(target.kind, Kind::Literal(_) | Kind::Map { .. } | Kind::Struct { .. }) {
            let message = "sortBy can only be applied to a list, identifier, comprehension, call \
                           or select expression";
            return self.wrong(&target, message);
        }
        let input = self.ident(INPUT);
        let keys = self.map(input, args);
        let input = self.ident(INPUT);
        let sorted = self.member_call("@sortByAssociatedKeys", input, vec![keys]);
        self.named(INPUT.into(), target, sorted)
    }

    /// The same expression with nodes of its own. A chain of macros that copy doubles with each,
    /// so there is a bound.
    fn copy(&mut self, expr: &Expr) -> Expr {
        if self.parser.is_large() {
            return self.wrong(expr, "expression is too large after its macros were expanded");
        }
        let mut copy = expr.clone();
        self.renumber(&mut copy);
        copy
    }

    fn renumber(&mut self, expr: &mut Expr) {
        expr.id = self.parser.id(self.parser.location(expr.id));
        match &mut expr.kind {
            Kind::Literal(_) | Kind::Ident(_) | Kind::Error => {}
            Kind::Select { operand, .. } => self.renumber(operand),
            Kind::Call { target, args, .. } => {
                target.iter_mut().for_each(|target| self.renumber(target));
                args.iter_mut().for_each(|arg| self.renumber(arg));
            }
            Kind::List { elements } => {
                elements.iter_mut().for_each(|element| self.renumber(&mut element.value));
            }
            Kind::Map { entries } => entries.iter_mut().for_each(|entry| {
                self.renumber(&mut entry.key);
                self.renumber(&mut entry.value);
            }),
            Kind::Struct { fields, .. } => fields.iter_mut().for_each(|field| {
                field.id = self.parser.id(self.parser.location(field.id));
                self.renumber(&mut field.value);
            }),
            Kind::Fold(fold) => {
                let Fold { range, init, condition, step, result, .. } = &mut **fold;
                for part in [range, init, condition, step, result] {
                    self.renumber(part);
                }
            }
        }
    }
}

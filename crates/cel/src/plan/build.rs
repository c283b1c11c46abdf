//! From a checked expression to what is evaluated.

use std::sync::Arc;

use super::constant;
use super::{Append, Call, Fold, Index, Node, Select};
use crate::ast::{ACCUMULATOR, Ast, Expr, Kind, Literal};
use crate::cost::{Estimate, Rule};
use crate::env::Env;
use crate::error::{CompileError, EvalError};
use crate::functions::{Functions, Overload, compile_regex};
use crate::program::Program;
use crate::types::Type;
use crate::value::{Key, Value};

/// The program of a checked expression.
pub(crate) fn plan(env: &Env, ast: &Ast, estimate: Estimate) -> Result<Program, CompileError> {
    let mut planner =
        Planner { env, ast, scopes: Vec::new(), inits: Vec::new(), slots: 0, globals: Vec::new() };
    let root =
        planner.node(&ast.root).map_err(|error| CompileError::instantiation(error.to_string()))?;
    let Planner { inits, slots, globals, .. } = planner;
    let (ty, height) = (ast.ty(&ast.root).clone(), ast.root.height);
    let selected = selected(&ast.root);
    Ok(Program { root, inits, slots, height, ty, estimate, globals, selected })
}

/// The fields that are selected from names.
fn selected(root: &Expr) -> Vec<(Arc<str>, Arc<str>)> {
    let mut found = Vec::new();
    root.visit(&mut |expr| match &expr.kind {
        Kind::Select { operand, field, .. } => {
            if let Kind::Ident(name) = &operand.kind {
                found.push((name.clone(), field.clone()));
            }
        }
        Kind::Call { function, args, .. } if &**function == "_?._" => {
            if let [Expr { kind: Kind::Ident(name), .. }, field] = &args[..]
                && let Kind::Literal(Literal::String(field)) = &field.kind
            {
                found.push((name.clone(), field.clone()));
            }
        }
        _ => {}
    });
    found
}

struct Planner<'e> {
    env: &'e Env,
    ast: &'e Ast,
    /// Variables of macros with their places, and the first values of accumulators.
    scopes: Vec<(Arc<str>, usize, Option<usize>)>,
    inits: Vec<Node>,
    slots: usize,
    globals: Vec<String>,
}

type Planned = Result<Node, EvalError>;

impl Planner<'_> {
    fn node(&mut self, expr: &Expr) -> Planned {
        Ok(match &expr.kind {
            Kind::Error => return Err(EvalError::new("erroneous expression")),
            Kind::Literal(literal) => Node::Const(value(literal)),
            Kind::Ident(name) => self.ident(name),
            Kind::Select { operand, field, test } => {
                let (operand, field) = (self.node(operand)?, field.clone());
                let select = Box::new(Select { operand, field, optional: false });
                if *test { Node::Has(select) } else { Node::Select(select) }
            }
            Kind::Call { function, target, args } => {
                self.call(expr, function, target.as_deref(), args)?
            }
            Kind::List { elements } => {
                let elements = elements
                    .iter()
                    .map(|element| Ok((self.node(&element.value)?, element.optional)))
                    .collect::<Result<_, EvalError>>()?;
                constant::list(elements)
            }
            Kind::Map { entries } => {
                let entries = entries
                    .iter()
                    .map(|e| Ok((self.node(&e.key)?, self.node(&e.value)?, e.optional)))
                    .collect::<Result<_, EvalError>>()?;
                constant::map(entries)
            }
            Kind::Struct { name, fields } => {
                let fields = fields
                    .iter()
                    .map(|f| Ok((f.name.clone(), self.node(&f.value)?, f.optional)))
                    .collect::<Result<_, EvalError>>()?;
                Node::Struct(name.trim_start_matches('.').into(), fields)
            }
            Kind::Fold(fold) => self.fold(fold)?,
        })
    }

    fn ident(&mut self, name: &str) -> Node {
        let found = self.scopes.iter().rev().find(|(known, ..)| &**known == name);
        if let Some((_, slot, init)) = found {
            return Node::Local(*slot, *init);
        }
        let name = name.trim_start_matches('.');
        match self.env.lookup(name) {
            Some(Type::Type(Some(ty))) if !self.env.is_variable(name) => {
                Node::Const(Value::Type((*ty).clone()))
            }
            _ => {
                if !self.globals.iter().any(|known| known == name) {
                    self.globals.push(name.to_owned());
                }
                Node::Global(name.into())
            }
        }
    }

    fn place(&mut self, name: &Arc<str>, init: Option<usize>) -> usize {
        let slot = self.slots;
        self.slots += 1;
        self.scopes.push((name.clone(), slot, init));
        slot
    }

    fn fold(&mut self, fold: &crate::ast::Fold) -> Planned {
        let range = self.node(&fold.range)?;
        let init = self.node(&fold.init)?;
        self.inits.push(init);
        let init = self.inits.len() - 1;
        let depth = self.scopes.len();
        let accumulator = self.place(&fold.accumulator, Some(init));
        let variable = self.place(&fold.variable, None);
        let second = fold.second.as_ref().map(|name| self.place(name, None));
        let condition = self.node(&fold.condition)?;
        let step = self.node(&fold.step)?;
        self.scopes.truncate(depth + 1);
        let result = self.node(&fold.result)?;
        self.scopes.truncate(depth);
        Ok(Node::Fold(Box::new(Fold {
            range,
            variable,
            second,
            accumulator,
            condition,
            step,
            result,
        })))
    }

    fn call(
        &mut self,
        expr: &Expr,
        function: &Arc<str>,
        target: Option<&Expr>,
        args: &[Expr],
    ) -> Planned {
        let accumulates = matches!(&**function, "_+_" | "cel.@mapInsert")
            && matches!(&args[0].kind, Kind::Ident(name) if &**name == ACCUMULATOR)
            && matches!(self.ast.ty(&args[0]), Type::List(_) | Type::Map(..));
        let mut planned = Vec::with_capacity(args.len() + 1);
        for arg in target.into_iter().chain(args) {
            planned.push(self.node(arg)?);
        }
        if let ("_[_]" | "_[?_]", [_, Node::Const(key)]) = (&**function, &planned[..])
            && Key::of(key).is_none()
        {
            return Err(EvalError::new(format!("invalid qualifier type: {}", key.go_type())));
        }
        let planned = match operator(function, planned) {
            Ok(node) => return Ok(node),
            Err(planned) => planned,
        };
        let functions = Functions::get();
        let candidates = self.ast.overloads.get(expr.id).map(Vec::as_slice).unwrap_or_default();
        let overload = match candidates {
            [one] => functions.overloads[*one].id,
            _ => "",
        };
        if matches!(overload, "optional_or_optional" | "optional_orValue_value") {
            if let Ok(both) = <[Node; 2]>::try_from(planned) {
                return Ok(Node::OptionalOr(Box::new(both), &**function == "orValue"));
            }
            return Err(EvalError::new(format!("no such overload: {function}")));
        }
        if overload == "in_list"
            && let Some(set) = constant::set(&planned[1])
        {
            let value = planned.into_iter().next().ok_or_else(EvalError::no_such_overload)?;
            return Ok(match set.is_empty() {
                true => Node::Const(Value::Bool(false)),
                false => Node::InSet(Box::new(value), set),
            });
        }
        let all = if candidates.len() == 1 {
            candidates
        } else {
            functions.named(function).unwrap_or(candidates)
        };
        let overloads: Vec<&Overload> =
            all.iter().map(|index| &functions.overloads[*index]).collect();
        let regex = match (&**function, planned.get(1)) {
            ("matches" | "find" | "findAll", Some(Node::Const(Value::String(pattern)))) => {
                Some(compile_regex(pattern)?)
            }
            _ => None,
        };
        let rule = Rule::of(function, overload);
        // As cel-go calls functions of many arguments, and those among which values decide.
        let stops = planned.len() > 2
            || regex.is_some()
            || overload == "string_format"
            || overloads.len() > 1 && !overloads.iter().any(|overload| overload.any);
        let call = Call { name: function.clone(), overloads, args: planned, rule, regex, stops };
        if accumulates && let Node::Local(accumulator, init) = call.args[0] {
            return Ok(Node::Append(Box::new(Append { accumulator, init, call })));
        }
        constant::conversion(call)
    }
}

/// The calls that are no functions, because they do not need all of their arguments or are
/// selections.
fn operator(function: &str, args: Vec<Node>) -> Result<Node, Vec<Node>> {
    fn exactly<const N: usize>(args: Vec<Node>) -> Result<Box<[Node; N]>, Vec<Node>> {
        <[Node; N]>::try_from(args).map(Box::new)
    }
    Ok(match function {
        "_&&_" => Node::And(exactly(args)?),
        "_||_" => Node::Or(exactly(args)?),
        "_?_:_" => Node::Ternary(exactly(args)?),
        "@not_strictly_false" => {
            let [arg] = *exactly(args)?;
            Node::NotStrictlyFalse(Box::new(arg))
        }
        "_[_]" | "_[?_]" => {
            let [operand, index] = *exactly(args)?;
            Node::Index(Box::new(Index { operand, index, optional: function == "_[?_]" }))
        }
        "_?._" => match *exactly(args)? {
            [operand, Node::Const(Value::String(field))] => {
                let field = Arc::from(&*field);
                Node::Select(Box::new(Select { operand, field, optional: true }))
            }
            both => return Err(both.into()),
        },
        _ => return Err(args),
    })
}

fn value(literal: &Literal) -> Value<'static> {
    match literal {
        Literal::Null => Value::Null,
        Literal::Bool(value) => Value::Bool(*value),
        Literal::Int(value) => Value::Int(*value),
        Literal::Uint(value) => Value::Uint(*value),
        Literal::Double(value) => Value::Double(*value),
        Literal::String(text) => Value::text(text.clone()),
        Literal::Bytes(bytes) => Value::Bytes(bytes.clone()),
    }
}

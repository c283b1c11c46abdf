//! Errors of literals whose types are right.

use crate::ast::{Ast, Expr, Kind, Literal};
use crate::budget::Budget;
use crate::error::Issue;
use crate::functions::{Functions, check_format, compile_regex};
use crate::types::Type;
use crate::value::Value;

/// Everything that is wrong.
pub(super) fn validate(ast: &Ast) -> Vec<Issue> {
    let mut issues = Vec::new();
    ast.root.visit(&mut |expr| {
        let Kind::Call { function, target, args } = &expr.kind else { return };
        match &**function {
            "duration" | "timestamp" | "matches" => {
                let Some(Kind::Literal(literal)) = args.first().map(|arg| &arg.kind) else {
                    return;
                };
                if !is_valid(function, literal) {
                    let location = ast.location(args[0].id);
                    let message = format!("invalid {function} argument");
                    issues.push(Issue { location, message });
                }
            }
            "format" => {
                let Some(Kind::Literal(Literal::String(text))) =
                    target.as_ref().map(|target| &target.kind)
                else {
                    return;
                };
                if let Some(Kind::List { elements }) = args.first().map(|arg| &arg.kind) {
                    let args: Vec<&Expr> = elements.iter().map(|e| &e.value).collect();
                    if let Err((id, message)) = check_format(text, &args, ast) {
                        let location = ast.location(id.unwrap_or(expr.id));
                        issues.push(Issue { location, message });
                    }
                }
            }
            _ => {}
        }
    });
    homogeneous(&ast.root, ast, &mut issues);
    issues
}

fn is_valid(function: &str, literal: &Literal) -> bool {
    let value = match literal {
        Literal::String(text) if function == "matches" => return compile_regex(text).is_ok(),
        Literal::String(text) => Value::text(text.clone()),
        Literal::Int(value) => Value::Int(*value),
        _ => return true,
    };
    let functions = Functions::get();
    let args = [value];
    let overloads = functions.named(function).unwrap_or_default();
    let overload =
        overloads.iter().map(|index| &functions.overloads[*index]).find(|o| o.takes(&args));
    overload.is_none_or(|o| (o.function)(&args, &mut Budget::default()).is_ok())
}

/// Lists and maps have elements of one type, even where any type would do; not within `format`.
fn homogeneous(expr: &Expr, ast: &Ast, issues: &mut Vec<Issue>) {
    let part = |part: &Expr, optional: bool| match ast.ty(part) {
        Type::Optional(inner) if optional => (**inner).clone(),
        ty => ty.clone(),
    };
    let mut wrong = |part: &Expr, expected: &Type, found: &Type| {
        let message = format!("expected type '{expected}' but found '{found}'");
        issues.push(Issue { location: ast.location(part.id), message });
    };
    match &expr.kind {
        Kind::Call { function, .. } if &**function == "format" => return,
        Kind::List { elements } => {
            let types = elements.iter().map(|e| (&e.value, part(&e.value, e.optional)));
            let mut first: Option<Type> = None;
            for (value, ty) in types {
                match &first {
                    None => first = Some(ty),
                    Some(first) if first.is_exactly(&ty) => {}
                    Some(first) => {
                        wrong(value, first, &ty);
                        break;
                    }
                }
            }
        }
        Kind::Map { entries } => {
            let mut first: Option<(Type, Type)> = None;
            for entry in entries {
                let key = part(&entry.key, false);
                let value = part(&entry.value, entry.optional);
                let Some((keys, values)) = &first else {
                    first = Some((key, value));
                    continue;
                };
                if !keys.is_exactly(&key) {
                    wrong(&entry.key, keys, &key);
                }
                if !values.is_exactly(&value) {
                    wrong(&entry.value, values, &value);
                }
            }
        }
        _ => {}
    }
    for child in expr.children() {
        homogeneous(child, ast, issues);
    }
}

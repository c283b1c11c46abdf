//! Values that may be absent.

use super::lists::list;
use super::standard::unreachable;
use super::{Outcome, Row};
use crate::budget::Budget;
use crate::error::EvalError;
use crate::value::Value;

pub(super) const ROWS: &[Row] = &[
    ("optional.of", "optional_of", "(V) -> optional(V)", of),
    ("optional.ofNonZeroValue", "optional_ofNonZeroValue", "(V) -> optional(V)", of_non_zero),
    ("optional.none", "optional_none", "() -> optional(V)", none),
    ("value", "optional_value", ".(optional(V)) -> V", value),
    ("hasValue", "optional_hasValue", ".(optional(V)) -> bool", has_value),
    ("or", "optional_or_optional", "!.(optional(V), optional(V)) -> optional(V)", unreachable),
    ("orValue", "optional_orValue_value", "!.(optional(V), V) -> V", unreachable),
    ("_?._", "select_optional_field", "!(dyn, string) -> optional(V)", unreachable),
    ("_[?_]", "list_optindex_optional_int", "!(list(V), int) -> optional(V)", unreachable),
    (
        "_[?_]",
        "optional_list_optindex_optional_int",
        "!(optional(list(V)), int) -> optional(V)",
        unreachable,
    ),
    ("_[?_]", "map_optindex_optional_value", "!(map(K, V), K) -> optional(V)", unreachable),
    (
        "_[?_]",
        "optional_map_optindex_optional_value",
        "!(optional(map(K, V)), K) -> optional(V)",
        unreachable,
    ),
    ("_[_]", "optional_list_index_int", "!(optional(list(V)), int) -> optional(V)", unreachable),
    ("_[_]", "optional_map_index_value", "!(optional(map(K, V)), K) -> optional(V)", unreachable),
    ("last", "list_last", ".(list(V)) -> optional(V)", last),
    ("first", "list_first", ".(list(V)) -> optional(V)", first),
    ("optional.unwrap", "optional_unwrap", "(list(optional(V))) -> list(V)", unwrap),
    ("unwrapOpt", "optional_unwrapOpt", ".(list(optional(V))) -> list(V)", unwrap),
];

fn of<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    Ok(Value::some(args[0].clone()))
}

fn of_non_zero<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    match args[0].is_zero() {
        true => Ok(Value::Optional(None)),
        false => Ok(Value::some(args[0].clone())),
    }
}

fn none<'a>(_: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    Ok(Value::Optional(None))
}

fn value<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    match &args[0] {
        Value::Optional(Some(value)) => Ok((**value).clone()),
        _ => Err(EvalError::new("optional.none() dereference")),
    }
}

fn has_value<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    Ok(Value::Bool(matches!(args[0], Value::Optional(Some(_)))))
}

fn first<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    Ok(match list(args, 0)?.get(0) {
        Some(item) => Value::some(item?),
        None => Value::Optional(None),
    })
}

fn last<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    let list = list(args, 0)?;
    Ok(match list.len().checked_sub(1).and_then(|index| list.get(index)) {
        Some(item) => Value::some(item?),
        None => Value::Optional(None),
    })
}

fn unwrap<'a>(args: &[Value<'a>], budget: &mut Budget) -> Outcome<'a> {
    let mut values = Vec::new();
    for item in list(args, 0)?.iter() {
        match item? {
            Value::Optional(Some(value)) => values.push((*value).clone()),
            Value::Optional(None) => {}
            other => return Err(EvalError::new(format!("value {other} is not optional"))),
        }
    }
    budget.allocate(values.len() * size_of::<Value<'_>>())?;
    Ok(Value::list(values))
}

//! Lists as sets.

use super::lists::list;
use super::{Outcome, Row};
use crate::budget::Budget;
use crate::error::EvalError;
use crate::value::Value;

pub(super) const ROWS: &[Row] = &[
    ("sets.contains", "list_sets_contains_list", "(list(T), list(T)) -> bool", contains),
    ("sets.equivalent", "list_sets_equivalent_list", "(list(T), list(T)) -> bool", equivalent),
    ("sets.intersects", "list_sets_intersects_list", "(list(T), list(T)) -> bool", intersects),
];

fn all_of(part: &Value<'_>, whole: &Value<'_>) -> Result<bool, EvalError> {
    let (Value::List(part), Value::List(whole)) = (part, whole) else {
        return Err(EvalError::no_such_overload());
    };
    for item in part.iter() {
        if !whole.contains(&item?)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn contains<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    all_of(&args[1], &args[0]).map(Value::Bool)
}

fn equivalent<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    Ok(Value::Bool(all_of(&args[1], &args[0])? && all_of(&args[0], &args[1])?))
}

fn intersects<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    let (one, other) = (list(args, 0)?, list(args, 1)?);
    let found = one.iter().any(|item| matches!(item.and_then(|i| other.contains(&i)), Ok(true)));
    Ok(Value::Bool(found))
}

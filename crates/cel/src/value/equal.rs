//! Equality across types.

use std::cmp::Ordering;

use super::order::compare_numbers;
use super::{Opaque, Value};
use crate::error::EvalError;

/// Values that nest deeper are not compared.
const MAX_DEPTH: usize = 512;

/// True if two values are equal. Values of different types are not, except numbers.
pub(crate) fn equal<'a>(left: &Value<'a>, right: &Value<'a>) -> Result<bool, EvalError> {
    equal_at(left, right, MAX_DEPTH)
}

pub(super) fn equal_at<'a>(
    left: &Value<'a>,
    right: &Value<'a>,
    depth: usize,
) -> Result<bool, EvalError> {
    let Some(depth) = depth.checked_sub(1) else {
        return Err(EvalError::new("values nest too deeply to be compared"));
    };
    Ok(match (left, right) {
        (Value::Null, Value::Null) => true,
        (Value::Null, _) | (_, Value::Null) => false,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::String(a), Value::String(b)) => a == b,
        (Value::Bytes(a), Value::Bytes(b)) => a == b,
        (Value::Duration(a), Value::Duration(b)) => a == b,
        (Value::Timestamp(a), Value::Timestamp(b)) => a == b,
        (Value::Type(a), Value::Type(b)) => a.name() == b.name(),
        (Value::List(a), Value::List(b)) => a.equals(b, depth)?,
        (Value::Map(a), Value::Map(b)) => a.equals(b, depth)?,
        (Value::Optional(a), Value::Optional(b)) => match (a, b) {
            (Some(a), Some(b)) => equal_at(a, b, depth)?,
            (a, b) => a.is_none() && b.is_none(),
        },
        (Value::Opaque(a), Value::Opaque(b)) => opaque(a, b)?,
        // A value that a schema declares or a library made knows only its own kind.
        (Value::List(list), _) if list.is_declared() => return Err(EvalError::no_such_overload()),
        (Value::Map(map), _) if map.is_declared() => return Err(EvalError::no_such_overload()),
        (Value::Opaque(_), _) => return Err(EvalError::no_such_overload()),
        _ => compare_numbers(left, right) == Some(Some(Ordering::Equal)),
    })
}

fn opaque(left: &Opaque<'_>, right: &Opaque<'_>) -> Result<bool, EvalError> {
    match (left, right) {
        (Opaque::Quantity(a), Opaque::Quantity(b)) => Ok(a == b),
        (Opaque::Url(a), Opaque::Url(b)) => Ok(a.text() == b.text()),
        (Opaque::Ip(a), Opaque::Ip(b)) => Ok(a == b),
        (Opaque::Cidr(a), Opaque::Cidr(b)) => Ok(a == b),
        (Opaque::Semver(a), Opaque::Semver(b)) => Ok(a.cmp(b) == Ordering::Equal),
        (Opaque::Format(a), Opaque::Format(b)) => Ok(a.name == b.name),
        _ => Err(EvalError::no_such_overload()),
    }
}

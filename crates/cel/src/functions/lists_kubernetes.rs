//! Kubernetes' lists library.

use std::cmp::Ordering;

use super::lists::list;
use super::{Outcome, Row};
use crate::budget::Budget;
use crate::error::EvalError;
use crate::value::{self, Value};

pub(super) const ROWS: &[Row] = &[
    ("isSorted", "list_$_is_sorted_bool", ".(list($)) -> bool", is_sorted),
    ("sum", "list_int_sum_int", ".(list(int)) -> int", sum_int),
    ("sum", "list_uint_sum_uint", ".(list(uint)) -> uint", sum_uint),
    ("sum", "list_double_sum_double", ".(list(double)) -> double", sum_double),
    ("sum", "list_duration_sum_duration", ".(list(duration)) -> duration", sum_duration),
    ("max", "list_$_max_$", ".(list($)) -> $", max),
    ("min", "list_$_min_$", ".(list($)) -> $", min),
    ("indexOf", "list_a_index_of_int", ".(list(A), A) -> int", index_of),
    ("lastIndexOf", "list_a_last_index_of_int", ".(list(A), A) -> int", last_index_of),
];

fn is_sorted<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    let mut previous: Option<Value<'a>> = None;
    for item in list(args, 0)?.iter() {
        let item = item?;
        if !value::is_ordered(&item) {
            return Err(EvalError::no_such_overload());
        }
        if let Some(previous) = &previous
            && matches!(value::compare(previous, &item), Ok(Ordering::Greater))
        {
            return Ok(Value::Bool(false));
        }
        previous = Some(item);
    }
    Ok(Value::Bool(true))
}

fn sum<'a>(args: &[Value<'a>], zero: Value<'a>, budget: &mut Budget) -> Outcome<'a> {
    let mut total = zero;
    for item in list(args, 0)?.iter() {
        total = value::add(&total, &item?, budget)?;
    }
    Ok(total)
}

fn sum_int<'a>(args: &[Value<'a>], budget: &mut Budget) -> Outcome<'a> {
    sum(args, Value::Int(0), budget)
}

fn sum_uint<'a>(args: &[Value<'a>], budget: &mut Budget) -> Outcome<'a> {
    sum(args, Value::Uint(0), budget)
}

fn sum_double<'a>(args: &[Value<'a>], budget: &mut Budget) -> Outcome<'a> {
    sum(args, Value::Double(0.0), budget)
}

fn sum_duration<'a>(args: &[Value<'a>], budget: &mut Budget) -> Outcome<'a> {
    sum(args, Value::Duration(0), budget)
}

/// The item that no other precedes in the order.
fn first<'a>(args: &[Value<'a>], name: &str, other_wins: Ordering) -> Outcome<'a> {
    let mut found: Option<Value<'a>> = None;
    for item in list(args, 0)?.iter() {
        let item = item?;
        if !value::is_ordered(&item) {
            return Err(EvalError::no_such_overload());
        }
        let wins = match &found {
            Some(found) => value::compare(found, &item) == Ok(other_wins),
            None => true,
        };
        if wins {
            found = Some(item);
        }
    }
    found.ok_or_else(|| EvalError::new(format!("{name} called on empty list")))
}

fn max<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    first(args, "max", Ordering::Less)
}

fn min<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    first(args, "min", Ordering::Greater)
}

fn is_at<'a>(args: &[Value<'a>], index: usize) -> Result<bool, EvalError> {
    let item = list(args, 0)?.get(index);
    Ok(matches!(item.map(|item| value::equal(&item?, &args[1])), Some(Ok(true))))
}

fn position<'a>(args: &[Value<'a>], mut places: impl Iterator<Item = usize>) -> Outcome<'a> {
    let found = places.find(|index| matches!(is_at(args, *index), Ok(true)));
    Ok(Value::Int(found.map_or(-1, |index| index as i64)))
}

fn index_of<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    position(args, 0..list(args, 0)?.len())
}

fn last_index_of<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    position(args, (0..list(args, 0)?.len()).rev())
}

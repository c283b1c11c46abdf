//! Operators and `size`.

use std::cmp::Ordering;

use super::{Outcome, Row};
use crate::budget::Budget;
use crate::error::EvalError;
use crate::value::{self, Key, Map, OwnedMap, Value};

pub(super) const ROWS: &[Row] = &[
    // These are done by the evaluator: they do not need all of their arguments, or are selections.
    ("_?_:_", "conditional", "!(bool, A, A) -> A", unreachable),
    ("_&&_", "logical_and", "!(bool, bool) -> bool", unreachable),
    ("_||_", "logical_or", "!(bool, bool) -> bool", unreachable),
    ("@not_strictly_false", "not_strictly_false", "!(bool) -> bool", unreachable),
    ("_==_", "equals", "!(A, A) -> bool", equals),
    ("_!=_", "not_equals", "!(A, A) -> bool", not_equals),
    ("_[_]", "index_list", "!(list(A), int) -> A", unreachable),
    ("_[_]", "index_map", "!(map(A, B), A) -> B", unreachable),
    ("!_", "logical_not", "!(bool) -> bool", not),
    ("@in", "in_list", "!(A, list(A)) -> bool", contains),
    ("@in", "in_map", "!(A, map(A, B)) -> bool", contains),
    ("_+_", "add_bytes", "!(bytes, bytes) -> bytes", add),
    ("_+_", "add_double", "!(double, double) -> double", add),
    ("_+_", "add_duration_duration", "!(duration, duration) -> duration", add),
    ("_+_", "add_duration_timestamp", "!(duration, timestamp) -> timestamp", add),
    ("_+_", "add_timestamp_duration", "!(timestamp, duration) -> timestamp", add),
    ("_+_", "add_int64", "!(int, int) -> int", add),
    ("_+_", "add_list", "!(list(A), list(A)) -> list(A)", add),
    ("_+_", "add_string", "!(string, string) -> string", add),
    ("_+_", "add_uint64", "!(uint, uint) -> uint", add),
    ("_/_", "divide_double", "!(double, double) -> double", divide),
    ("_/_", "divide_int64", "!(int, int) -> int", divide),
    ("_/_", "divide_uint64", "!(uint, uint) -> uint", divide),
    ("_%_", "modulo_int64", "!(int, int) -> int", modulo),
    ("_%_", "modulo_uint64", "!(uint, uint) -> uint", modulo),
    ("_*_", "multiply_double", "!(double, double) -> double", multiply),
    ("_*_", "multiply_int64", "!(int, int) -> int", multiply),
    ("_*_", "multiply_uint64", "!(uint, uint) -> uint", multiply),
    ("-_", "negate_double", "!(double) -> double", negate),
    ("-_", "negate_int64", "!(int) -> int", negate),
    ("_-_", "subtract_double", "!(double, double) -> double", subtract),
    ("_-_", "subtract_duration_duration", "!(duration, duration) -> duration", subtract),
    ("_-_", "subtract_int64", "!(int, int) -> int", subtract),
    ("_-_", "subtract_timestamp_duration", "!(timestamp, duration) -> timestamp", subtract),
    ("_-_", "subtract_timestamp_timestamp", "!(timestamp, timestamp) -> duration", subtract),
    ("_-_", "subtract_uint64", "!(uint, uint) -> uint", subtract),
    ("_<_", "less_bool", "!(bool, bool) -> bool", less),
    ("_<_", "less_int64", "!(int, int) -> bool", less),
    ("_<_", "less_int64_double", "!(int, double) -> bool", less),
    ("_<_", "less_int64_uint64", "!(int, uint) -> bool", less),
    ("_<_", "less_uint64", "!(uint, uint) -> bool", less),
    ("_<_", "less_uint64_double", "!(uint, double) -> bool", less),
    ("_<_", "less_uint64_int64", "!(uint, int) -> bool", less),
    ("_<_", "less_double", "!(double, double) -> bool", less),
    ("_<_", "less_double_int64", "!(double, int) -> bool", less),
    ("_<_", "less_double_uint64", "!(double, uint) -> bool", less),
    ("_<_", "less_string", "!(string, string) -> bool", less),
    ("_<_", "less_bytes", "!(bytes, bytes) -> bool", less),
    ("_<_", "less_timestamp", "!(timestamp, timestamp) -> bool", less),
    ("_<_", "less_duration", "!(duration, duration) -> bool", less),
    ("_<=_", "less_equals_bool", "!(bool, bool) -> bool", less_equals),
    ("_<=_", "less_equals_int64", "!(int, int) -> bool", less_equals),
    ("_<=_", "less_equals_int64_double", "!(int, double) -> bool", less_equals),
    ("_<=_", "less_equals_int64_uint64", "!(int, uint) -> bool", less_equals),
    ("_<=_", "less_equals_uint64", "!(uint, uint) -> bool", less_equals),
    ("_<=_", "less_equals_uint64_double", "!(uint, double) -> bool", less_equals),
    ("_<=_", "less_equals_uint64_int64", "!(uint, int) -> bool", less_equals),
    ("_<=_", "less_equals_double", "!(double, double) -> bool", less_equals),
    ("_<=_", "less_equals_double_int64", "!(double, int) -> bool", less_equals),
    ("_<=_", "less_equals_double_uint64", "!(double, uint) -> bool", less_equals),
    ("_<=_", "less_equals_string", "!(string, string) -> bool", less_equals),
    ("_<=_", "less_equals_bytes", "!(bytes, bytes) -> bool", less_equals),
    ("_<=_", "less_equals_timestamp", "!(timestamp, timestamp) -> bool", less_equals),
    ("_<=_", "less_equals_duration", "!(duration, duration) -> bool", less_equals),
    ("_>_", "greater_bool", "!(bool, bool) -> bool", greater),
    ("_>_", "greater_int64", "!(int, int) -> bool", greater),
    ("_>_", "greater_int64_double", "!(int, double) -> bool", greater),
    ("_>_", "greater_int64_uint64", "!(int, uint) -> bool", greater),
    ("_>_", "greater_uint64", "!(uint, uint) -> bool", greater),
    ("_>_", "greater_uint64_double", "!(uint, double) -> bool", greater),
    ("_>_", "greater_uint64_int64", "!(uint, int) -> bool", greater),
    ("_>_", "greater_double", "!(double, double) -> bool", greater),
    ("_>_", "greater_double_int64", "!(double, int) -> bool", greater),
    ("_>_", "greater_double_uint64", "!(double, uint) -> bool", greater),
    ("_>_", "greater_string", "!(string, string) -> bool", greater),
    ("_>_", "greater_bytes", "!(bytes, bytes) -> bool", greater),
    ("_>_", "greater_timestamp", "!(timestamp, timestamp) -> bool", greater),
    ("_>_", "greater_duration", "!(duration, duration) -> bool", greater),
    ("_>=_", "greater_equals_bool", "!(bool, bool) -> bool", greater_equals),
    ("_>=_", "greater_equals_int64", "!(int, int) -> bool", greater_equals),
    ("_>=_", "greater_equals_int64_double", "!(int, double) -> bool", greater_equals),
    ("_>=_", "greater_equals_int64_uint64", "!(int, uint) -> bool", greater_equals),
    ("_>=_", "greater_equals_uint64", "!(uint, uint) -> bool", greater_equals),
    ("_>=_", "greater_equals_uint64_double", "!(uint, double) -> bool", greater_equals),
    ("_>=_", "greater_equals_uint64_int64", "!(uint, int) -> bool", greater_equals),
    ("_>=_", "greater_equals_double", "!(double, double) -> bool", greater_equals),
    ("_>=_", "greater_equals_double_int64", "!(double, int) -> bool", greater_equals),
    ("_>=_", "greater_equals_double_uint64", "!(double, uint) -> bool", greater_equals),
    ("_>=_", "greater_equals_string", "!(string, string) -> bool", greater_equals),
    ("_>=_", "greater_equals_bytes", "!(bytes, bytes) -> bool", greater_equals),
    ("_>=_", "greater_equals_timestamp", "!(timestamp, timestamp) -> bool", greater_equals),
    ("_>=_", "greater_equals_duration", "!(duration, duration) -> bool", greater_equals),
    ("size", "size_bytes", "!(bytes) -> int", size),
    ("size", "bytes_size", "!.(bytes) -> int", size),
    ("size", "size_list", "!(list(A)) -> int", size),
    ("size", "list_size", "!.(list(A)) -> int", size),
    ("size", "size_map", "!(map(A, B)) -> int", size),
    ("size", "map_size", "!.(map(A, B)) -> int", size),
    ("size", "size_string", "!(string) -> int", size),
    ("size", "string_size", "!.(string) -> int", size),
    ("cel.@mapInsert", "@mapInsert_map_key_value", "(map(K, V), K, V) -> map(K, V)", insert),
    ("cel.@mapInsert", "@mapInsert_map_map", "(map(K, V), map(K, V)) -> map(K, V)", insert_all),
];

pub(super) fn unreachable<'a>(_: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    Err(EvalError::no_such_overload())
}

fn equals<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    value::equal(&args[0], &args[1]).map(Value::Bool)
}

/// Values that cannot be compared are not equal.
fn not_equals<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    Ok(Value::Bool(!matches!(value::equal(&args[0], &args[1]), Ok(true))))
}

fn not<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    match &args[0] {
        Value::Bool(value) => Ok(Value::Bool(!value)),
        _ => Err(EvalError::no_such_overload()),
    }
}

fn contains<'a>(args: &[Value<'a>], budget: &mut Budget) -> Outcome<'a> {
    match &args[1] {
        Value::List(list) => list.contains(&args[0]).map(Value::Bool),
        Value::Map(map) => match map.find(&args[0], budget) {
            Some(Err(error)) => Err(error),
            found => Ok(Value::Bool(found.is_some())),
        },
        _ => Err(EvalError::no_such_overload()),
    }
}

fn add<'a>(args: &[Value<'a>], budget: &mut Budget) -> Outcome<'a> {
    value::add(&args[0], &args[1], budget)
}

fn subtract<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    value::subtract(&args[0], &args[1])
}

fn multiply<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    value::multiply(&args[0], &args[1])
}

fn divide<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    value::divide(&args[0], &args[1])
}

fn modulo<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    value::modulo(&args[0], &args[1])
}

fn negate<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    value::negate(&args[0])
}

fn order(args: &[Value<'_>], operator: &str) -> Result<Ordering, EvalError> {
    if !value::is_ordered(&args[0]) {
        return Err(EvalError::new(format!("no such overload: {operator}")));
    }
    value::compare(&args[0], &args[1])
}

fn less<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    Ok(Value::Bool(order(args, "_<_")?.is_lt()))
}

fn less_equals<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    Ok(Value::Bool(order(args, "_<=_")?.is_le()))
}

fn greater<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    Ok(Value::Bool(order(args, "_>_")?.is_gt()))
}

fn greater_equals<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    Ok(Value::Bool(order(args, "_>=_")?.is_ge()))
}

fn size<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    match args[0].size() {
        Some(size) => Ok(Value::Int(size as i64)),
        None if matches!(args[0], Value::Duration(_) | Value::Timestamp(_)) => {
            Err(EvalError::no_such_overload())
        }
        None => Err(EvalError::new("no such overload: size")),
    }
}

/// The entries of a map that is added to. The evaluator adds to its accumulator in place.
fn entries<'a>(map: &Value<'a>, budget: &mut Budget) -> Result<OwnedMap<'a>, EvalError> {
    let Value::Map(map) = map else { return Err(EvalError::no_such_overload()) };
    budget.allocate(map.len() * ENTRY)?;
    let mut entries = OwnedMap::new();
    for key in map.keys() {
        if let (Some(place), Some(value)) = (Key::of(&key), map.find(&key, budget)) {
            entries.insert(place, (key, value?));
        }
    }
    Ok(entries)
}

/// How many bytes an entry takes, about.
const ENTRY: usize = 128;

/// Adds an entry whose key is not there yet.
pub(crate) fn insert_into<'a>(
    map: &mut OwnedMap<'a>,
    key: Value<'a>,
    value: Value<'a>,
    budget: &mut Budget,
) -> Result<(), EvalError> {
    budget.allocate(ENTRY)?;
    let Some(place) = Key::of(&key) else {
        return Err(EvalError::new(format!("unsupported key type: {}", key.ty().name())));
    };
    match map.entry(place) {
        std::collections::btree_map::Entry::Occupied(_) => {
            Err(EvalError::new(format!("insert failed: key {key} already exists")))
        }
        std::collections::btree_map::Entry::Vacant(free) => {
            free.insert((key, value));
            Ok(())
        }
    }
}

fn insert<'a>(args: &[Value<'a>], budget: &mut Budget) -> Outcome<'a> {
    let mut map = entries(&args[0], budget)?;
    insert_into(&mut map, args[1].clone(), args[2].clone(), budget)?;
    Ok(Value::Map(Map::Owned(map.into())))
}

fn insert_all<'a>(args: &[Value<'a>], budget: &mut Budget) -> Outcome<'a> {
    let mut map = entries(&args[0], budget)?;
    for (_, (key, value)) in entries(&args[1], budget)? {
        insert_into(&mut map, key, value, budget)?;
    }
    Ok(Value::Map(Map::Owned(map.into())))
}

//! Conversions between types.

use std::sync::Arc;

use super::{Outcome, Row};
use crate::budget::Budget;
use crate::error::EvalError;
use crate::types::Type;
use crate::value::{
    self, Timestamp, Value, double_text, double_to_int, double_to_uint, duration_text,
};

pub(super) const ROWS: &[Row] = &[
    ("type", "type", "!(A) -> type(A)", type_of),
    ("dyn", "to_dyn", "!(A) -> dyn", same),
    ("bool", "bool_to_bool", "(bool) -> bool", same),
    ("bool", "string_to_bool", "(string) -> bool", to_bool),
    ("bytes", "bytes_to_bytes", "(bytes) -> bytes", same),
    ("bytes", "string_to_bytes", "(string) -> bytes", to_bytes),
    ("double", "double_to_double", "(double) -> double", same),
    ("double", "int64_to_double", "(int) -> double", to_double),
    ("double", "string_to_double", "(string) -> double", to_double),
    ("double", "uint64_to_double", "(uint) -> double", to_double),
    ("duration", "duration_to_duration", "(duration) -> duration", same),
    ("duration", "int64_to_duration", "(int) -> duration", to_duration),
    ("duration", "string_to_duration", "(string) -> duration", to_duration),
    ("int", "int64_to_int64", "(int) -> int", same),
    ("int", "double_to_int64", "(double) -> int", to_int),
    ("int", "duration_to_int64", "(duration) -> int", to_int),
    ("int", "string_to_int64", "(string) -> int", to_int),
    ("int", "timestamp_to_int64", "(timestamp) -> int", to_int),
    ("int", "uint64_to_int64", "(uint) -> int", to_int),
    ("string", "string_to_string", "(string) -> string", same),
    ("string", "bool_to_string", "(bool) -> string", to_string),
    ("string", "bytes_to_string", "(bytes) -> string", to_string),
    ("string", "double_to_string", "(double) -> string", to_string),
    ("string", "duration_to_string", "(duration) -> string", to_string),
    ("string", "int64_to_string", "(int) -> string", to_string),
    ("string", "timestamp_to_string", "(timestamp) -> string", to_string),
    ("string", "uint64_to_string", "(uint) -> string", to_string),
    ("timestamp", "timestamp_to_timestamp", "(timestamp) -> timestamp", same),
    ("timestamp", "int64_to_timestamp", "(int) -> timestamp", to_timestamp),
    ("timestamp", "string_to_timestamp", "(string) -> timestamp", to_timestamp),
    ("uint", "uint64_to_uint64", "(uint) -> uint", same),
    ("uint", "double_to_uint64", "(double) -> uint", to_uint),
    ("uint", "int64_to_uint64", "(int) -> uint", to_uint),
    ("uint", "string_to_uint64", "(string) -> uint", to_uint),
];

fn wrong<'a>(value: &Value<'_>, to: &str) -> Outcome<'a> {
    let from = value.ty().name().to_owned();
    Err(EvalError::new(format!("type conversion error from '{from}' to '{to}'")))
}

fn int_overflow() -> EvalError {
    EvalError::new("integer overflow")
}

fn uint_overflow() -> EvalError {
    EvalError::new("unsigned integer overflow")
}

fn same<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    Ok(args[0].clone())
}

fn type_of<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    Ok(Value::Type(args[0].ty()))
}

fn to_bool<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    match &args[0] {
        Value::String(text) => match &**text {
            "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(Value::Bool(true)),
            "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(Value::Bool(false)),
            _ => wrong(&args[0], "bool"),
        },
        value => wrong(value, "bool"),
    }
}

fn to_bytes<'a>(args: &[Value<'a>], budget: &mut Budget) -> Outcome<'a> {
    match &args[0] {
        Value::String(text) => {
            budget.allocate(text.len())?;
            Ok(Value::Bytes(Arc::from(text.as_bytes())))
        }
        value => wrong(value, "bytes"),
    }
}

fn to_double<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    match &args[0] {
        Value::Int(value) => Ok(Value::Double(*value as f64)),
        Value::Uint(value) => Ok(Value::Double(*value as f64)),
        Value::String(text) => match text.parse::<f64>() {
            Ok(value) if value.is_finite() || text.contains(['n', 'N']) => Ok(Value::Double(value)),
            _ => wrong(&args[0], "double"),
        },
        value => wrong(value, "double"),
    }
}

fn to_duration<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    match &args[0] {
        Value::String(text) => match value::parse_duration(text) {
            Some(span) => Ok(Value::Duration(span)),
            None => wrong(&args[0], "google.protobuf.Duration"),
        },
        value => wrong(value, "google.protobuf.Duration"),
    }
}

fn to_int<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    match &args[0] {
        Value::Double(value) => double_to_int(*value).map(Value::Int).ok_or_else(int_overflow),
        Value::Uint(value) => i64::try_from(*value).map(Value::Int).map_err(|_| int_overflow()),
        Value::Duration(span) => Ok(Value::Int(*span)),
        Value::Timestamp(at) => Ok(Value::Int(at.seconds())),
        Value::String(text) => match text.parse() {
            Ok(value) => Ok(Value::Int(value)),
            Err(_) => wrong(&args[0], "int"),
        },
        value => wrong(value, "int"),
    }
}

fn to_uint<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    match &args[0] {
        Value::Double(value) => double_to_uint(*value).map(Value::Uint).ok_or_else(uint_overflow),
        Value::Int(value) => u64::try_from(*value).map(Value::Uint).map_err(|_| uint_overflow()),
        Value::String(text) => match text.parse() {
            Ok(value) if !text.starts_with('+') => Ok(Value::Uint(value)),
            _ => wrong(&args[0], "uint"),
        },
        value => wrong(value, "uint"),
    }
}

fn to_string<'a>(args: &[Value<'a>], budget: &mut Budget) -> Outcome<'a> {
    text_of(&args[0], budget).map(Value::text)
}

/// The text of a value that has one.
pub(super) fn text_of(value: &Value<'_>, budget: &mut Budget) -> Result<String, EvalError> {
    Ok(match value {
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Uint(value) => value.to_string(),
        Value::Double(value) => double_text(*value),
        Value::Duration(span) => duration_text(*span),
        Value::Timestamp(at) => at.to_string(),
        Value::Type(ty) => ty.name().to_owned(),
        Value::String(text) => {
            budget.allocate(text.len())?;
            text.to_string()
        }
        Value::Bytes(bytes) => {
            budget.allocate(bytes.len())?;
            String::from_utf8(bytes.to_vec())
                .map_err(|_| EvalError::new("invalid UTF-8 in bytes, cannot convert to string"))?
        }
        value => return wrong(value, Type::String.name()).map(|_| String::new()),
    })
}

fn to_timestamp<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    let overflow = || EvalError::new("timestamp overflow");
    match &args[0] {
        Value::Int(seconds) => {
            Timestamp::from_seconds(*seconds).map(Value::Timestamp).ok_or_else(overflow)
        }
        Value::String(text) => match Timestamp::parse(text) {
            Some(at) if at.in_range() => Ok(Value::Timestamp(at)),
            Some(_) => Err(overflow()),
            None => wrong(&args[0], "google.protobuf.Timestamp"),
        },
        value => wrong(value, "google.protobuf.Timestamp"),
    }
}

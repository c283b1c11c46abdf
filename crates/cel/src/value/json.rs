//! JSON as values.

use std::sync::Arc;

use base64::Engine;
use serde_json::Value as Json;

use super::time::{parse_date, parse_date_time, parse_open_duration};
use super::{List, Map, Value};
use crate::error::EvalError;
use crate::schema::{Kind, ListKind, Schema};

/// A JSON value as its shape declares it, or by its own type.
pub fn from_json<'a>(json: &'a Json, schema: Option<&'a Schema>) -> Result<Value<'a>, EvalError> {
    let Some(schema) = schema else { return Ok(untyped(json)) };
    if json.is_null() && !matches!(schema.kind, Kind::Dyn | Kind::Native | Kind::Value(_)) {
        return match schema.nullable {
            true => Ok(Value::Null),
            false => Err(EvalError::new("invalid data, got null for schema with nullable=false")),
        };
    }
    let expected = |what: &str| {
        Err(EvalError::new(format!("invalid data, expected {what}, got {}", go_type(json))))
    };
    match (&schema.kind, json) {
        (Kind::Dyn | Kind::Value(_), _) => Ok(untyped(json)),
        (Kind::Native, Json::Number(number)) => {
            Ok(Value::Double(number.as_f64().unwrap_or(f64::NAN)))
        }
        (Kind::Native, Json::Array(items)) => {
            Ok(Value::List(List::json(items, Some(schema), &ListKind::Atomic)))
        }
        (Kind::Native, Json::Object(object)) => Ok(Value::Map(Map::Json(object, Some(schema)))),
        (Kind::Native, _) => Ok(untyped(json)),
        (Kind::IntOrString, Json::String(text)) => Ok(Value::str(text)),
        (Kind::IntOrString, Json::Number(number)) if number.is_i64() => Ok(untyped(json)),
        (Kind::IntOrString, _) => Err(EvalError::new(
            "invalid data, expected XIntOrString value to be either a string or integer",
        )),
        (Kind::Bool, Json::Bool(value)) => Ok(Value::Bool(*value)),
        (Kind::Bool, _) => expected("bool"),
        (Kind::Int, Json::Number(number)) => match number.as_i64() {
            Some(value) => Ok(Value::Int(value)),
            None => expected("int"),
        },
        (Kind::Int, _) => expected("int"),
        (Kind::Double, Json::Number(number)) => match number.as_f64() {
            Some(value) => Ok(Value::Double(value)),
            None => expected("float"),
        },
        (Kind::Double, _) => expected("float"),
        (Kind::List(items, kind), Json::Array(array)) => {
            Ok(Value::List(List::json(array, Some(items), kind)))
        }
        (Kind::List(..), _) => Err(EvalError::new(
            "invalid data, expected an array for the provided schema with type=array",
        )),
        (Kind::Map(values), Json::Object(object)) => {
            Ok(Value::Map(Map::Json(object, Some(values))))
        }
        (Kind::Object(ty), Json::Object(object)) => Ok(Value::Map(Map::Object(object, ty))),
        (Kind::Map(_) | Kind::Object(_), _) => Err(EvalError::new(
            "invalid data, expected a map for the provided schema with type=object",
        )),
        (kind, Json::String(text)) => formatted(kind, text),
        _ => expected("string"),
    }
}

fn formatted<'a>(kind: &Kind, text: &'a str) -> Result<Value<'a>, EvalError> {
    let wrong = |what: &str| Err(EvalError::new(format!("Invalid {what} {text}")));
    match kind {
        Kind::Bytes => match base64::engine::general_purpose::STANDARD.decode(text) {
            Ok(bytes) => Ok(Value::Bytes(Arc::from(bytes))),
            Err(_) => wrong("byte formatted string"),
        },
        Kind::Duration => match parse_open_duration(text) {
            Some(duration) => Ok(Value::Duration(duration)),
            None => wrong("duration"),
        },
        Kind::Date => match parse_date(text) {
            Some(at) => Ok(Value::Timestamp(at)),
            None => wrong("date formatted string"),
        },
        Kind::DateTime => match parse_date_time(text) {
            Some(at) => Ok(Value::Timestamp(at)),
            None => wrong("date-time formatted string"),
        },
        _ => Ok(Value::str(text)),
    }
}

fn untyped(json: &Json) -> Value<'_> {
    match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(value), _) => Value::Int(value),
            (None, value) => Value::Double(value.unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::str(text),
        Json::Array(items) => Value::List(List::json(items, None, &ListKind::Atomic)),
        Json::Object(object) => Value::Map(Map::Json(object, None)),
    }
}

/// As upstream's messages name the type of decoded JSON.
fn go_type(json: &Json) -> &'static str {
    match json {
        Json::Null => "<nil>",
        Json::Bool(_) => "bool",
        Json::Number(number) if number.is_i64() => "int64",
        Json::Number(_) => "float64",
        Json::String(_) => "string",
        Json::Array(_) => "[]interface {}",
        Json::Object(_) => "map[string]interface {}",
    }
}

//! Values as JSON.

use base64::Engine;
use serde_json::{Number, Value as Json};

use super::{Items, Map, Value};
use crate::budget::Budget;
use crate::error::EvalError;
use crate::escape::unescape;

/// Values that nest deeper have no JSON.
const MAX_DEPTH: usize = 128;

impl Value<'_> {
    /// The JSON of a value: of an object that an expression made, for example. Types and values of
    /// libraries have none.
    pub fn to_json(&self) -> Result<Json, EvalError> {
        to_json(self, MAX_DEPTH)
    }
}

fn to_json(value: &Value<'_>, depth: usize) -> Result<Json, EvalError> {
    let Some(depth) = depth.checked_sub(1) else {
        return Err(EvalError::new("value nests too deeply"));
    };
    Ok(match value {
        Value::Null | Value::Optional(None) => Json::Null,
        Value::Bool(value) => Json::Bool(*value),
        Value::Int(value) => Json::Number((*value).into()),
        Value::Uint(value) => Json::Number((*value).into()),
        Value::Double(value) => match Number::from_f64(*value) {
            Some(number) => Json::Number(number),
            None => return Err(EvalError::new(format!("{value} is no number of JSON"))),
        },
        Value::String(text) => Json::String(text.to_string()),
        Value::Bytes(bytes) => {
            Json::String(base64::engine::general_purpose::STANDARD.encode(bytes))
        }
        Value::Duration(_) | Value::Timestamp(_) => Json::String(value.to_string()),
        Value::List(list) => match &list.items {
            Items::Json(items, _) => Json::Array(items.to_vec()),
            Items::Values(values) => {
                Json::Array(values.iter().map(|v| to_json(v, depth)).collect::<Result<_, _>>()?)
            }
        },
        Value::Map(Map::Object(object, _) | Map::Json(object, _)) => {
            Json::Object((*object).clone())
        }
        Value::Map(Map::Struct(object)) => {
            let field = |(name, value): (&std::sync::Arc<str>, &Value<'_>)| {
                let name = unescape(name).unwrap_or_else(|| name.to_string());
                Ok((name, to_json(value, depth)?))
            };
            Json::Object(object.fields.iter().map(field).collect::<Result<_, EvalError>>()?)
        }
        Value::Map(map) => {
            let mut budget = Budget::unlimited();
            let mut object = serde_json::Map::new();
            for key in map.keys() {
                if let Some(value) = map.find(&key, &mut budget) {
                    object.insert(key.to_string(), to_json(&value?, depth)?);
                }
            }
            Json::Object(object)
        }
        Value::Optional(Some(value)) => to_json(value, depth)?,
        Value::Type(_) | Value::Opaque(_) => {
            let ty = value.ty();
            return Err(EvalError::new(format!("type conversion error from '{ty}' to JSON")));
        }
    })
}

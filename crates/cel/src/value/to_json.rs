//! Values as JSON.

use std::sync::Arc;

use base64::Engine;
use serde_json::{Number, Value as Json};

use super::{Items, Map, Struct, Value};
use crate::budget::Budget;
use crate::error::EvalError;

/// Values that nest deeper have no JSON.
const MAX_DEPTH: usize = 128;

impl Value<'_> {
    /// The JSON of a value: of an object that an expression made, for example. Types and values of
    /// libraries have none.
    pub fn to_json(&self) -> Result<Json, EvalError> {
        to_json(self, MAX_DEPTH)
    }
}

impl Struct<'_> {
    /// Fails unless each object within is of the type that its place demands: `Object.spec` in the
    /// field `spec` of an `Object`.
    pub fn check_type_names(&self) -> Result<(), EvalError> {
        let mut wrong = Vec::new();
        check_names(self, &mut vec![self.name.to_string()], &mut wrong);
        if wrong.is_empty() { Ok(()) } else { Err(EvalError::new(wrong.join("\n"))) }
    }
}

fn check_names(object: &Struct<'_>, path: &mut Vec<String>, wrong: &mut Vec<String>) {
    let expected = path.join(".");
    if *object.name != *expected {
        wrong.push(format!(
            "unexpected type name {:?}, expected {expected:?}, which matches field name path from \
             root Object type",
            object.name
        ));
    }
    if path.len() > MAX_DEPTH {
        return;
    }
    for (name, value) in &object.fields {
        path.push(name.to_string());
        for part in parts(value) {
            check_names(&part, path, wrong);
        }
        path.pop();
    }
}

/// The objects that a field holds, itself or in a list or a map.
fn parts<'a>(value: &Value<'a>) -> Vec<Arc<Struct<'a>>> {
    let own = |value: &Value<'a>| match value {
        Value::Map(Map::Struct(object)) => Some(object.clone()),
        _ => None,
    };
    match value {
        Value::List(list) => match &list.items {
            Items::Values(values) => values.iter().filter_map(own).collect(),
            Items::Json(..) => Vec::new(),
        },
        Value::Map(Map::Owned(map)) => map.values().filter_map(|(_, value)| own(value)).collect(),
        value => own(value).into_iter().collect(),
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
            let fields = object.fields.iter();
            let json = fields.map(|(name, value)| Ok((name.to_string(), to_json(value, depth)?)));
            Json::Object(json.collect::<Result<_, EvalError>>()?)
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

//! Values as JSON.

use std::sync::Arc;

use base64::Engine;
use serde_json::{Number, Value as Json};

use super::{Items, Map, Struct, Value};
use crate::budget::Budget;
use crate::error::EvalError;

/// Values that nest deeper have no JSON.
const MAX_DEPTH: usize = 128;
/// No request has a larger body (upstream's `MaxRequestBodyBytes`); an expression makes a larger value
/// out of few parts that it shares.
const MAX_BYTES: usize = 3 << 20;
/// The least that a value takes.
const OVERHEAD: usize = 4;

impl Value<'_> {
    /// The JSON of a value: of an object that an expression made, for example. Types and values of
    /// libraries have none, and values larger than a request may be.
    pub fn to_json(&self) -> Result<Json, EvalError> {
        Writer { left: MAX_BYTES }.write(self, MAX_DEPTH)
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

/// Writes values, which may share parts, as a tree that shares none.
struct Writer {
    /// How many bytes may still be written, about.
    left: usize,
}

impl Writer {
    fn take(&mut self, bytes: usize) -> Result<(), EvalError> {
        self.left = self.left.checked_sub(bytes).ok_or_else(|| {
            EvalError::new(format!("value takes more than {MAX_BYTES} bytes as JSON"))
        })?;
        Ok(())
    }

    /// JSON that an input holds.
    fn copy(&mut self, json: &Json) -> Result<Json, EvalError> {
        self.count(json)?;
        Ok(json.clone())
    }

    fn count(&mut self, json: &Json) -> Result<(), EvalError> {
        match json {
            Json::Null | Json::Bool(_) | Json::Number(_) => self.take(OVERHEAD),
            Json::String(text) => self.take(OVERHEAD + text.len()),
            Json::Array(items) => items.iter().try_for_each(|item| self.count(item)),
            Json::Object(fields) => fields.iter().try_for_each(|(name, value)| {
                self.take(OVERHEAD + name.len())?;
                self.count(value)
            }),
        }
    }

    fn write(&mut self, value: &Value<'_>, depth: usize) -> Result<Json, EvalError> {
        let Some(depth) = depth.checked_sub(1) else {
            return Err(EvalError::new("value nests too deeply"));
        };
        self.take(OVERHEAD)?;
        Ok(match value {
            Value::Null | Value::Optional(None) => Json::Null,
            Value::Bool(value) => Json::Bool(*value),
            Value::Int(value) => Json::Number((*value).into()),
            Value::Uint(value) => Json::Number((*value).into()),
            Value::Double(value) => match Number::from_f64(*value) {
                Some(number) => Json::Number(number),
                None => return Err(EvalError::new(format!("{value} is no number of JSON"))),
            },
            Value::String(text) => self.text(text.to_string())?,
            Value::Bytes(bytes) => {
                self.text(base64::engine::general_purpose::STANDARD.encode(bytes))?
            }
            Value::Duration(_) | Value::Timestamp(_) => Json::String(value.to_string()),
            Value::List(list) => Json::Array(match &list.items {
                Items::Json(items, _) => {
                    items.iter().map(|item| self.copy(item)).collect::<Result<_, _>>()?
                }
                Items::Values(values) => {
                    values.iter().map(|v| self.write(v, depth)).collect::<Result<_, _>>()?
                }
            }),
            Value::Map(map) => Json::Object(self.fields(map, depth)?),
            Value::Optional(Some(value)) => self.write(value, depth)?,
            Value::Type(_) | Value::Opaque(_) => {
                let ty = value.ty();
                return Err(EvalError::new(format!("type conversion error from '{ty}' to JSON")));
            }
        })
    }

    fn text(&mut self, text: String) -> Result<Json, EvalError> {
        self.take(text.len())?;
        Ok(Json::String(text))
    }

    fn fields(
        &mut self,
        map: &Map<'_>,
        depth: usize,
    ) -> Result<serde_json::Map<String, Json>, EvalError> {
        let mut fields = serde_json::Map::new();
        match map {
            Map::Object(object, _) | Map::Json(object, _) => {
                for (name, value) in object.iter() {
                    self.take(name.len())?;
                    fields.insert(name.clone(), self.copy(value)?);
                }
            }
            Map::Struct(object) => {
                for (name, value) in &object.fields {
                    self.take(name.len())?;
                    fields.insert(name.to_string(), self.write(value, depth)?);
                }
            }
            map => {
                let mut budget = Budget::unlimited();
                for key in map.keys() {
                    if let Some(value) = map.find(&key, &mut budget) {
                        let name = key.to_string();
                        self.take(name.len())?;
                        fields.insert(name, self.write(&value?, depth)?);
                    }
                }
            }
        }
        Ok(fields)
    }
}

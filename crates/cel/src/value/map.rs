//! Maps and objects.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde_json::Value as Json;

use super::order::double_to_int;
use super::{Text, Value, from_json};
use crate::budget::Budget;
use crate::error::EvalError;
use crate::escape::{escape, unescape};
use crate::schema::{Kind, ObjectType, Schema};
use crate::types::Type;

/// A map, or an object.
#[derive(Debug, Clone)]
pub enum Map<'a> {
    /// A JSON object whose properties are declared.
    Object(&'a serde_json::Map<String, Json>, &'a ObjectType),
    /// A JSON object whose values have one shape, or any.
    Json(&'a serde_json::Map<String, Json>, Option<&'a Schema>),
    /// Made by an expression.
    Owned(Arc<BTreeMap<Key<'a>, (Value<'a>, Value<'a>)>>),
    /// An object made by an expression: `Type{field: value}`.
    Struct(Arc<Struct<'a>>),
    /// Fields that are found when they are asked for.
    Fields(&'a dyn Fields),
}

/// Keys with their values, by what is equal to the key.
pub(crate) type OwnedMap<'a> = BTreeMap<Key<'a>, (Value<'a>, Value<'a>)>;

/// An object made by an expression.
#[derive(Debug, Clone)]
pub struct Struct<'a> {
    /// The name of its type.
    pub name: Arc<str>,
    /// Its fields.
    pub fields: BTreeMap<Arc<str>, Value<'a>>,
}

/// Fields that are found when they are asked for: the `variables` of a policy.
pub trait Fields: Sync {
    /// The value of a field, or None if there is no such field. What it costs is the budget's.
    fn field<'a>(&'a self, name: &str, budget: &mut Budget)
    -> Option<Result<Value<'a>, EvalError>>;
}

impl fmt::Debug for dyn Fields + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fields")
    }
}

/// A key: numbers that are equal are one key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key<'a> {
    /// `true` or `false`
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// One that is no `Int`.
    Uint(u64),
    /// One that is no whole number, by its bits.
    Double(u64),
    /// Text.
    String(Text<'a>),
}

impl<'a> Key<'a> {
    /// The key for a value, or None if it cannot be one.
    pub fn of(value: &Value<'a>) -> Option<Key<'a>> {
        Some(match value {
            Value::Bool(value) => Key::Bool(*value),
            Value::Int(value) => Key::Int(*value),
            Value::Uint(value) => i64::try_from(*value).map_or(Key::Uint(*value), Key::Int),
            Value::Double(value) => match double_to_int(*value) {
                Some(whole) if whole as f64 == *value => Key::Int(whole),
                _ => Key::Double(value.to_bits()),
            },
            Value::String(text) => Key::String(text.clone()),
            _ => return None,
        })
    }
}

fn is_native(schema: Option<&Schema>) -> bool {
    schema.is_some_and(|schema| matches!(schema.kind, Kind::Native))
}

fn is_declared(schema: Option<&Schema>) -> bool {
    schema.is_some() && !is_native(schema)
}

impl<'a> Map<'a> {
    pub(crate) fn ty(&self) -> Type {
        match self {
            Map::Struct(object) => Type::Object(Arc::new(ObjectType {
                name: object.name.to_string(),
                fields: BTreeMap::new(),
            })),
            _ => Type::map(Type::Dyn, Type::Dyn),
        }
    }

    /// How many entries it has.
    pub fn len(&self) -> usize {
        match self {
            Map::Object(object, _) | Map::Json(object, _) => object.len(),
            Map::Owned(map) => map.len(),
            Map::Struct(object) => object.fields.len(),
            Map::Fields(_) => 0,
        }
    }

    /// True if it has no entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of a key, or None if there is none.
    pub fn find(
        &self,
        key: &Value<'a>,
        budget: &mut Budget,
    ) -> Option<Result<Value<'a>, EvalError>> {
        match (self, key) {
            (Map::Owned(map), _) => {
                let (_, value) = map.get(&Key::of(key)?)?;
                Some(Ok(value.clone()))
            }
            (_, Value::String(name)) => self.field(name, budget),
            // A native map has no such key; a typed one knows no other keys than text.
            (Map::Json(_, schema), _) if !is_declared(*schema) => None,
            _ => Some(Err(EvalError::no_such_overload())),
        }
    }

    /// The value of a field by its name in expressions.
    pub(crate) fn field(
        &self,
        name: &str,
        budget: &mut Budget,
    ) -> Option<Result<Value<'a>, EvalError>> {
        match self {
            Map::Object(object, ty) => {
                let field = ty.field(name)?;
                // null is an absent field, unless the field has a value for it.
                let value = object.get(&field.name).filter(|value| !value.is_null())?;
                Some(from_json(value, Some(&field.schema)))
            }
            Map::Json(object, schema) if is_native(*schema) => {
                let property = unescape(name);
                let property = property.as_deref().unwrap_or(name);
                Some(from_json(object.get(property)?, *schema))
            }
            Map::Json(object, schema) => Some(from_json(object.get(name)?, *schema)),
            Map::Owned(map) => {
                let (_, value) = map.get(&Key::String(Text::Borrowed(name)))?;
                Some(Ok(value.clone()))
            }
            Map::Struct(object) => object.fields.get(name).cloned().map(Ok),
            Map::Fields(fields) => fields.field(name, budget),
        }
    }

    /// The key that a property gives an item of a map-like list.
    pub(crate) fn json_field(&self, name: &str) -> Option<Key<'a>> {
        let found = match self {
            Map::Object(object, _) | Map::Json(object, _) => from_json(object.get(name)?, None),
            Map::Owned(map) => {
                let (_, value) = map.get(&Key::String(Text::Owned(name.into())))?;
                Ok(value.clone())
            }
            Map::Struct(object) => Ok(object.fields.get(&*escape(name)?)?.clone()),
            Map::Fields(_) => return None,
        };
        found.ok().and_then(|value| Key::of(&value))
    }

    /// All keys.
    pub fn keys(&self) -> Vec<Value<'a>> {
        match self {
            Map::Object(object, ty) => object
                .keys()
                .filter(|name| ty.by_json_name(name).is_some())
                .filter_map(|name| escape(name).map(Value::text))
                .collect(),
            Map::Json(object, _) => object.keys().map(|key| Value::str(key)).collect(),
            Map::Owned(map) => map.values().map(|(key, _)| key.clone()).collect(),
            Map::Struct(object) => {
                object.fields.keys().map(|name| Value::text(name.clone())).collect()
            }
            Map::Fields(_) => Vec::new(),
        }
    }

    /// True if its own type decides about equality, rather than that of any map.
    pub(crate) fn is_declared(&self) -> bool {
        match self {
            Map::Object(..) => true,
            Map::Json(_, schema) => is_declared(*schema),
            _ => false,
        }
    }

    pub(crate) fn equals(&self, other: &Map<'a>, depth: usize) -> Result<bool, EvalError> {
        if let (Map::Struct(mine), Map::Struct(its)) = (self, other)
            && mine.name != its.name
        {
            return Ok(false);
        }
        if self.len() != other.len() {
            return Ok(false);
        }
        let mut budget = Budget::unlimited();
        for key in self.keys() {
            match (self.find(&key, &mut budget), other.find(&key, &mut budget)) {
                (None, None) => {}
                (Some(mine), Some(its)) => {
                    if !super::equal::equal_at(&mine?, &its?, depth)? {
                        return Ok(false);
                    }
                }
                _ => return Ok(false),
            }
        }
        Ok(true)
    }
}

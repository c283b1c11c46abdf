//! How server-side apply sees a value: as a leaf that is owned whole, or as something with parts.

use crate::schema::{Field, ListKind, ListShape, Shape, Type};
use serde_json::{Map, Value};

/// A value's structure.
#[derive(Clone, Copy)]
pub(super) enum View<'a> {
    /// Scalars, and lists and maps that are atomic.
    Leaf,
    /// Fields.
    Struct(&'a Type),
    /// Entries of one type.
    Map(&'a Shape),
    /// Items that have an identity.
    List(&'a ListShape),
}

/// Values without a schema: objects are taken apart, lists are atomic.
pub(super) static FREE: Shape = Shape::Any;

/// The structure that `shape` gives to `value`; a value that does not fit is a leaf.
pub(super) fn view<'a>(shape: &'a Shape, value: &Value) -> View<'a> {
    match (shape, value) {
        (Shape::Object(ty), Value::Object(_)) if !ty.is_atomic() => View::Struct(ty),
        (Shape::Map(map), Value::Object(_)) if !map.atomic => View::Map(&map.value),
        (Shape::List(list), Value::Array(_)) if list.kind != ListKind::Atomic => View::List(list),
        (Shape::Any | Shape::FieldsV1 | Shape::SchemaOr(..), Value::Object(_)) => View::Map(&FREE),
        _ => View::Leaf,
    }
}

impl<'a> View<'a> {
    /// Shape of a field or entry, and true if it is a declared field.
    pub(super) fn child(self, name: &str) -> (&'a Shape, bool) {
        match self {
            Self::Struct(ty) => match ty.field(name) {
                Some(field) => (&field.shape, true),
                None => (&FREE, false),
            },
            Self::Map(shape) => (shape, false),
            _ => (&FREE, false),
        }
    }
}

/// The value that Go shows for a field that was never set: an empty struct if it is no pointer, or
/// a zero that is not omitted. Leaving the field unset makes no writer its owner.
pub(super) fn implied(field: &Field) -> Option<Value> {
    match &field.shape {
        _ if field.omit_empty => None,
        _ if field.pointer => Some(Value::Null),
        Shape::Object(_) => Some(Value::Object(Map::new())),
        Shape::String | Shape::Bytes => Some(Value::from("")),
        Shape::Bool => Some(Value::Bool(false)),
        Shape::Int32 | Shape::Int64 | Shape::Double | Shape::IntOrString => Some(Value::from(0)),
        Shape::Quantity => Some(Value::from("0")),
        _ => Some(Value::Null),
    }
}

/// Returns true if the value is null or has no parts.
pub(super) fn is_bare(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => map.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

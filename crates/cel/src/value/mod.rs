//! Values while an expression is evaluated. JSON is borrowed, never copied.

mod arithmetic;
mod equal;
mod json;
mod list;
mod map;
mod opaque;
mod order;
mod show;
mod text;
mod time;
mod to_json;

use std::sync::Arc;

pub use self::json::from_json;
pub use self::list::List;
pub use self::map::{Fields, Key, Map, Struct};
pub use self::opaque::{Authorizer, Check, Decision, Opaque, Subject};
pub use self::text::Text;
pub use self::time::Timestamp;

pub(crate) use self::arithmetic::{add, divide, modulo, multiply, negate, subtract};
pub(crate) use self::equal::equal;
pub(crate) use self::list::Items;
pub(crate) use self::map::OwnedMap;
pub(crate) use self::order::{compare, double_to_int, double_to_uint, is_ordered};
pub(crate) use self::show::{double_text, duration_text};
pub(crate) use self::time::{parse_date, parse_date_time, parse_duration};

use crate::types::Type;

/// A value.
#[derive(Debug, Clone)]
pub enum Value<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A signed integer.
    Int(i64),
    /// An unsigned integer.
    Uint(u64),
    /// A float.
    Double(f64),
    /// Text.
    String(Text<'a>),
    /// Bytes.
    Bytes(Arc<[u8]>),
    /// Nanoseconds.
    Duration(i64),
    /// A point in time.
    Timestamp(Timestamp),
    /// A type.
    Type(Type),
    /// A list.
    List(List<'a>),
    /// A map, or an object.
    Map(Map<'a>),
    /// A value or none.
    Optional(Option<Arc<Value<'a>>>),
    /// A value of a library.
    Opaque(Opaque<'a>),
}

impl<'a> Value<'a> {
    /// Text that is borrowed.
    pub fn str(text: &'a str) -> Value<'a> {
        Value::String(Text::Borrowed(text))
    }

    /// Text of its own.
    pub fn text(text: impl Into<Arc<str>>) -> Value<'a> {
        Value::String(Text::Owned(text.into()))
    }

    /// A list of values.
    pub fn list(values: Vec<Value<'a>>) -> Value<'a> {
        Value::List(List::new(values))
    }

    /// A value that is there.
    pub fn some(value: Value<'a>) -> Value<'a> {
        Value::Optional(Some(Arc::new(value)))
    }

    /// Its type as far as the value itself knows: lists and maps do not know what is in them.
    pub fn ty(&self) -> Type {
        match self {
            Value::Null => Type::Null,
            Value::Bool(_) => Type::Bool,
            Value::Int(_) => Type::Int,
            Value::Uint(_) => Type::Uint,
            Value::Double(_) => Type::Double,
            Value::String(_) => Type::String,
            Value::Bytes(_) => Type::Bytes,
            Value::Duration(_) => Type::Duration,
            Value::Timestamp(_) => Type::Timestamp,
            Value::Type(_) => Type::Type(None),
            Value::List(_) => Type::list(Type::Dyn),
            Value::Map(map) => map.ty(),
            Value::Optional(_) => Type::optional(Type::Dyn),
            Value::Opaque(value) => Type::Opaque(value.type_name()),
        }
    }

    /// As messages of cel-go name the type that holds it.
    pub(crate) fn go_type(&self) -> &'static str {
        match self {
            Value::Null => "types.Null",
            Value::Bool(_) => "types.Bool",
            Value::Int(_) => "types.Int",
            Value::Uint(_) => "types.Uint",
            Value::Double(_) => "types.Double",
            Value::String(_) => "types.String",
            Value::Bytes(_) => "types.Bytes",
            Value::Duration(_) => "types.Duration",
            Value::Timestamp(_) => "types.Timestamp",
            Value::Type(_) => "*types.Type",
            Value::List(_) => "*types.baseList",
            Value::Map(_) => "*types.baseMap",
            Value::Optional(_) => "*types.Optional",
            Value::Opaque(_) => "ref.Val",
        }
    }

    /// The number of its parts, as the cost of functions counts it; None for scalars.
    pub(crate) fn size(&self) -> Option<u64> {
        let size = match self {
            Value::String(text) => text.chars().count(),
            Value::Bytes(bytes) => bytes.len(),
            Value::List(list) => list.len(),
            Value::Map(map) => map.len(),
            _ => return None,
        };
        Some(size as u64)
    }

    /// True if `optional.ofNonZeroValue` takes it for none.
    pub(crate) fn is_zero(&self) -> bool {
        match self {
            Value::Null => true,
            Value::Bool(value) => !value,
            Value::Int(value) | Value::Duration(value) => *value == 0,
            Value::Uint(value) => *value == 0,
            Value::Double(value) => *value == 0.0,
            Value::Timestamp(at) => at.is_zero(),
            Value::String(_) | Value::Bytes(_) | Value::List(_) | Value::Map(_) => {
                self.size() == Some(0)
            }
            Value::Optional(_) | Value::Type(_) | Value::Opaque(_) => false,
        }
    }
}

//! Types of expressions and values.

use std::fmt;
use std::sync::Arc;

use crate::schema::ObjectType;

/// The type of an expression or of a value.
#[derive(Debug, Clone)]
pub enum Type {
    /// Decided when the expression is evaluated.
    Dyn,
    /// The type of `null`.
    Null,
    /// `true` and `false`.
    Bool,
    /// A signed 64 bit integer.
    Int,
    /// An unsigned 64 bit integer.
    Uint,
    /// A 64 bit float.
    Double,
    /// Unicode text.
    String,
    /// Raw bytes.
    Bytes,
    /// A span of time in nanoseconds.
    Duration,
    /// A point in time.
    Timestamp,
    /// The type of types, with the type it stands for.
    Type(Option<Arc<Type>>),
    /// A list of values of one type.
    List(Arc<Type>),
    /// Keys of one type and values of one type.
    Map(Arc<Type>, Arc<Type>),
    /// An object with declared fields.
    Object(Arc<ObjectType>),
    /// A value that may be absent.
    Optional(Arc<Type>),
    /// A type of a library that only its functions know.
    Opaque(&'static str),
    /// A type that the checker has still to find.
    Param(u32),
    /// A type parameter of a declaration.
    Letter(char),
    /// The type of an expression with an error.
    Error,
}

/// The quantity type of the Kubernetes library.
pub const QUANTITY: Type = Type::Opaque("kubernetes.Quantity");
/// The authorizer type, that of the variable `authorizer`.
pub const AUTHORIZER: Type = Type::Opaque("kubernetes.authorization.Authorizer");
/// The type of the variable `authorizer.requestResource`.
pub const RESOURCE_CHECK: Type = Type::Opaque("kubernetes.authorization.ResourceCheck");

impl Type {
    /// A list of `element`.
    pub fn list(element: Type) -> Type {
        Type::List(Arc::new(element))
    }

    /// A map from `key` to `value`.
    pub fn map(key: Type, value: Type) -> Type {
        Type::Map(Arc::new(key), Arc::new(value))
    }

    /// A `value` that may be absent.
    pub fn optional(value: Type) -> Type {
        Type::Optional(Arc::new(value))
    }

    /// The name without parameters, as cel-go's `TypeName`.
    pub fn name(&self) -> &str {
        match self {
            Type::Dyn => "dyn",
            Type::Null => "null_type",
            Type::Bool => "bool",
            Type::Int => "int",
            Type::Uint => "uint",
            Type::Double => "double",
            Type::String => "string",
            Type::Bytes => "bytes",
            Type::Duration => "google.protobuf.Duration",
            Type::Timestamp => "google.protobuf.Timestamp",
            Type::Type(_) => "type",
            Type::List(_) => "list",
            Type::Map(..) => "map",
            Type::Object(object) => &object.name,
            Type::Optional(_) => "optional_type",
            Type::Opaque(name) => name,
            Type::Param(_) | Type::Letter(_) => "param",
            Type::Error => "error",
        }
    }

    pub(crate) fn is_dyn(&self) -> bool {
        matches!(self, Type::Dyn)
    }

    pub(crate) fn is_dyn_or_error(&self) -> bool {
        matches!(self, Type::Dyn | Type::Error)
    }

    /// True if both are the same type, parameters included.
    pub fn is_exactly(&self, other: &Type) -> bool {
        match (self, other) {
            (Type::List(a), Type::List(b)) | (Type::Optional(a), Type::Optional(b)) => {
                a.is_exactly(b)
            }
            (Type::Map(a, b), Type::Map(c, d)) => a.is_exactly(c) && b.is_exactly(d),
            (Type::Object(a), Type::Object(b)) => a.name == b.name,
            (Type::Opaque(a), Type::Opaque(b)) => a == b,
            (Type::Param(a), Type::Param(b)) => a == b,
            (Type::Letter(a), Type::Letter(b)) => a == b,
            (Type::Type(Some(a)), Type::Type(Some(b))) => a.is_exactly(b),
            (a, b) => std::mem::discriminant(a) == std::mem::discriminant(b),
        }
    }

    /// The size of its values where that is fixed, as cel-go's `isScalar`.
    pub(crate) fn is_scalar(&self) -> bool {
        match self {
            Type::Bool
            | Type::Double
            | Type::Duration
            | Type::Int
            | Type::Timestamp
            | Type::Uint => true,
            Type::Optional(inner) => inner.is_scalar(),
            _ => false,
        }
    }
}

impl PartialEq for Type {
    fn eq(&self, other: &Type) -> bool {
        self.is_exactly(other)
    }
}

/// As cel-go's checker writes types in its messages.
impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Type::Null => f.write_str("null"),
            Type::Duration => f.write_str("duration"),
            Type::Timestamp => f.write_str("timestamp"),
            Type::Error => f.write_str("!error!"),
            Type::Param(id) => write!(f, "_var{id}"),
            Type::Letter(letter) => write!(f, "{letter}"),
            Type::List(element) => write!(f, "list({element})"),
            Type::Map(key, value) => write!(f, "map({key}, {value})"),
            Type::Optional(inner) => write!(f, "optional_type({inner})"),
            Type::Type(Some(inner)) => write!(f, "type({inner})"),
            other => f.write_str(other.name()),
        }
    }
}

//! Declared shapes of JSON: the type that an expression sees, how a JSON value becomes a value of
//! that type, and how large it can be.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::escape::escape;
use crate::syntax::RESERVED;
use crate::types::Type;

/// The largest request, which bounds everything that has no declared maximum.
pub const MAX_REQUEST_BYTES: u64 = 3 * 1024 * 1024;

/// An object with declared fields.
#[derive(Debug, Clone)]
pub struct ObjectType {
    /// The name in messages.
    pub name: String,
    /// By the name that expressions use, which is the escaped one.
    pub fields: BTreeMap<String, Field>,
}

/// One field of an object.
#[derive(Debug, Clone)]
pub struct Field {
    /// The name in JSON.
    pub name: String,
    /// The shape of its value.
    pub schema: Arc<Schema>,
    /// True if every object has it.
    pub required: bool,
}

impl ObjectType {
    /// An object with these fields, given by their JSON names. A name that cannot be escaped
    /// cannot be reached by expressions.
    pub fn new(name: &str, fields: impl IntoIterator<Item = (String, Arc<Schema>, bool)>) -> Self {
        let fields = fields
            .into_iter()
            .filter_map(|(name, schema, required)| {
                Some((escape(&name)?, Field { name, schema, required }))
            })
            .collect();
        ObjectType { name: name.to_owned(), fields }
    }

    /// A field by its name in expressions. A reserved word needs no escape after a dot.
    pub(crate) fn field(&self, name: &str) -> Option<&Field> {
        self.fields.get(name).or_else(|| {
            RESERVED.contains(&name).then(|| self.fields.get(&format!("__{name}__")))?
        })
    }

    pub(crate) fn by_json_name(&self, name: &str) -> Option<&Field> {
        match self.fields.get(name) {
            Some(field) if field.name == name => Some(field),
            _ => self.fields.get(&escape(name)?),
        }
    }
}

/// The shape of a JSON value.
#[derive(Debug)]
pub struct Schema {
    /// The shape without its size.
    pub kind: Kind,
    /// The most code points, items or properties that a value has: its worst size in estimates.
    pub max_size: u64,
    /// True if `null` stands for a value.
    pub nullable: bool,
}

/// Kinds of JSON values.
#[derive(Debug)]
pub enum Kind {
    /// Any JSON, by its own types.
    Dyn,
    /// Any JSON as Go decodes it without a type: every number is a double. Properties are also
    /// found by their escaped names.
    Native,
    /// No JSON, but a value of this type that is given: a variable of a policy.
    Value(Type),
    /// `x-kubernetes-int-or-string`.
    IntOrString,
    /// `true` or `false`.
    Bool,
    /// A whole number.
    Int,
    /// Any number.
    Double,
    /// A string.
    String,
    /// A string with the format `byte`: base64.
    Bytes,
    /// A string with the format `duration`.
    Duration,
    /// A string with the format `date`.
    Date,
    /// A string with the format `date-time`.
    DateTime,
    /// An array.
    List(Arc<Schema>, ListKind),
    /// An object with `additionalProperties`.
    Map(Arc<Schema>),
    /// An object with properties.
    Object(Arc<ObjectType>),
}

/// When two lists are equal, and how they are added: `x-kubernetes-list-type`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListKind {
    /// The same items in the same order.
    Atomic,
    /// The same items.
    Set,
    /// The same items by these keys.
    Map(Vec<String>),
}

impl Schema {
    /// A shape with the worst size that a request allows.
    pub fn new(kind: Kind) -> Schema {
        let rest = MAX_REQUEST_BYTES - 2;
        let max_size = match &kind {
            Kind::Dyn
            | Kind::Native
            | Kind::Value(_)
            | Kind::IntOrString
            | Kind::String
            | Kind::Bytes => rest,
            Kind::Duration | Kind::DateTime => 32,
            Kind::Date => 12,
            Kind::List(items, _) => rest / (items.min_bytes() + 1),
            Kind::Map(values) => rest / (values.min_bytes() + 6),
            Kind::Bool | Kind::Int | Kind::Double | Kind::Object(_) => 0,
        };
        Schema { kind, max_size, nullable: false }
    }

    /// With this maximum of code points, items or properties. A code point counts for four, as
    /// upstream does, where it is about text; `Bytes` count as they are.
    pub fn with_max(mut self, max: u64) -> Schema {
        self.max_size = match self.kind {
            Kind::String | Kind::IntOrString => max.saturating_mul(4),
            _ => max,
        };
        self
    }

    /// With `null` for a value.
    pub fn or_null(mut self) -> Schema {
        self.nullable = true;
        self
    }

    /// The fewest bytes of JSON that a value takes, which bounds how many fit into a request.
    pub fn min_bytes(&self) -> u64 {
        match &self.kind {
            Kind::Dyn
            | Kind::Native
            | Kind::Value(_)
            | Kind::IntOrString
            | Kind::Int
            | Kind::Double => 1,
            Kind::Bool => 4,
            Kind::String | Kind::Bytes | Kind::List(..) | Kind::Map(_) => 2,
            Kind::Duration => 3,
            Kind::Date => 12,
            Kind::DateTime => 21,
            Kind::Object(object) => object
                .fields
                .values()
                .filter(|f| f.required)
                .fold(2, |n, f| n + f.name.len() as u64 + f.schema.min_bytes() + 4),
        }
    }

    /// The type that expressions see.
    pub fn ty(&self) -> Type {
        match &self.kind {
            Kind::Dyn | Kind::Native | Kind::IntOrString => Type::Dyn,
            Kind::Value(ty) => ty.clone(),
            Kind::Bool => Type::Bool,
            Kind::Int => Type::Int,
            Kind::Double => Type::Double,
            Kind::String => Type::String,
            Kind::Bytes => Type::Bytes,
            Kind::Duration => Type::Duration,
            Kind::Date | Kind::DateTime => Type::Timestamp,
            Kind::List(items, _) => Type::list(items.ty()),
            Kind::Map(values) => Type::map(Type::String, values.ty()),
            Kind::Object(object) => Type::Object(object.clone()),
        }
    }

    /// The part of a value at a path of the cost estimator: field names, `@items`, `@values`,
    /// `@keys`. None where nothing is declared.
    pub(crate) fn max_size_at(&self, path: &[Arc<str>]) -> Option<u64> {
        let Some((step, rest)) = path.split_first() else {
            return Some(self.max_size);
        };
        match (&**step, &self.kind) {
            ("@items" | "@values", Kind::List(inner, _) | Kind::Map(inner)) => {
                inner.max_size_at(rest)
            }
            // Keys are strings without a maximum of their own.
            ("@keys", Kind::Map(_)) => rest.is_empty().then_some(0),
            (field, Kind::Object(object)) => object.fields.get(field)?.schema.max_size_at(rest),
            _ => None,
        }
    }
}

//! The tree of a parsed schema.

use super::enumeration::Enumeration;
use super::format::Format;
use super::pattern::Pattern;
use super::{coerce, prune};
use crate::object::MAX_DEPTH;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Object,
    Array,
    String,
    Integer,
    Number,
    Boolean,
}

impl Kind {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "object" => Self::Object,
            "array" => Self::Array,
            "string" => Self::String,
            "integer" => Self::Integer,
            "number" => Self::Number,
            "boolean" => Self::Boolean,
            _ => return None,
        })
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Object => "object",
            Self::Array => "array",
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
        }
    }
}

/// Properties that are not specified by name.
#[derive(Debug, Default)]
pub(super) enum Additional {
    /// Not mentioned: pruned, but no error.
    #[default]
    Absent,
    /// `false`: an error.
    Forbidden,
    /// `true`: permitted, and pruned inside.
    Any,
    /// Of this schema.
    Schema(Box<Node>),
}

/// The identity of items (`x-kubernetes-list-type`).
#[derive(Debug, Default)]
pub(super) enum ListType {
    #[default]
    Atomic,
    Set,
    /// Items are told apart by these fields.
    Map(Vec<String>),
}

/// Bounds of a number.
#[derive(Debug, Default)]
pub(super) struct Bounds {
    pub multiple_of: Option<f64>,
    pub minimum: Option<f64>,
    pub exclusive_minimum: bool,
    pub maximum: Option<f64>,
    pub exclusive_maximum: bool,
}

/// Bounds of a length or count.
#[derive(Debug, Default)]
pub(super) struct Size {
    pub min: Option<i64>,
    pub max: Option<i64>,
}

/// The schema of one value.
#[derive(Debug, Default)]
pub(super) struct Node {
    pub kind: Option<Kind>,
    pub int_or_string: bool,
    pub nullable: bool,
    pub embedded: bool,
    pub preserves_unknown: bool,
    pub properties: BTreeMap<String, Node>,
    pub additional: Additional,
    pub items: Option<Box<Node>>,
    pub list_type: ListType,
    pub default: Option<Value>,
    /// True if there is a default here or below.
    pub has_defaults: bool,
    /// True if there is an embedded resource here or below.
    pub has_embedded: bool,
    /// True if there is a list with identity here or below.
    pub has_lists: bool,

    /// The format's name as it was written, if it is one that is checked.
    pub format: Option<(String, Format)>,
    pub bounds: Bounds,
    pub length: Size,
    pub pattern: Option<Pattern>,
    pub item_count: Size,
    pub unique_items: bool,
    pub property_count: Size,
    pub required: Vec<String>,
    pub enumeration: Option<Enumeration>,
    pub all_of: Vec<Node>,
    pub any_of: Vec<Node>,
    pub one_of: Vec<Node>,
    pub not: Option<Box<Node>>,
}

impl Node {
    pub(super) fn parse(schema: &Value) -> Self {
        Self::parse_to(schema, MAX_DEPTH)
    }

    /// No definition that can be stored nests deeper than `depth`; beyond it all is permitted.
    fn parse_to(schema: &Value, depth: usize) -> Self {
        let (Some(depth), Some(map)) = (depth.checked_sub(1), schema.as_object()) else {
            return Self { preserves_unknown: true, ..Self::default() };
        };
        let node = |value: &Value| Self::parse_to(value, depth);
        let one = |name: &str| map.get(name).filter(|v| v.is_object()).map(|v| Box::new(node(v)));
        let each = |name: &str| list(map, name).iter().map(node).collect::<Vec<_>>();
        let properties: BTreeMap<String, Node> = map
            .get("properties")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .map(|(name, schema)| (name.clone(), node(schema)))
            .collect();
        let mut parsed = Self {
            kind: text(map, "type").and_then(Kind::parse),
            int_or_string: flag(map, "x-kubernetes-int-or-string"),
            nullable: flag(map, "nullable"),
            embedded: flag(map, "x-kubernetes-embedded-resource"),
            preserves_unknown: flag(map, "x-kubernetes-preserve-unknown-fields"),
            properties,
            additional: match map.get("additionalProperties") {
                Some(Value::Bool(false)) => Additional::Forbidden,
                Some(Value::Bool(true)) => Additional::Any,
                Some(schema @ Value::Object(_)) => Additional::Schema(Box::new(node(schema))),
                _ => Additional::Absent,
            },
            items: one("items"),
            list_type: match text(map, "x-kubernetes-list-type") {
                Some("set") => ListType::Set,
                Some("map") => ListType::Map(strings(map, "x-kubernetes-list-map-keys")),
                _ => ListType::Atomic,
            },
            default: map.get("default").filter(|v| !v.is_null()).cloned(),
            format: text(map, "format")
                .and_then(|name| Some((name.to_owned(), Format::parse(name)?))),
            bounds: Bounds {
                multiple_of: real(map, "multipleOf"),
                minimum: real(map, "minimum"),
                exclusive_minimum: flag(map, "exclusiveMinimum"),
                maximum: real(map, "maximum"),
                exclusive_maximum: flag(map, "exclusiveMaximum"),
            },
            length: size(map, "minLength", "maxLength"),
            pattern: text(map, "pattern").filter(|p| !p.is_empty()).map(Pattern::new),
            item_count: size(map, "minItems", "maxItems"),
            unique_items: flag(map, "uniqueItems"),
            property_count: size(map, "minProperties", "maxProperties"),
            required: strings(map, "required"),
            enumeration: Enumeration::new(list(map, "enum")),
            all_of: each("allOf"),
            any_of: each("anyOf"),
            one_of: each("oneOf"),
            not: one("not"),
            ..Self::default()
        };
        parsed.has_defaults = parsed.default.is_some() || parsed.any_child(|c| c.has_defaults);
        parsed.has_embedded = parsed.embedded || parsed.any_child(|c| c.has_embedded);
        parsed.has_lists =
            !matches!(parsed.list_type, ListType::Atomic) || parsed.any_child(|c| c.has_lists);
        parsed
    }

    fn any_child(&self, is: impl Fn(&Self) -> bool) -> bool {
        let further = [self.additional(), self.items.as_deref()];
        self.properties.values().chain(further.into_iter().flatten()).any(is)
    }

    /// The schema of properties that are not specified by name.
    pub(super) fn additional(&self) -> Option<&Self> {
        match &self.additional {
            Additional::Schema(node) => Some(node),
            _ => None,
        }
    }

    /// The schema of the property `name`, whether it is specified by name or not.
    pub(super) fn property(&self, name: &str) -> Option<&Self> {
        self.properties.get(name).or_else(|| self.additional())
    }

    /// Returns true if the schema constrains the type of a value.
    pub(super) fn is_typed(&self) -> bool {
        self.kind.is_some() || self.int_or_string
    }

    /// Returns true if values of this type are permitted.
    pub(super) fn admits(&self, kind: Kind) -> bool {
        match self.int_or_string {
            true => matches!(kind, Kind::Integer | Kind::String),
            false => self.kind == Some(kind),
        }
    }

    /// The permitted types, for messages.
    pub(super) fn type_name(&self) -> &'static str {
        match self.int_or_string {
            true => "integer,string",
            false => self.kind.map(Kind::name).unwrap_or_default(),
        }
    }

    /// Brings defaults into the form in which an object with them would be kept.
    pub(super) fn prune_defaults(&mut self) {
        if !self.has_defaults {
            return;
        }
        if let Some(mut default) = self.default.take() {
            coerce::default_value(self, &mut default);
            prune::default_value(self, &mut default);
            self.default = Some(default);
        }
        if let Additional::Schema(node) = &mut self.additional {
            node.prune_defaults();
        }
        if let Some(node) = &mut self.items {
            node.prune_defaults();
        }
        self.properties.values_mut().for_each(Self::prune_defaults);
    }
}

fn text<'a>(map: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    map.get(name).and_then(Value::as_str)
}

fn flag(map: &Map<String, Value>, name: &str) -> bool {
    map.get(name) == Some(&Value::Bool(true))
}

fn real(map: &Map<String, Value>, name: &str) -> Option<f64> {
    map.get(name).and_then(Value::as_f64)
}

fn size(map: &Map<String, Value>, min: &str, max: &str) -> Size {
    let count = |name: &str| map.get(name).and_then(Value::as_i64);
    Size { min: count(min), max: count(max) }
}

fn list<'a>(map: &'a Map<String, Value>, name: &str) -> &'a [Value] {
    map.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn strings(map: &Map<String, Value>, name: &str) -> Vec<String> {
    list(map, name).iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

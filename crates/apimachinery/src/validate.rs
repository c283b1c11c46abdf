//! Checks an object against its schema: unknown, duplicate and mistyped fields.
//!
//! What passes is also brought into the form in which upstream keeps it: nulls are dropped, so
//! are zeros that Go would not show, and quantities, times and bytes get their canonical text.

mod scalar;

use crate::codec::Duplicate;
use crate::schema::{Alternative, Field, Shape, Type};
use crate::status::Status;
use crate::text::quote;
use serde_json::{Map, Value};
use std::fmt;

/// What to do about unknown and duplicate fields (`?fieldValidation=`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FieldValidation {
    /// Refuse the object.
    Strict,
    /// Accept it and warn; what the server does by default.
    #[default]
    Warn,
    /// Accept it silently.
    Ignore,
}

impl FieldValidation {
    /// The words of the query parameter.
    pub const WORDS: &'static [&'static str] = &["", "Ignore", "Strict", "Warn"];

    /// Reads the query parameter; the empty one means `Warn`. `None` for any other word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "" | "Warn" => Some(Self::Warn),
            "Strict" => Some(Self::Strict),
            "Ignore" => Some(Self::Ignore),
            _ => None,
        }
    }
}

/// More findings than this are not collected.
const MAX_FINDINGS: usize = 100;

/// Checks `value`, removes fields the schema does not know, and returns warnings.
///
/// # Errors
/// 400 for a value of the wrong type, and in `Strict` mode for unknown or duplicate fields.
pub fn check(
    ty: &Type,
    value: &mut Value,
    mode: FieldValidation,
    duplicates: &[Duplicate],
) -> Result<Vec<String>, Status> {
    let findings = unknown_fields(ty, value).map_err(|e| refuse(ty, &e.0))?;
    // What is found while reading YAML comes before what is found in the object, and that of JSON
    // behind: JSON is read as the object.
    let read_before = matches!(duplicates.first(), Some(Duplicate::Line(..)));
    let all = |doubled: Vec<String>, mut unknown: Vec<String>| {
        let mut all = doubled;
        if read_before {
            all.append(&mut unknown);
        } else {
            unknown.append(&mut all);
            all = unknown;
        }
        all.truncate(MAX_FINDINGS);
        all
    };
    match mode {
        FieldValidation::Ignore => Ok(Vec::new()),
        FieldValidation::Strict if !(findings.is_empty() && duplicates.is_empty()) => {
            let findings = all(Duplicate::complaints(duplicates), findings);
            Err(refuse(ty, &format!("strict decoding error: {}", findings.join(", "))))
        }
        _ => Ok(all(duplicates.iter().map(ToString::to_string).collect(), findings)),
    }
}

/// Why a value does not fit its type, in the words of Go's decoder.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Misfit(pub String);

/// Checks `value`, removes fields the schema does not know, and names them.
///
/// # Errors
/// A value of the wrong type.
pub fn unknown_fields(ty: &Type, value: &mut Value) -> Result<Vec<String>, Misfit> {
    let mut findings: Vec<String> = Vec::new();
    let mut unknown = |place: &Place<'_>, name: &str| {
        let path = Place { parent: Some(place), ..Place::step(Step::Field(name)) };
        findings.push(format!("unknown field {}", quote(&path.to_string())));
    };
    let root = Place::default();
    object(ty, value, &root, &mut unknown).map_err(Misfit)?;
    Ok(findings)
}

fn refuse(ty: &Type, error: &str) -> Status {
    Status::bad_request(match &ty.gvk {
        Some(gvk) => format!(
            "{kind} in version {version} cannot be handled as a {kind}: {error}",
            kind = gvk.kind,
            version = quote(&gvk.version)
        ),
        None => error.to_owned(),
    })
}

/// The way from the root, kept on the stack and printed only when there is something to report.
#[derive(Clone, Copy, Default)]
struct Place<'a> {
    parent: Option<&'a Place<'a>>,
    step: Option<Step<'a>>,
    /// The embedded structs that Go names on the way.
    within: &'a str,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Field(&'a str),
    Index(usize),
}

impl<'a> Place<'a> {
    fn step(step: Step<'a>) -> Self {
        Self { parent: None, step: Some(step), within: "" }
    }

    fn below(&'a self, step: Step<'a>) -> Self {
        Self { parent: Some(self), step: Some(step), within: "" }
    }

    /// Go's decoder names fields only.
    fn fields(&self) -> String {
        let above = self.parent.map(Self::fields).unwrap_or_default();
        match self.step {
            Some(Step::Field(name)) => {
                let steps = [above.as_str(), self.within, name];
                steps.into_iter().filter(|s| !s.is_empty()).collect::<Vec<_>>().join(".")
            }
            _ => above,
        }
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        let first = self.parent.is_none_or(|p| p.step.is_none());
        match self.step {
            Some(Step::Field(name)) if first => f.write_str(name),
            Some(Step::Field(name)) => write!(f, ".{name}"),
            Some(Step::Index(i)) => write!(f, "[{i}]"),
            None => Ok(()),
        }
    }
}

type Unknown<'a> = dyn FnMut(&Place<'_>, &str) + 'a;

fn object(
    ty: &Type,
    value: &mut Value,
    place: &Place<'_>,
    unknown: &mut Unknown<'_>,
) -> Result<(), String> {
    let Value::Object(map) = value else {
        return Err(format!(
            "json: cannot unmarshal {} into Go value of type {}",
            scalar::describe(value),
            scalar::go_name(ty)
        ));
    };
    let mut drop = Vec::new();
    for (name, value) in map.iter_mut() {
        let Some(field) = ty.field(name) else {
            if !ty.open {
                unknown(place, name);
                drop.push(name.clone());
            }
            continue;
        };
        if !value.is_null() {
            let place = Place { within: &field.within, ..place.below(Step::Field(name)) };
            let owner = Owner { ty, place: &place, go_type: field.go_type.as_deref() };
            check_value(&field.shape, value, &owner, unknown)?;
        }
        if value.is_null() || is_noise(field, value) {
            drop.push(name.clone());
        }
    }
    for name in drop {
        map.remove(&name);
    }
    Ok(())
}

/// Whether Go would leave the field out of JSON.
fn is_noise(field: &Field, value: &Value) -> bool {
    // An empty list of managers is a wish to forget them all.
    if !field.omit_empty || field.name == "managedFields" {
        return false;
    }
    match value {
        Value::Array(items) => items.is_empty(),
        _ if field.pointer => false,
        Value::Object(map) => map.is_empty(),
        Value::String(s) => s.is_empty(),
        Value::Bool(b) => !b,
        Value::Number(n) => n.as_f64() == Some(0.0),
        Value::Null => true,
    }
}

/// The struct and field a value belongs to, for messages.
struct Owner<'a> {
    ty: &'a Type,
    place: &'a Place<'a>,
    /// What Go calls the value's type, where the shape does not tell.
    go_type: Option<&'a str>,
}

impl<'a> Owner<'a> {
    fn mismatch(&self, value: &Value, go_type: &str) -> String {
        let go_type = self.go_type.unwrap_or(go_type);
        let found = match value {
            // Go shows the number only where a number was wanted.
            Value::Number(_) if !go_type.starts_with("int") => "number".to_owned(),
            value => scalar::describe(value),
        };
        format!(
            "json: cannot unmarshal {found} into Go struct field {}.{} of type {go_type}",
            self.ty.short_name(),
            self.place.fields()
        )
    }

    fn inside<'b>(&'b self, place: &'b Place<'b>) -> Owner<'b>
    where
        'a: 'b,
    {
        let items = |go: &'a str| {
            let values = |go: &'a str| Some(go.strip_prefix("map[")?.split_once(']')?.1);
            go.strip_prefix("[]").or_else(|| values(go))
        };
        Owner { ty: self.ty, place, go_type: self.go_type.and_then(items) }
    }
}

fn check_value(
    shape: &Shape,
    value: &mut Value,
    owner: &Owner<'_>,
    unknown: &mut Unknown<'_>,
) -> Result<(), String> {
    let mismatch = |value: &Value| Err(owner.mismatch(value, &scalar::go_type(shape)));
    match shape {
        Shape::Object(ty) => match value {
            Value::Object(_) => object(ty, value, owner.place, unknown),
            other => mismatch(other),
        },
        Shape::List(list) => match value {
            Value::Array(items) => {
                for (i, item) in items.iter_mut().enumerate() {
                    let place = owner.place.below(Step::Index(i));
                    element(&list.item, item, &owner.inside(&place), unknown)?;
                }
                Ok(())
            }
            other => mismatch(other),
        },
        Shape::Map(map) => match value {
            Value::Object(entries) => {
                for (key, entry) in entries {
                    // Keys stand in paths of unknown fields; Go's own messages leave them out.
                    let place = owner.place.below(Step::Field(key));
                    element(&map.value, entry, &owner.inside(&place), unknown)
                        .map_err(|e| e.replace(&place.fields(), &owner.place.fields()))?;
                }
                Ok(())
            }
            other => mismatch(other),
        },
        Shape::SchemaOr(alternative, schema) => match (alternative, value) {
            (_, value @ Value::Object(_)) => object(schema, value, owner.place, unknown),
            (Alternative::Bool, Value::Bool(_)) => Ok(()),
            (Alternative::Array, Value::Array(schemas)) => {
                for (i, item) in schemas.iter_mut().enumerate() {
                    let place = owner.place.below(Step::Index(i));
                    object(schema, item, &place, unknown)?;
                }
                Ok(())
            }
            (Alternative::Strings, Value::Array(names)) => {
                match names.iter().find(|n| !n.is_string()) {
                    None => Ok(()),
                    Some(other) => Err(owner.mismatch(other, "string")),
                }
            }
            (Alternative::Bool, _) => Err("boolean or JSON schema expected".to_owned()),
            (_, other) => mismatch(other),
        },
        Shape::Any | Shape::RawExtension | Shape::FieldsV1 => Ok(()),
        scalar => scalar::check(scalar, value).map_err(|e| match e {
            // A number is read as one.
            scalar::Bad::Type if matches!(shape, Shape::IntOrString) && value.is_number() => {
                Owner { go_type: None, ..*owner }.mismatch(value, "int32")
            }
            scalar::Bad::Type => owner.mismatch(value, &scalar::go_type(shape)),
            scalar::Bad::Text(text) => text,
        }),
    }
}

/// An item of a list or map: null there is the zero value.
fn element(
    shape: &Shape,
    value: &mut Value,
    owner: &Owner<'_>,
    unknown: &mut Unknown<'_>,
) -> Result<(), String> {
    if value.is_null() {
        match shape {
            Shape::String | Shape::Bytes => *value = "".into(),
            Shape::Bool => *value = false.into(),
            Shape::Int32 | Shape::Int64 | Shape::IntOrString => *value = 0.into(),
            Shape::Quantity => *value = "0".into(),
            Shape::Object(_) => *value = Value::Object(Map::new()),
            _ => return Ok(()),
        }
    }
    check_value(shape, value, owner, unknown)
}

#[cfg(test)]
mod tests;

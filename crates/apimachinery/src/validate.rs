//! Checks an object against its schema: unknown, duplicate and mistyped fields.
//!
//! A valid object is also brought into the form in which upstream keeps it: nulls and zeros that Go
//! would not show are dropped, and quantities, times and bytes get their canonical text.

mod convert;
mod misfit;
mod scalar;

use crate::codec::{Duplicate, json};
use crate::schema::{Alternative, Field, Shape, Type, is_told_from_none};
use crate::status::Status;
use crate::text::{json_type, quote};
use serde_json::{Map, Value};
use std::collections::HashSet;
use std::fmt;

pub use misfit::Misfit;
pub use scalar::Content;

/// Handling of unknown and duplicate fields (`?fieldValidation=`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FieldValidation {
    /// Refuse the object.
    Strict,
    /// Accept it and warn; the server's default.
    #[default]
    Warn,
    /// Accept it silently.
    Ignore,
}

impl FieldValidation {
    /// The values of the query parameter.
    pub const WORDS: &'static [&'static str] = &["", "Ignore", "Strict", "Warn"];

    /// Reads the query parameter; empty means `Warn`, any other value is `None`.
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

/// Maximum length of a path prefix to look up: each lookup costs its length, and names may be long
/// and have many dots.
const MAX_BEGINNING: usize = 1024;
/// Maximum total size of the paths of unknown fields. Many may be below a key of any length.
const MAX_UNKNOWN_BYTES: usize = 4 << 20;
/// More findings than this are not collected.
pub(crate) const MAX_FINDINGS: usize = 100;

/// A problem with a field: it is unknown, or it is repeated.
enum Finding<'a> {
    Unknown(String),
    Again(&'a Duplicate),
}

impl Finding<'_> {
    /// The path of the field, and true if the finding is about its second occurrence.
    fn path(&self) -> (&str, bool) {
        match self {
            Self::Unknown(path) => (path, false),
            Self::Again(Duplicate::Field(path) | Duplicate::Line(_, path)) => (path, true),
        }
    }
}

impl fmt::Display for Finding<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(path) => write!(f, "unknown field {}", quote(path)),
            Self::Again(duplicate) => duplicate.fmt(f),
        }
    }
}

/// The findings of a JSON object in document order: Go reports both kinds in one pass, and skips
/// the content of unknown fields.
fn findings_of_json(
    unknown: Vec<String>,
    duplicates: &[Duplicate],
    document: Option<&[u8]>,
) -> Vec<String> {
    // Looked up by prefixes of the path, because a body may contain any number of unknown fields.
    let names: HashSet<&str> = unknown.iter().map(String::as_str).collect();
    let is_known = |path: &str| {
        let ends = path.match_indices(['.', '[']).map(|(at, _)| at).chain([path.len()]);
        !ends.take_while(|end| *end <= MAX_BEGINNING).any(|end| names.contains(&path[..end]))
    };
    let again: Vec<Finding<'_>> =
        duplicates.iter().map(Finding::Again).filter(|found| is_known(found.path().0)).collect();
    let mut all: Vec<Finding<'_>> =
        unknown.into_iter().map(Finding::Unknown).chain(again).collect();
    if let Some(document) = document {
        json::sort_by_place(document, &mut all, Finding::path);
    }
    all.iter().map(ToString::to_string).collect()
}

/// Checks `value`, removes unknown fields, and returns warnings. `document` is the JSON that the
/// value was read from, if any.
///
/// # Errors
/// 400 for a value of the wrong type, and in `Strict` mode for unknown or duplicate fields.
pub fn check(
    ty: &Type,
    value: &mut Value,
    mode: FieldValidation,
    duplicates: &[Duplicate],
    document: Option<&[u8]>,
) -> Result<Vec<String>, Status> {
    let unknown = unknown_paths(ty, value, false).map_err(|e| refuse(ty, &e.to_string()))?;
    let strict = match mode {
        FieldValidation::Ignore => return Ok(Vec::new()),
        _ if unknown.is_empty() && duplicates.is_empty() => return Ok(Vec::new()),
        mode => mode == FieldValidation::Strict,
    };
    let mut findings = if matches!(duplicates.first(), Some(Duplicate::Line(..))) {
        // Findings of the YAML reader come before those about the object.
        let doubled = match strict {
            true => Duplicate::complaints(duplicates),
            false => duplicates.iter().map(ToString::to_string).collect(),
        };
        let unknown = unknown.into_iter().map(|path| Finding::Unknown(path).to_string());
        doubled.into_iter().chain(unknown).collect()
    } else {
        findings_of_json(unknown, duplicates, document)
    };
    findings.truncate(MAX_FINDINGS);
    match strict {
        true => Err(refuse(ty, &format!("strict decoding error: {}", findings.join(", ")))),
        false => Ok(findings),
    }
}

/// Checks `value`, removes unknown fields, and reports them.
///
/// # Errors
/// A value of the wrong type.
pub fn unknown_fields(ty: &Type, value: &mut Value) -> Result<Vec<String>, Misfit> {
    let paths = unknown_paths(ty, value, false)?;
    Ok(paths.into_iter().map(|path| Finding::Unknown(path).to_string()).collect())
}

/// The same for an object that upstream converts from a tree of values, in the converter's words.
///
/// # Errors
/// A value of the wrong type.
pub fn unknown_fields_converted(ty: &Type, value: &mut Value) -> Result<Vec<String>, Misfit> {
    let paths = unknown_paths(ty, value, true)?;
    Ok(paths.into_iter().map(|path| Finding::Unknown(path).to_string()).collect())
}

pub(crate) fn unknown_paths(
    ty: &Type,
    value: &mut Value,
    converts: bool,
) -> Result<Vec<String>, Misfit> {
    let mut paths: Vec<String> = Vec::new();
    let mut bytes = 0;
    let mut unknown = |place: &Place<'_>, name: &str| {
        if bytes > MAX_UNKNOWN_BYTES {
            return;
        }
        let path = Place { parent: Some(place), ..Place::step(Step::Field(name)) }.to_string();
        bytes += path.len();
        paths.push(path);
    };
    let root = Place::default();
    let mut reading = Reading { unknown: &mut unknown, converts };
    object(ty, value, &root, &mut reading)?;
    Ok(paths)
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

/// The path from the root, kept on the stack and printed only when there is something to report.
#[derive(Clone, Copy, Default)]
struct Place<'a> {
    parent: Option<&'a Place<'a>>,
    step: Option<Step<'a>>,
    /// The embedded structs that Go names in the path.
    within: &'a str,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Field(&'a str),
    /// Key of a map: part of the paths of unknown fields, but omitted from Go's own messages.
    Key(&'a str),
    Index(usize),
}

impl<'a> Place<'a> {
    fn step(step: Step<'a>) -> Self {
        Self { parent: None, step: Some(step), within: "" }
    }

    fn below(&'a self, step: Step<'a>) -> Self {
        Self { parent: Some(self), step: Some(step), within: "" }
    }

    /// Go's decoder only names fields.
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
            Some(Step::Field(name) | Step::Key(name)) if first => f.write_str(name),
            Some(Step::Field(name) | Step::Key(name)) => write!(f, ".{name}"),
            Some(Step::Index(i)) => write!(f, "[{i}]"),
            None => Ok(()),
        }
    }
}

/// The way an object is read.
struct Reading<'a> {
    /// Called for each field that the schema does not know.
    unknown: &'a mut dyn FnMut(&Place<'_>, &str),
    /// Set for an object that is converted from values (a patched object), not read from JSON.
    converts: bool,
}

fn object(
    ty: &Type,
    value: &mut Value,
    place: &Place<'_>,
    reading: &mut Reading<'_>,
) -> Result<(), Misfit> {
    let Value::Object(map) = value else {
        if reading.converts {
            return Err(convert::of_struct(value));
        }
        return Err(Misfit::Value {
            found: json_type(value).to_owned(),
            wanted: scalar::go_name(ty),
        });
    };
    let mut drop = Vec::new();
    for (name, value) in map.iter_mut() {
        let Some(field) = ty.field(name) else {
            if !ty.open {
                (reading.unknown)(place, name);
                drop.push(name.clone());
            }
            continue;
        };
        if !value.is_null() {
            let place = Place { within: &field.within, ..place.below(Step::Field(name)) };
            let owner = Owner { ty, place: &place, go_type: field.go_type.as_deref() };
            check_value(&field.shape, value, &owner, reading)?;
        }
        if value.is_null() || is_noise(ty, field, value) {
            drop.push(name.clone());
        }
    }
    for name in drop {
        map.remove(&name);
    }
    Ok(())
}

/// Returns true if Go would omit the field from JSON.
fn is_noise(ty: &Type, field: &Field, value: &Value) -> bool {
    // An empty list of managers is a request to reset them.
    if !field.omit_empty || field.name == "managedFields" {
        return false;
    }
    match value {
        // In a field of any type Go stores a list as bytes.
        Value::Array(_)
            if matches!(field.shape, Shape::Any | Shape::RawExtension | Shape::FieldsV1) =>
        {
            false
        }
        Value::Array(items) => items.is_empty(),
        _ if field.pointer => false,
        Value::Object(map) => map.is_empty() && !is_told_from_none(ty, field),
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
    /// Go's name of the value's type, if the shape does not determine it.
    go_type: Option<&'a str>,
}

impl<'a> Owner<'a> {
    fn mismatch(&self, value: &Value, go_type: &str) -> Misfit {
        let go_type = self.go_type.unwrap_or(go_type);
        let found = match value {
            // Go shows the number only if a number was expected.
            Value::Number(_) if !go_type.starts_with("int") => "number".to_owned(),
            value => scalar::describe(value),
        };
        Misfit::Field {
            found,
            owner: self.ty.short_name().to_owned(),
            fields: self.place.fields(),
            wanted: go_type.to_owned(),
        }
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
    reading: &mut Reading<'_>,
) -> Result<(), Misfit> {
    if reading.converts {
        convert::wrap(shape, value);
    }
    let converts = reading.converts;
    let mismatch = |value: &Value| match converts {
        true => Err(convert::misfit(shape, value, owner.go_type)),
        false => Err(owner.mismatch(value, &scalar::go_type(shape))),
    };
    match shape {
        Shape::Object(ty) => match value {
            Value::Object(_) => object(ty, value, owner.place, reading),
            other => mismatch(other),
        },
        Shape::List(list) => match value {
            Value::Array(items) => {
                for (i, item) in items.iter_mut().enumerate() {
                    let place = owner.place.below(Step::Index(i));
                    element(&list.item, item, &owner.inside(&place), reading)?;
                }
                Ok(())
            }
            other => mismatch(other),
        },
        Shape::Map(map) => match value {
            Value::Object(entries) => {
                for (key, entry) in entries {
                    let place = owner.place.below(Step::Key(key));
                    element(&map.value, entry, &owner.inside(&place), reading)?;
                }
                Ok(())
            }
            other => mismatch(other),
        },
        Shape::SchemaOr(alternative, schema) => match (alternative, value) {
            (_, value @ Value::Object(_)) => object(schema, value, owner.place, reading),
            (Alternative::Bool, Value::Bool(_)) => Ok(()),
            (Alternative::Array, Value::Array(schemas)) => {
                for (i, item) in schemas.iter_mut().enumerate() {
                    let place = owner.place.below(Step::Index(i));
                    object(schema, item, &place, reading)?;
                }
                Ok(())
            }
            (Alternative::Strings, Value::Array(names)) => {
                match names.iter().find(|n| !n.is_string()) {
                    None => Ok(()),
                    Some(other) => Err(owner.mismatch(other, "string")),
                }
            }
            (Alternative::Bool, _) => Err(Misfit::NoSchema),
            (_, other) => mismatch(other),
        },
        Shape::Any | Shape::RawExtension | Shape::FieldsV1 => Ok(()),
        scalar => scalar::check(scalar, value).map_err(|e| match e {
            scalar::Bad::Type if converts => convert::misfit(shape, value, owner.go_type),
            scalar::Bad::Content(why) if converts && matches!(shape, Shape::Bytes) => {
                Misfit::Bytes(why)
            }
            // A value that is not a string is read as a number.
            scalar::Bad::Type if matches!(shape, Shape::IntOrString) => {
                Owner { go_type: None, ..*owner }.mismatch(value, "int32")
            }
            scalar::Bad::Type => owner.mismatch(value, &scalar::go_type(shape)),
            scalar::Bad::Content(why) => why.into(),
        }),
    }
}

/// An item of a list or map: a null item is the zero value.
fn element(
    shape: &Shape,
    value: &mut Value,
    owner: &Owner<'_>,
    reading: &mut Reading<'_>,
) -> Result<(), Misfit> {
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
    check_value(shape, value, owner, reading)
}

#[cfg(test)]
mod tests;

//! The checks of a value against its schema.

use super::compose::compose;
use super::correlate::Correlated;
use super::node::{Additional, Kind, Node};
use super::number::{self, Number};
use super::outcome::{Outcome, exceeds};
use super::place::{Place, Step};
use crate::field::{ErrorList, ErrorType, FieldError, Path};
use serde_json::{Map, Value};
use std::collections::HashSet;

/// The errors of the value at `base`, on update without those of what has not changed.
pub(super) fn check(root: &Node, object: &Value, old: Option<&Value>, base: Path) -> ErrorList {
    let mut out = Outcome::new(base);
    let old = old.map(|old| Correlated { node: root, old, new: object });
    ratcheted(root, object, &Place::default(), old, &mut out);
    out.into_errors()
}

/// Checks a value that may be the same as before. Returns true if it has errors that stay, which
/// means that it has changed.
fn ratcheted(
    node: &Node,
    value: &Value,
    at: &Place<'_>,
    old: Option<Correlated<'_>>,
    out: &mut Outcome,
) -> bool {
    let mark = out.mark();
    let has_changed = value_with(node, value, at, old, out);
    if !out.failed_since(mark) {
        return false;
    }
    if !has_changed && old.is_some_and(|old| old.is_unchanged()) {
        out.forgive(mark);
        return false;
    }
    true
}

/// Checks a value, whatever it was before.
pub(super) fn plain(node: &Node, value: &Value, at: &Place<'_>, out: &mut Outcome) {
    value_with(node, value, at, None, out);
}

/// Returns true if errors inside show that the value is not what it was.
fn value_with(
    node: &Node,
    value: &Value,
    at: &Place<'_>,
    old: Option<Correlated<'_>>,
    out: &mut Outcome,
) -> bool {
    kind(node, value, at, out);
    if value.is_null() {
        enumerated(node, value, at, out);
        return false;
    }
    compose(node, value, at, out);
    match value {
        Value::String(text) => string(node, text, at, out),
        Value::Number(n) => number::check(&node.bounds, Number::new(n), at, out),
        _ => {}
    }
    let changed = match value {
        Value::Array(values) => items(node, values, at, old, out),
        _ => false,
    };
    enumerated(node, value, at, out);
    let changed = match value {
        Value::Object(map) => fields(node, map, at, old, out),
        _ => changed,
    };
    out.matches += 1;
    changed
}

/// The type of a value, and Go's format of it.
fn kind_of(value: &Value) -> Option<(Kind, &'static str)> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(_) => (Kind::Boolean, ""),
        Value::Number(n) if matches!(Number::new(n), Number::Int(_)) => (Kind::Integer, "int64"),
        Value::Number(_) => (Kind::Number, "float64"),
        Value::String(_) => (Kind::String, ""),
        Value::Array(_) => (Kind::Array, ""),
        Value::Object(_) => (Kind::Object, ""),
    })
}

fn kind(node: &Node, value: &Value, at: &Place<'_>, out: &mut Outcome) {
    let Some((kind, go_format)) = kind_of(value) else {
        match node.is_typed() && !node.nullable {
            true => out.mistyped(at, node.type_name(), "null"),
            false => out.matches += 1,
        }
        return;
    };
    if !node.is_typed() && node.format.is_none() {
        return;
    }
    out.matches += 1;
    let is_integer = |n: &serde_json::Number| Number::new(n).is_integral();
    let fits = node.admits(kind)
        || (kind == Kind::Integer && node.admits(Kind::Number))
        || (node.admits(Kind::Integer) && value.as_number().is_some_and(is_integer));
    if let Some((format, _)) = &node.format {
        let has_length = matches!(kind, Kind::String | Kind::Array);
        if !fits && !has_length {
            return out.mistyped(at, format, go_format);
        }
        // A format says enough about a text, and lists go with it.
        if has_length && !node.admits(Kind::Number) && !node.admits(Kind::Integer) {
            out.matches += 1;
            return;
        }
    }
    match fits {
        true => out.matches += 1,
        false => out.mistyped(at, node.type_name(), kind.name()),
    }
}

fn string(node: &Node, text: &str, at: &Place<'_>, out: &mut Outcome) {
    out.matches += 1;
    let length = || text.chars().count();
    let size = &node.length;
    if let Some(max) = size.max.filter(|max| signed(length()) > *max) {
        out.at(at, |path| exceeds(ErrorType::TooLong, path, 0, max));
    } else if let Some(min) = size.min.filter(|min| signed(length()) < *min) {
        out.invalid(at, text, |name| format!("{name} in body should be at least {min} chars long"));
    } else if let Some(says) = node.pattern.as_ref().and_then(|p| p.mismatch(text)) {
        out.invalid(at, text, |name| format!("{name} in body should match '{says}'"));
    }
    if let Some((name, format)) = &node.format {
        out.matches += 1;
        if !format.admits(text) {
            out.mistyped(at, name, text);
        }
    }
}

fn enumerated(node: &Node, value: &Value, at: &Place<'_>, out: &mut Outcome) {
    if !value.is_null() {
        out.matches += 1;
    }
    if let Some(enumeration) = &node.enumeration
        && !enumeration.contains(value)
    {
        out.at(at, |path| {
            let error = FieldError::not_supported(path, value.clone(), &enumeration.shown());
            number::shown(error)
        });
    }
}

fn items(
    node: &Node,
    values: &[Value],
    at: &Place<'_>,
    old: Option<Correlated<'_>>,
    out: &mut Outcome,
) -> bool {
    let mut changed = false;
    if let Some(item) = &node.items {
        let before = old.as_ref().map(Correlated::items);
        for (i, value) in values.iter().enumerate() {
            let old = before.as_ref().and_then(|before| before.of(item, value));
            let is_known = old.is_some();
            changed |= ratcheted(item, value, &at.below(Step::Index(i)), old, out) && is_known;
        }
    }
    let count = values.len();
    if let Some(min) = node.item_count.min.filter(|min| signed(count) < *min) {
        out.invalid(at, count, |name| format!("{name} in body should have at least {min} items"));
    }
    if let Some(max) = node.item_count.max.filter(|max| signed(count) > *max) {
        out.at(at, |path| exceeds(ErrorType::TooMany, path, count, max));
    }
    if node.unique_items {
        let mut seen = HashSet::with_capacity(count);
        if !values.iter().all(|value| seen.insert(value.to_string())) {
            out.invalid(at, "", |name| format!("{name} in body shouldn't contain duplicates"));
        }
    }
    out.matches += 2;
    changed
}

fn fields(
    node: &Node,
    map: &Map<String, Value>,
    at: &Place<'_>,
    old: Option<Correlated<'_>>,
    out: &mut Outcome,
) -> bool {
    out.matches += 1;
    let count = map.len();
    if let Some(min) = node.property_count.min.filter(|min| signed(count) < *min) {
        out.invalid(at, count, |name| {
            format!("{name} in body should have at least {min} properties")
        });
    }
    if let Some(max) = node.property_count.max.filter(|max| signed(count) > *max) {
        out.at(at, |path| exceeds(ErrorType::TooMany, path, count, max));
    }
    let mut changed = false;
    let mut field = |node: &Node, name: &str, value: &Value, step: Step<'_>, out: &mut Outcome| {
        // The server writes the type of the object: it is never what it was by itself.
        let is_type = at.is_root() && matches!(name, "apiVersion" | "kind");
        let before = old.as_ref().filter(|_| !is_type).and_then(|old| old.field(name));
        changed |= ratcheted(node, value, &at.below(step), before, out) && !is_type;
    };
    match &node.additional {
        Additional::Forbidden => {
            for name in map.keys().filter(|name| !node.properties.contains_key(*name)) {
                out.invalid(at, name.as_str(), |at| {
                    format!("{at}.{name} in body is a forbidden property")
                });
            }
        }
        Additional::Schema(additional) => {
            for (name, value) in map.iter().filter(|(name, _)| !node.properties.contains_key(*name))
            {
                field(additional, name, value, Step::Key(name), out);
            }
        }
        Additional::Absent | Additional::Any => {}
    }
    for (name, property) in &node.properties {
        if let Some(value) = map.get(name) {
            field(property, name, value, Step::Field(name), out);
        }
    }
    for name in node.required.iter().filter(|name| !map.contains_key(*name)) {
        out.at(&at.below(Step::Key(name)), |path| FieldError::required(path, ""));
    }
    changed
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

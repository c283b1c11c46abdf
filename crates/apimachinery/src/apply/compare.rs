//! Compares two versions of an object.

use super::element;
use super::set::FieldSet;
use super::view::{View, implied, is_bare, view};
use crate::schema::{ListShape, Shape};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Differences between two values.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Comparison {
    pub(super) removed: FieldSet,
    pub(super) modified: FieldSet,
    pub(super) added: FieldSet,
}

impl Comparison {
    /// Without the fields in `ignored` and below them.
    pub(super) fn without(mut self, ignored: &FieldSet) -> Self {
        for set in [&mut self.removed, &mut self.modified, &mut self.added] {
            set.prune(ignored);
        }
        self
    }

    /// Splits the differences into fields with a new value and removed fields.
    pub(super) fn split(self) -> (FieldSet, FieldSet) {
        let mut changed = self.modified;
        changed.absorb(self.added);
        (changed, self.removed)
    }
}

/// Compares two versions of an object.
pub(super) fn compare(shape: &Shape, old: &Value, new: &Value) -> Comparison {
    let mut found = Comparison::default();
    walk(shape, Some(old), Some(new), &mut Vec::new(), &mut found);
    found
}

fn walk(
    shape: &Shape,
    old: Option<&Value>,
    new: Option<&Value>,
    path: &mut Vec<String>,
    found: &mut Comparison,
) {
    // A null or absent side takes the structure of the other.
    let model = new.filter(|v| !v.is_null()).or(old).or(new);
    let Some(model) = model else { return };
    // Most of an object is unchanged.
    if old == new {
        return;
    }
    let parts = view(shape, model);
    let bare = |side| is_bare(side) && !shows_something(parts, side);
    if matches!(parts, View::Leaf) || (bare(old) && bare(new)) {
        match (old, new) {
            (None, _) => found.added.insert(path),
            (_, None) => found.removed.insert(path),
            (Some(old), Some(new)) if old != new => found.modified.insert(path),
            _ => {}
        }
        return;
    }
    match parts {
        View::List(list) => items(list, old, new, path, found),
        _ => entries(parts, old, new, path, found),
    }
    match (old, new) {
        (None, _) => found.added.insert(path),
        (_, None) => found.removed.insert(path),
        _ => {}
    }
}

/// Returns true if Go would show fields of this object although none is set.
fn shows_something(parts: View<'_>, side: Option<&Value>) -> bool {
    match (parts, side) {
        (View::Struct(ty), Some(Value::Object(_))) => {
            ty.fields.iter().any(|f| implied(f).is_some())
        }
        _ => false,
    }
}

fn entries(
    parts: View<'_>,
    old: Option<&Value>,
    new: Option<&Value>,
    path: &mut Vec<String>,
    found: &mut Comparison,
) {
    let (old, new) = (old.and_then(Value::as_object), new.and_then(Value::as_object));
    let mut names: BTreeSet<&String> = old.into_iter().chain(new).flat_map(|m| m.keys()).collect();
    if let View::Struct(ty) = parts {
        let shown = ty.fields.iter().filter(|f| implied(f).is_some());
        names.extend(shown.map(|f| &f.name));
    }
    for name in names {
        let (shape, _) = parts.child(name);
        let implied = match parts {
            View::Struct(ty) => ty.field(name).and_then(implied),
            _ => None,
        };
        let l = old.and_then(|map| map.get(name).or(implied.as_ref()));
        let r = new.and_then(|map| map.get(name).or(implied.as_ref()));
        if l.is_some() || r.is_some() {
            path.push(element::field(name));
            walk(shape, l, r, path, found);
            path.pop();
        }
    }
}

/// Items by identity. Upstream tolerates duplicates: they are compared as one unit, and a duplicate
/// that appears or disappears counts as a change of the item.
fn items(
    list: &ListShape,
    old: Option<&Value>,
    new: Option<&Value>,
    path: &mut Vec<String>,
    found: &mut Comparison,
) {
    let (old, new) = (grouped(list, old), grouped(list, new));
    let elements: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let none = Vec::new();
    for element in elements {
        let (l, r) = (old.get(element).unwrap_or(&none), new.get(element).unwrap_or(&none));
        path.push(element.clone());
        match (l.len(), r.len()) {
            (0..=1, 0..=1) => {
                walk(&list.item, l.first().copied(), r.first().copied(), path, found);
            }
            (2.., 2..) if l != r => found.modified.insert(path),
            (2.., 2..) => {}
            (2.., _) => {
                walk(&list.item, None, r.first().copied(), path, found);
                found.removed.insert(path);
            }
            (_, _) => {
                walk(&list.item, l.first().copied(), None, path, found);
                found.added.insert(path);
            }
        }
        path.pop();
    }
}

fn grouped<'a>(list: &ListShape, value: Option<&'a Value>) -> BTreeMap<String, Vec<&'a Value>> {
    let mut groups: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
    for item in value.and_then(Value::as_array).into_iter().flatten() {
        if let Ok(element) = element::item(list, item) {
            groups.entry(element).or_default().push(item);
        }
    }
    groups
}

//! Compares two versions of an object.

use super::element;
use super::set::{FieldSet, Node};
use super::view::{View, implied, is_bare, view};
use crate::schema::{Field, ListShape, Shape};
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
    let (old, new) = match (old, new) {
        (Some(old), Some(new)) => (old, new),
        (None, Some(new)) => return found.added.graft(path, whole(shape, new)),
        (Some(old), None) => return found.removed.graft(path, whole(shape, old)),
        (None, None) => return,
    };
    // Most of an object is unchanged.
    if old == new {
        return;
    }
    // A null takes the structure of the other side.
    let parts = view(shape, if new.is_null() { old } else { new });
    let bare = |side| is_bare(side) && !shows_something(parts, side);
    match parts {
        View::Leaf => found.modified.insert(path),
        _ if bare(old) && bare(new) => found.modified.insert(path),
        View::List(list) => items(list, old, new, path, found),
        _ => entries(parts, old, new, path, found),
    }
}

/// All fields of a value that was added or removed as a whole.
fn whole(shape: &Shape, value: &Value) -> Node {
    let parts = view(shape, value);
    let mut below = FieldSet::default();
    match parts {
        View::Leaf => {}
        View::List(list) => {
            for (element, items) in grouped(list, value) {
                let node = match &items[..] {
                    [one] => whole(&list.item, one),
                    _ => Node::member(FieldSet::default()),
                };
                below.put(element, node);
            }
        }
        View::Struct(_) | View::Map(_) => {
            for (name, value) in value.as_object().into_iter().flatten() {
                below.put(element::field(name), whole(parts.child(name).0, value));
            }
            if let View::Struct(ty) = parts {
                let unset = |field: &&Field| value.get(&field.name).is_none();
                for field in ty.fields.iter().filter(unset) {
                    if let Some(zero) = implied(field) {
                        below.put(element::field(&field.name), whole(&field.shape, &zero));
                    }
                }
            }
        }
    }
    Node::member(below)
}

/// Returns true if Go would show fields of this object although none is set.
fn shows_something(parts: View<'_>, side: &Value) -> bool {
    match (parts, side) {
        (View::Struct(ty), Value::Object(_)) => ty.fields.iter().any(|f| implied(f).is_some()),
        _ => false,
    }
}

fn entries(
    parts: View<'_>,
    old: &Value,
    new: &Value,
    path: &mut Vec<String>,
    found: &mut Comparison,
) {
    let (old, new) = (old.as_object(), new.as_object());
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
    old: &Value,
    new: &Value,
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

fn grouped<'a>(list: &ListShape, value: &'a Value) -> BTreeMap<String, Vec<&'a Value>> {
    let mut groups: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
    for item in value.as_array().into_iter().flatten() {
        if let Ok(element) = element::item(list, item) {
            groups.entry(element).or_default().push(item);
        }
    }
    groups
}

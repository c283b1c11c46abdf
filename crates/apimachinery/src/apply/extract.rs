//! Extracts the set of fields of a value.

use super::element;
use super::set::FieldSet;
use super::view::{FREE, View, view};
use crate::schema::{ListKind, Shape};
use serde_json::Value;
use std::collections::HashMap;

/// The set of all fields in `value`.
pub(super) fn extract(shape: &Shape, value: &Value) -> FieldSet {
    let mut set = FieldSet::default();
    walk(shape, value, &mut Vec::new(), &mut set);
    set
}

fn walk(shape: &Shape, value: &Value, path: &mut Vec<String>, set: &mut FieldSet) {
    match (view(shape, value), value) {
        (View::List(list), Value::Array(items)) => {
            let elements: Vec<Option<String>> =
                items.iter().map(|item| element::item(list, item).ok()).collect();
            let mut counts: HashMap<&str, usize> = HashMap::new();
            for element in elements.iter().flatten() {
                *counts.entry(element).or_default() += 1;
            }
            for (item, element) in items.iter().zip(&elements) {
                let Some(element) = element else { continue };
                let unique = counts[element.as_str()] == 1;
                path.push(element.clone());
                if unique {
                    walk(&list.item, item, path, set);
                }
                set.insert(path);
                path.pop();
            }
        }
        (parts @ (View::Struct(_) | View::Map(_)), Value::Object(map)) => {
            for (name, value) in map {
                let (shape, declared) = parts.child(name);
                path.push(element::field(name));
                walk(shape, value, path, set);
                let empty = value.is_null() || value.as_object().is_some_and(|m| m.is_empty());
                if empty || !declared {
                    set.insert(path);
                }
                path.pop();
            }
        }
        _ => set.insert(path),
    }
}

/// Returns the set with every struct field on the way to a member added as a member.
pub(super) fn with_parents(shape: &Shape, mut set: FieldSet) -> FieldSet {
    promote(shape, &mut set);
    set
}

fn promote(shape: &Shape, set: &mut FieldSet) {
    set.promote(&mut |element, below| {
        let (shape, declared) = step(shape, element);
        promote(shape, below);
        declared
    });
}

/// The shape of the next step, and true if that step is a declared field.
fn step<'a>(shape: &'a Shape, element: &str) -> (&'a Shape, bool) {
    match (shape, element::field_name(element)) {
        (Shape::Object(ty), Some(name)) => match ty.field(name) {
            Some(field) => (&field.shape, true),
            None => (&FREE, false),
        },
        (Shape::Map(map), Some(_)) => (&map.value, false),
        (Shape::List(list), None) if list.kind != ListKind::Atomic => (&list.item, false),
        _ => (&FREE, false),
    }
}

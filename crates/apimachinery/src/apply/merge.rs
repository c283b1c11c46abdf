//! Merges an applied configuration into an object, and removes fields from one.

use super::element;
use super::set::FieldSet;
use super::view::{View, is_bare, view};
use crate::schema::{ListShape, Shape};
use serde_json::{Map, Value};
use std::collections::{HashMap, HashSet};

/// Returns `live` with all fields of `config` merged into it.
pub(super) fn merge(shape: &Shape, live: &Value, config: &Value) -> Value {
    let parts = view(shape, config);
    if is_bare(live) && is_bare(config) {
        return config.clone();
    }
    // A null has no parts to merge: a live value that has parts stays unchanged.
    if config.is_null() && !matches!(view(shape, live), View::Leaf) {
        return live.clone();
    }
    match (parts, live, config) {
        (View::Struct(_) | View::Map(_), Value::Object(live), Value::Object(config)) => {
            let mut merged = live.clone();
            for (name, value) in config {
                let (shape, _) = parts.child(name);
                let value = match live.get(name) {
                    Some(old) => merge(shape, old, value),
                    None => value.clone(),
                };
                merged.insert(name.clone(), value);
            }
            Value::Object(merged)
        }
        (View::List(list), Value::Array(live), Value::Array(config)) => {
            Value::Array(merge_lists(list, live, config))
        }
        _ => config.clone(),
    }
}

/// Items in both lists take the configuration's order; the others keep their relative place.
fn merge_lists(list: &ListShape, live: &[Value], config: &[Value]) -> Vec<Value> {
    let identify = |items: &[Value]| -> Vec<String> {
        items.iter().map(|i| element::item(list, i).unwrap_or_default()).collect()
    };
    let (left, right) = (identify(live), identify(config));
    let configured: HashSet<&String> = right.iter().collect();
    // A duplicate in the live list is replaced rather than merged.
    let mut lives: HashMap<&String, Option<&Value>> = HashMap::new();
    for (id, item) in left.iter().zip(live) {
        lives.entry(id).and_modify(|v| *v = None).or_insert(Some(item));
    }
    let both = |id: &String, item: &Value| match lives.get(id).copied().flatten() {
        Some(old) => merge(&list.item, old, item),
        None => item.clone(),
    };
    let mut shared = right.iter().filter(|id| lives.contains_key(id));
    let mut next_shared = shared.next();
    let mut done: HashSet<&String> = HashSet::new();
    let mut merged = Vec::with_capacity(live.len().max(config.len()));
    let (mut l, mut r) = (0, 0);
    while l < left.len() || r < right.len() {
        if l < left.len() && r < right.len() {
            if left[l] == right[r] {
                done.insert(&right[r]);
                merged.push(both(&right[r], &config[r]));
                l += 1;
                r += 1;
                next_shared = shared.next();
                continue;
            }
            if configured.contains(&left[l]) && next_shared.is_some_and(|n| *n != left[l]) {
                l += 1;
                continue;
            }
        }
        if l < left.len() {
            if !configured.contains(&left[l]) {
                merged.push(live[l].clone());
                l += 1;
                continue;
            }
            if done.contains(&left[l]) {
                l += 1;
            }
        }
        if r < right.len() {
            done.insert(&right[r]);
            merged.push(both(&right[r], &config[r]));
            if next_shared == Some(&right[r]) {
                next_shared = shared.next();
            }
            r += 1;
        }
    }
    merged
}

/// `value` without the fields in `unwanted`; `None` when nothing is left of it.
pub(super) fn remove(shape: &Shape, value: &Value, unwanted: &FieldSet) -> Option<Value> {
    if unwanted.is_empty() {
        return Some(value.clone());
    }
    match (view(shape, value), value) {
        (View::List(list), Value::Array(items)) => {
            let mut kept = Vec::with_capacity(items.len());
            for item in items {
                match element::item(list, item) {
                    Ok(element) if unwanted.has(&element) => {}
                    Ok(element) => {
                        kept.extend(remove(&list.item, item, unwanted.below(&element)));
                    }
                    Err(_) => kept.push(item.clone()),
                }
            }
            (!kept.is_empty()).then_some(Value::Array(kept))
        }
        (parts @ (View::Struct(_) | View::Map(_)), Value::Object(map)) => {
            let mut kept = Map::new();
            for (name, value) in map {
                let element = element::field(name);
                if unwanted.has(&element) {
                    continue;
                }
                // Emptied but not removed itself: it becomes null, which keeps its parent.
                let (shape, _) = parts.child(name);
                let rest = remove(shape, value, unwanted.below(&element));
                kept.insert(name.clone(), rest.unwrap_or_default());
            }
            (!kept.is_empty()).then_some(Value::Object(kept))
        }
        _ => Some(value.clone()),
    }
}

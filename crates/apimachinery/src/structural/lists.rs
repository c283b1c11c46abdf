//! Lists whose items are told apart by their value (`set`) or by their keys (`map`).

use super::MAX_MESSAGE_BYTES;
use super::node::{ListType, Node};
use super::number;
use super::place::{Place, Step};
use crate::field::{ErrorList, FieldError};
use crate::text::go_json;
use serde_json::Value;
use std::collections::HashMap;

/// The repeated items of all such lists in an object.
pub(super) fn check(root: &Node, object: &Value) -> ErrorList {
    let mut errors = Errors::default();
    inside(root, object, &Place::default(), &mut errors);
    errors.list
}

#[derive(Default)]
struct Errors {
    list: ErrorList,
    bytes: usize,
}

impl Errors {
    fn push(&mut self, at: &Place<'_>, error: impl FnOnce(&Place<'_>) -> FieldError) {
        if self.bytes < MAX_MESSAGE_BYTES {
            let error = error(at);
            self.bytes += error.to_string().len();
            self.list.push(error);
        }
    }

    fn duplicate(&mut self, list: &Place<'_>, index: usize, value: impl FnOnce() -> Value) {
        self.push(&list.below(Step::Index(index)), |at| {
            number::shown(FieldError::duplicate(&at.path(), value()))
        });
    }
}

fn inside(node: &Node, value: &Value, at: &Place<'_>, errors: &mut Errors) {
    if !node.has_lists {
        return;
    }
    match value {
        Value::Object(map) => {
            if let Some(additional) = node.additional() {
                for (name, value) in map {
                    inside(additional, value, &at.below(Step::Key(name)), errors);
                }
            }
            for (name, value) in map {
                if let Some(property) = node.properties.get(name) {
                    inside(property, value, &at.below(Step::Field(name)), errors);
                }
            }
        }
        Value::Array(values) => {
            match &node.list_type {
                ListType::Atomic => {}
                ListType::Set => {
                    for i in repeated(values.iter().map(text)) {
                        errors.duplicate(at, i, || values[i].clone());
                    }
                }
                ListType::Map(keys) => map_list(keys, values, at, errors),
            }
            if let Some(item) = &node.items {
                for (i, value) in values.iter().enumerate() {
                    inside(item, value, &at.below(Step::Index(i)), errors);
                }
            }
        }
        _ => {}
    }
}

fn map_list(keys: &[String], values: &[Value], at: &Place<'_>, errors: &mut Errors) {
    let is_item = |value: &Value| value.is_null() || value.is_object();
    if let Some(i) = values.iter().position(|value| !is_item(value)) {
        return errors.push(&at.below(Step::Index(i)), |at| {
            let says = "must be an object for an array of list-type map";
            number::shown(FieldError::invalid(&at.path(), values[i].clone(), says))
        });
    }
    let key_of = |value: &Value| {
        let found = keys.iter().filter_map(|key| Some((key.clone(), value.get(key)?.clone())));
        Value::Object(found.collect())
    };
    let key_text = |value: &Value| match keys {
        // A single key is compared by itself.
        [key] => value.get(key).map_or_else(String::new, text),
        _ => text(&key_of(value)),
    };
    for i in repeated(values.iter().map(key_text)) {
        errors.duplicate(at, i, || key_of(&values[i]));
    }
}

/// The places at which a text comes for the second time.
fn repeated(texts: impl ExactSizeIterator<Item = String>) -> Vec<usize> {
    let mut seen: HashMap<String, usize> = HashMap::with_capacity(texts.len());
    let second = |(i, text)| {
        let times = seen.entry(text).or_default();
        *times += 1;
        (*times == 2).then_some(i)
    };
    texts.enumerate().filter_map(second).collect()
}

/// The text by which items are compared. Inside lists and maps, which upstream compares in JSON, an
/// integer equals a float.
fn text(value: &Value) -> String {
    match value {
        Value::Array(_) | Value::Object(_) => go_json(value),
        _ => value.to_string(),
    }
}

//! Defaults, and nulls that are no values.

use super::node::Node;
use super::prune::is_implied;
use serde_json::Value;

/// Removes nulls from a resource, but not from what every resource has.
pub(super) fn drop_nulls_of_object(root: &Node, object: &mut Value) {
    let Value::Object(map) = object else { return };
    map.retain(|name, value| {
        let node = root.property(name).filter(|_| !is_implied(name));
        node.is_none_or(|node| keeps(node, value))
    });
}

/// Removes nulls inside a value. Returns false if the value itself is one to remove.
fn keeps(node: &Node, value: &mut Value) -> bool {
    match value {
        Value::Null => node.nullable || node.default.is_some(),
        Value::Object(map) => {
            map.retain(|name, value| node.property(name).is_none_or(|node| keeps(node, value)));
            true
        }
        Value::Array(values) => {
            if let Some(item) = &node.items {
                // An item that is null stays: the others keep their places.
                values.iter_mut().for_each(|value| {
                    keeps(item, value);
                });
            }
            true
        }
        _ => true,
    }
}

/// The most that defaults add to one object, in bytes: more than any that can be stored has.
const MAX_FILLED: usize = 8 << 20;

/// Fills in the defaults inside a value, until they are more than can be stored.
pub(super) fn fill(node: &Node, value: &mut Value) {
    let mut left = MAX_FILLED;
    fill_within(node, value, &mut left);
}

/// A default, if there is room for it.
fn copy(default: &Value, left: &mut usize) -> Option<Value> {
    *left = left.checked_sub(size(default))?;
    Some(default.clone())
}

/// About how much memory a value takes.
fn size(value: &Value) -> usize {
    let below = match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(size).sum(),
        Value::Object(map) => map.iter().map(|(name, value)| name.len() + size(value)).sum(),
        _ => 0,
    };
    below + size_of::<Value>()
}

fn fill_within(node: &Node, value: &mut Value, left: &mut usize) {
    if !node.has_defaults {
        return;
    }
    match value {
        Value::Object(map) => {
            for (name, property) in node.properties.iter().filter(|(_, p)| p.has_defaults) {
                match map.get_mut(name) {
                    Some(value) => replace_null(property, value, left),
                    None => {
                        let Some(default) = &property.default else { continue };
                        let Some(mut value) = copy(default, left) else { return };
                        fill_within(property, &mut value, left);
                        map.insert(name.clone(), value);
                    }
                }
            }
            if let Some(additional) = node.additional().filter(|a| a.has_defaults) {
                let others =
                    map.iter_mut().filter(|(name, _)| !node.properties.contains_key(*name));
                others.for_each(|(_, value)| replace_null(additional, value, left));
            }
        }
        Value::Array(values) => {
            if let Some(item) = &node.items {
                values.iter_mut().for_each(|value| replace_null(item, value, left));
            }
        }
        _ => {}
    }
}

/// Fills in defaults of a value that is there.
fn replace_null(node: &Node, value: &mut Value, left: &mut usize) {
    if value.is_null()
        && !node.nullable
        && let Some(default) = &node.default
        && let Some(default) = copy(default, left)
    {
        *value = default;
    }
    fill_within(node, value, left);
}

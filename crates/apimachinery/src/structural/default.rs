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

/// Fills in the defaults inside a value.
pub(super) fn fill(node: &Node, value: &mut Value) {
    if !node.has_defaults {
        return;
    }
    match value {
        Value::Object(map) => {
            for (name, property) in node.properties.iter().filter(|(_, p)| p.has_defaults) {
                match map.get_mut(name) {
                    Some(value) => replace_null(property, value),
                    None => {
                        let Some(default) = &property.default else { continue };
                        let value = map.entry(name.as_str()).or_insert_with(|| default.clone());
                        fill(property, value);
                    }
                }
            }
            if let Some(additional) = node.additional().filter(|a| a.has_defaults) {
                let others =
                    map.iter_mut().filter(|(name, _)| !node.properties.contains_key(*name));
                others.for_each(|(_, value)| replace_null(additional, value));
            }
        }
        Value::Array(values) => {
            if let Some(item) = &node.items {
                values.iter_mut().for_each(|value| replace_null(item, value));
            }
        }
        _ => {}
    }
}

/// Fills in defaults of a value that is there.
fn replace_null(node: &Node, value: &mut Value) {
    if value.is_null()
        && !node.nullable
        && let Some(default) = &node.default
    {
        *value = default.clone();
    }
    fill(node, value);
}

//! Removal of unspecified fields.

use super::MAX_MESSAGE_BYTES;
use super::node::{Additional, Node};
use super::place::{Place, Step};
use serde_json::{Map, Value};

/// Fields that every resource has.
pub(super) fn is_implied(name: &str) -> bool {
    matches!(name, "apiVersion" | "kind" | "metadata")
}

/// The paths of removed fields.
#[derive(Default)]
struct Unknown {
    paths: Vec<String>,
    bytes: usize,
}

impl Unknown {
    fn record(&mut self, place: &Place<'_>, name: &str) {
        if self.bytes < MAX_MESSAGE_BYTES {
            let path = place.below(Step::Key(name)).dotted();
            self.bytes += path.len();
            self.paths.push(path);
        }
    }
}

/// Removes the unspecified fields of a resource and returns their paths in order.
pub(super) fn prune(root: &Node, object: &mut Value) -> Vec<String> {
    let mut unknown = Unknown::default();
    if let Value::Object(map) = object {
        fields(root, true, map, &Place::default(), &mut unknown);
    }
    unknown.paths.sort_unstable();
    unknown.paths
}

/// Removes the unspecified fields of a default.
pub(super) fn default_value(node: &Node, value: &mut Value) {
    inside(Some(node), value, &Place::default(), &mut Unknown::default());
}

/// Without a schema nothing is specified.
fn inside(node: Option<&Node>, value: &mut Value, place: &Place<'_>, unknown: &mut Unknown) {
    match value {
        Value::Object(map) => match node {
            Some(node) => fields(node, node.embedded, map, place, unknown),
            None => {
                map.keys().for_each(|name| unknown.record(place, name));
                map.clear();
            }
        },
        Value::Array(values) => {
            let item = node.and_then(|node| node.items.as_deref());
            let preserves = node.is_some_and(|node| node.preserves_unknown);
            for (i, value) in values.iter_mut().enumerate() {
                let place = place.below(Step::Index(i));
                match (preserves, item) {
                    (false, item) => inside(item, value, &place, unknown),
                    (true, Some(item)) => preserved(item, value, &place, unknown),
                    (true, None) => {}
                }
            }
        }
        _ => {}
    }
}

/// An item of a list that preserves unknown fields preserves its own.
fn preserved(node: &Node, value: &mut Value, place: &Place<'_>, unknown: &mut Unknown) {
    match value {
        Value::Object(map) => keep_others(node, node.embedded, map, place, unknown),
        Value::Array(values) => {
            let Some(item) = node.items.as_deref() else { return };
            for (i, value) in values.iter_mut().enumerate() {
                preserved(item, value, &place.below(Step::Index(i)), unknown);
            }
        }
        _ => {}
    }
}

fn fields(
    node: &Node,
    is_resource: bool,
    map: &mut Map<String, Value>,
    place: &Place<'_>,
    unknown: &mut Unknown,
) {
    if !node.preserves_unknown && matches!(node.additional, Additional::Absent) {
        map.retain(|name, _| {
            let known = (is_resource && is_implied(name)) || node.properties.contains_key(name);
            if !known {
                unknown.record(place, name);
            }
            known
        });
    }
    keep_others(node, is_resource, map, place, unknown);
}

/// Prunes inside the specified fields.
fn keep_others(
    node: &Node,
    is_resource: bool,
    map: &mut Map<String, Value>,
    place: &Place<'_>,
    unknown: &mut Unknown,
) {
    for (name, value) in map {
        if is_resource && is_implied(name) {
            continue;
        }
        let below = match node.properties.get(name) {
            Some(property) => Some(property),
            None if matches!(node.additional, Additional::Absent) => continue,
            None => node.additional(),
        };
        inside(below, value, &place.below(Step::Key(name)), unknown);
    }
}

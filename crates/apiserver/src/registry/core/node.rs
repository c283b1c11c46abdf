//! Node.

use apimachinery::{Object, ObjectExt};
use serde_json::Value;

use crate::registry::column::{AGE, Column, NAME, join};
use crate::registry::strategy::Strategy;

pub(super) const COLUMNS: &[Column] = &[
    NAME,
    Column::make("Status", status),
    Column::make("Roles", roles),
    AGE,
    Column::text_or("Version", &["status", "nodeInfo", "kubeletVersion"], ""),
    Column::make("Internal-IP", |o| address(o, "InternalIP")).wide(),
    Column::make("External-IP", |o| address(o, "ExternalIP")).wide(),
    Column::text_or("OS-Image", &["status", "nodeInfo", "osImage"], "<unknown>").wide(),
    Column::text_or("Kernel-Version", &["status", "nodeInfo", "kernelVersion"], "<unknown>").wide(),
    Column::text_or(
        "Container-Runtime",
        &["status", "nodeInfo", "containerRuntimeVersion"],
        "<unknown>",
    )
    .wide(),
];

fn status(object: &Value) -> Value {
    let conditions = object.get_path(&["status", "conditions"]).and_then(Value::as_array);
    let ready = conditions.into_iter().flatten().find(|c| c["type"] == "Ready");
    let mut words = vec![match ready {
        Some(c) if c["status"] == "True" => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    }];
    if object.get_path(&["spec", "unschedulable"]) == Some(&Value::Bool(true)) {
        words.push("SchedulingDisabled");
    }
    words.join(",").into()
}

fn roles(object: &Value) -> Value {
    let mut roles: Vec<String> = object
        .labels()
        .filter_map(|(key, value)| match key.strip_prefix("node-role.kubernetes.io/") {
            Some(role) if !role.is_empty() => Some(role.to_owned()),
            _ => (key == "kubernetes.io/role" && !value.is_empty()).then(|| value.to_owned()),
        })
        .collect();
    roles.sort();
    join(roles.into_iter())
}

fn address(object: &Value, of: &str) -> Value {
    let addresses = object.get_path(&["status", "addresses"]).and_then(Value::as_array);
    addresses
        .into_iter()
        .flatten()
        .find(|a| a["type"] == of)
        .map_or("<none>".into(), |a| a["address"].clone())
}

pub(super) struct Node;

impl Strategy for Node {
    fn default(&self, object: &mut Object) {
        if object.get_path(&["status", "capacity"]).is_some()
            && object.get_path(&["status", "allocatable"]).is_none()
        {
            let capacity = object["status"]["capacity"].clone();
            object.set_path(&["status", "allocatable"], capacity);
        }
    }
}

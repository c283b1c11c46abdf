//! Node.

use std::collections::HashSet;

use apimachinery::field::{ErrorList, FieldError};
use apimachinery::{Object, ObjectExt, names};
use serde_json::Value;

use super::pod::TAINT_EFFECTS;
use super::resource_names::check_amount;
use crate::registry::check::{Field, check, internal};
use crate::registry::column::{AGE, Column, NAME, join};
use crate::registry::strategy::{Context, Strategy};

pub(super) const COLUMNS: &[Column] = &[
    NAME,
    Column::make("Status", status),
    Column::make("Roles", roles),
    AGE,
    Column::text_or("Version", &["status", "nodeInfo", "kubeletVersion"], ""),
    Column::make("Internal-IP", |o| address(o, "InternalIP")),
    Column::make("External-IP", |o| address(o, "ExternalIP")),
    Column::text_or("OS-Image", &["status", "nodeInfo", "osImage"], "<unknown>"),
    Column::text_or("Kernel-Version", &["status", "nodeInfo", "kernelVersion"], "<unknown>"),
    Column::text_or(
        "Container-Runtime",
        &["status", "nodeInfo", "containerRuntimeVersion"],
        "<unknown>",
    ),
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

    /// What came from the kubelet's configuration by the API is gone.
    fn prepare_for_create(&self, _ctx: &Context<'_>, object: &mut Object) -> ErrorList {
        object.remove_path(&["spec", "configSource"]);
        object.remove_path(&["status", "config"]);
        ErrorList::new()
    }

    fn prepare_for_update(
        &self,
        _ctx: &Context<'_>,
        object: &mut Object,
        old: &Object,
    ) -> ErrorList {
        if old["spec"]["configSource"].is_null() {
            object.remove_path(&["spec", "configSource"]);
        }
        ErrorList::new()
    }

    fn validate(&self, object: &Object) -> ErrorList {
        check(object, |node| {
            check_taints(node);
            check_amounts(node);
            check_ranges(&node.at("spec"));
        })
    }

    fn validate_update(&self, object: &Object, old: &Object) -> ErrorList {
        check(object, |node| check_update(node, old))
    }

    fn prepare_for_status(&self, object: &mut Object, old: &Object) {
        if old["status"]["config"].is_null() {
            object.remove_path(&["status", "config"]);
        }
    }

    fn validate_status(&self, object: &Object, old: &Object) -> ErrorList {
        check(object, |node| {
            check_amounts(node);
            check_update(node, old);
        })
    }
}

/// Upstream complains about taints in the metadata.
fn check_taints(node: &Field<'_>) {
    let list = node.at("metadata").at("taints");
    let mut seen = HashSet::new();
    for (i, taint) in node.at("spec").items("taints").enumerate() {
        let taint = list.index(i).instead(taint.value());
        taint.valid("key", names::qualified_name);
        let messages = names::label_value(taint.str("value"));
        if !messages.is_empty() {
            taint.at("value").invalid(messages.join(";"));
        }
        taint.needs_one_of("effect", TAINT_EFFECTS);
        if !seen.insert((taint.str("effect"), taint.str("key"))) {
            let mut error =
                FieldError::duplicate(taint.path(), "").showing(internal(taint.value(), "Taint"));
            error.detail = "taints must be unique by key and effect pair".to_owned();
            taint.push(error);
        }
    }
}

fn check_amounts(node: &Field<'_>) {
    let status = node.at("status");
    for list in ["capacity", "allocatable"] {
        for (name, amount) in status.entries(list) {
            check_amount(&status.at(list).at(name).instead(amount.value()), name);
        }
    }
}

fn check_ranges(spec: &Field<'_>) {
    let mut sixes = Vec::new();
    for range in spec.items("podCIDRs") {
        range.cidr();
        sixes.push(range.text().contains(':'));
    }
    let dual = sixes.contains(&true) && sixes.contains(&false);
    if sixes.len() > 2 || (sixes.len() == 2 && !dual) {
        spec.at("podCIDRs").invalid("may specify no more than one CIDR for each IP family");
    }
}

fn check_update(node: &Field<'_>, old: &Object) {
    let (spec, was) = (node.at("spec"), &old["spec"]);
    let mut seen = HashSet::new();
    for address in node.at("status").items("addresses") {
        if !seen.insert((address.str("type"), address.str("address"))) {
            let error = FieldError::duplicate(address.path(), "");
            address.push(error.showing(internal(address.value(), "NodeAddress")));
        }
    }
    for field in ["podCIDRs", "providerID"] {
        let given = match &was[field] {
            Value::Array(list) => !list.is_empty(),
            value => !value.as_str().unwrap_or_default().is_empty(),
        };
        if given && spec.get(field) != &was[field] {
            let what = field.trim_end_matches('s');
            spec.at(field)
                .forbidden(format!("node updates may not change {what} except from \"\" to valid"));
        }
    }
}

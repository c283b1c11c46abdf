//! Node.

use std::collections::HashSet;
use std::sync::LazyLock;

use apimachinery::field::{ErrorList, FieldError};
use apimachinery::{Object, ObjectExt, names};
use regex::Regex;
use serde_json::{Value, json};

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
        if object["spec"].is_object() {
            same_ranges(&mut object["spec"]);
        }
        if object.get_path(&["status", "capacity"]).is_some()
            && object.get_path(&["status", "allocatable"]).is_none()
        {
            let capacity = object["status"]["capacity"].clone();
            object.set_path(&["status", "allocatable"], capacity);
        }
    }

    /// Configuration by the API was removed from the kubelet.
    fn prepare_for_create(&self, _ctx: &Context<'_>, object: &mut Object) -> ErrorList {
        object.remove_path(&["spec", "configSource"]);
        object.remove_path(&["status", "config"]);
        object.remove_path(&["spec", "podPreemptionPolicy"]);
        ErrorList::new()
    }

    fn prepare_for_update(
        &self,
        _ctx: &Context<'_>,
        object: &mut Object,
        old: &Object,
    ) -> ErrorList {
        for field in ["configSource", "podPreemptionPolicy"] {
            if old["spec"].get(field).is_none() {
                object.remove_path(&["spec", field]);
            }
        }
        ErrorList::new()
    }

    fn validate(&self, object: &Object) -> ErrorList {
        check(object, |node| {
            check_taints(node);
            check_amounts(node);
            check_swap(node);
            check_features(&node.at("status"));
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
        if old.get_path(&["status", "nodeInfo", "runningInUserNamespace"]).is_none() {
            object.remove_path(&["status", "nodeInfo", "runningInUserNamespace"]);
        }
    }

    fn validate_status(&self, object: &Object, old: &Object) -> ErrorList {
        check(object, |node| check_update(node, old))
    }
}

/// The single range equals the first of the list; the older field takes precedence.
fn same_ranges(spec: &mut Value) {
    let one = spec["podCIDR"].as_str().unwrap_or_default().to_owned();
    let first = spec["podCIDRs"][0].as_str().map(str::to_owned);
    match first {
        Some(first) if one.is_empty() => spec["podCIDR"] = first.into(),
        Some(first) if first != one => spec["podCIDRs"] = json!([one]),
        None if !one.is_empty() => spec["podCIDRs"] = json!([one]),
        _ => {}
    }
}

/// Upstream reports the swap under the metadata.
fn check_swap(node: &Field<'_>) {
    let swap = &node.get("status")["nodeInfo"]["swap"];
    if swap["capacity"].as_i64().is_some_and(|capacity| capacity <= 0) {
        let at = node.at("metadata").at("nodeSwapStatus").at("capacity");
        at.invalid_value(swap["capacity"].clone(), "must be greater than zero");
    }
}

/// Checks the declared features: sorted names, in camel case, separated by slashes.
fn check_features(status: &Field<'_>) {
    const MAX: usize = 253;
    static NAME: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new("^([A-Z][a-zA-Z0-9]*)(/[a-zA-Z0-9]+)*$").ok());
    let mut before: Option<&str> = None;
    let list: Vec<Field<'_>> = status.items("declaredFeatures").collect();
    for feature in &list {
        let (name, quoted) = (feature.text(), apimachinery::text::quote(feature.text()));
        if let Some(before) = before {
            if before == name {
                feature.duplicate();
            } else if before > name {
                feature.invalid("list must be sorted alphabetically");
            }
        }
        before = Some(name);
        if name.len() > MAX {
            feature.invalid(format!(
                "invalid feature name {quoted}: must be no more than {MAX} characters"
            ));
        } else if NAME.as_ref().is_some_and(|pattern| !pattern.is_match(name)) {
            feature.invalid(format!(
                "invalid feature name {quoted}: must start with an UpperCamelCase segment, with \
                 subsequent segments separated by '/' (e.g., MyFeature or MyFeature/mySubFeature), \
                 and contain only alphanumeric characters and slashes"
            ));
        }
    }
}

/// Upstream reports taints under the metadata.
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
    let (mut sixes, mut broken) = (Vec::new(), None);
    for (i, range) in spec.items("podCIDRs").enumerate() {
        range.cidr();
        sixes.push(range.text().contains(':'));
        if broken.is_none() && range.text().parse::<ipnet::IpNet>().is_err() {
            broken = Some((i, range.text()));
        }
    }
    let list = spec.at("podCIDRs");
    if let (Some((i, text)), 2..) = (broken, sixes.len()) {
        list.push(FieldError::internal(
            list.path(),
            format!(
                "invalid PodCIDRs. failed to check with dual stack with error:invalid CIDR[{i}]: \
                 <nil> (invalid CIDR address: {text})"
            ),
        ));
    }
    let dual = broken.is_none() && sixes.contains(&true) && sixes.contains(&false);
    if sixes.len() > 2 || (sixes.len() == 2 && !dual) {
        list.invalid("may specify no more than one CIDR for each IP family");
    }
}

fn check_update(node: &Field<'_>, old: &Object) {
    let (spec, was) = (node.at("spec"), &old["spec"]);
    check_amounts(node);
    check_features(&node.at("status"));
    let mut seen = HashSet::new();
    for address in node.at("status").items("addresses") {
        if !seen.insert((address.str("type"), address.str("address"))) {
            let error = FieldError::duplicate(address.path(), "");
            address.push(error.showing(internal(address.value(), "NodeAddress")));
        }
    }
    let fixed = |field: &str, what: &str| {
        let detail = format!("node updates may not change {what} except from \"\" to valid");
        spec.at(field).forbidden(detail);
    };
    let before = was["podCIDRs"].as_array().map_or(&[][..], Vec::as_slice);
    match spec.len("podCIDRs") {
        _ if before.is_empty() => {}
        n if n != before.len() => fixed("podCIDRs", "podCIDR"),
        _ => {
            let pairs = spec.items("podCIDRs").zip(before);
            pairs
                .filter(|(now, was)| now.value() != *was)
                .for_each(|_| fixed("podCIDRs", "podCIDR"));
        }
    }
    let provider = was["providerID"].as_str().unwrap_or_default();
    if !provider.is_empty() && spec.str("providerID") != provider {
        fixed("providerID", "providerID");
    }
    check_taints(node);
    if spec.str("externalID") != was["externalID"].as_str().unwrap_or_default() {
        spec.at("externalID").forbidden("may not be updated");
    }
}

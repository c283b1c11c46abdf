//! One device of a ResourceSlice.

use std::sync::LazyLock;

use apimachinery::names;
use regex::Regex;
use serde_json::Value;

use super::rules::{
    check_binding_conditions, check_counters, check_qualified_name, check_taint, each, each_once,
};
use super::sharing::check_request_policy;
use crate::registry::check::Field;
use crate::registry::core::check_node_selector;

const MAX_ATTRIBUTES: usize = 32;
const MAX_ATTRIBUTE_VALUES: usize = 48;
const MAX_TAINTS: usize = 16;
const MAX_CONSUMED_SETS: usize = 2;
const MAX_VALUE: usize = 64;
/// Longest key that a path shows in full.
const MAX_KEY: usize = 63 + 1 + 32;
static VERSION: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let number = r"(0|[1-9]\d*)";
    let pre = r"(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)";
    let build = "[0-9a-zA-Z-]+";
    Regex::new(&format!(
        r"^{number}\.{number}\.{number}(-{pre}(\.{pre})*)?(\+{build}(\.{build})*)?$"
    ))
    .ok()
});

/// Checks a device; `old` is the one of its name before, and `own_nodes` is true if each device of
/// the slice says where it is.
pub(super) fn check_device(device: &Field<'_>, old: Option<&Value>, own_nodes: bool) {
    device.valid("name", names::dns1123_label);
    let attributes = device.len("attributes");
    let count = attributes + device.len("capacity");
    if count > MAX_ATTRIBUTES {
        let why = format!(
            "the total number of attributes and capacities must not exceed {MAX_ATTRIBUTES}"
        );
        device.invalid_value(count, why);
    }
    if attributes > MAX_ATTRIBUTE_VALUES {
        let why =
            format!("the total number of attribute values must not exceed {MAX_ATTRIBUTE_VALUES}");
        device.invalid_value(attributes, why);
    }
    for (key, attribute) in device.entries("attributes") {
        let at = device.at("attributes");
        check_qualified_name(&at, key);
        check_attribute(&at.key_as(key, &shortened(key)).instead(attribute.value()));
    }
    // Values that were stored before are kept.
    let same = |field: &str| old.is_some_and(|old| &old[field] == device.get(field));
    if !same("capacity") {
        for (key, capacity) in device.entries("capacity") {
            let at = device.at("capacity");
            check_qualified_name(&at, key);
            let at = at.key_as(key, &shortened(key)).instead(capacity.value());
            check_capacity(&at, device.flag("allowMultipleAllocations"));
        }
    }
    if !same("taints") {
        each(device, "taints", MAX_TAINTS, |taint| check_taint(taint, None));
    }
    let set = |consumed: &Field<'_>| consumed.str("counterSet").to_owned();
    each_once(device, "consumesCounters", MAX_CONSUMED_SETS, set, |consumed| {
        check_counters(consumed, "counterSet");
    });
    check_nodes(device, own_nodes);
    check_binding_conditions(device);
}

/// A key as paths show it: an overlong one has three dots in the middle.
fn shortened(key: &str) -> String {
    if key.len() <= MAX_KEY || !key.is_ascii() {
        return key.to_owned();
    }
    let left = MAX_KEY - 3;
    format!("{}...{}", &key[..left.div_ceil(2)], &key[key.len() - left / 2..])
}

fn check_attribute(attribute: &Field<'_>) {
    const ONE: &str = "exactly one value must be specified";
    let set = ["bool", "int", "string", "version"].iter().filter(|f| attribute.has(f)).count();
    for field in ["string", "version"] {
        let Some(value) = attribute.opt(field) else { continue };
        let valid = field == "string" || VERSION.as_ref().is_none_or(|v| v.is_match(value.text()));
        if !valid {
            value.invalid("must be a string compatible with semver.org spec 2.0.0");
        }
        if value.text().len() > MAX_VALUE {
            value.too_long(MAX_VALUE);
        }
    }
    match set {
        0 => attribute.invalid_value("", ONE),
        1 => {}
        _ => attribute.invalid_as("DeviceAttribute", ONE),
    }
}

fn check_capacity(capacity: &Field<'_>, is_shared: bool) {
    let Some(policy) = capacity.opt("requestPolicy") else { return };
    if is_shared {
        check_request_policy(&policy, &capacity.at("value").quantity());
    } else {
        policy.forbidden("allowMultipleAllocations must be true");
    }
}

/// A device says where it is if the slice leaves that to its devices, and only then.
fn check_nodes(device: &Field<'_>, own_nodes: bool) {
    const ONE: &str = "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when \
                       `perDeviceNodeSelection` is set to true in the ResourceSlice spec";
    if !own_nodes {
        if ["nodeName", "nodeSelector", "allNodes"].iter().any(|field| device.has(field)) {
            let why = "`nodeName`, `nodeSelector` and `allNodes` can only be set if \
                       `perDeviceNodeSelection` is set to true in the ResourceSlice spec";
            device.invalid_value(Value::Null, why);
        }
        return;
    }
    let mut set = Vec::new();
    match device.opt("nodeName") {
        Some(name) if name.text().is_empty() => name.invalid("must not be empty"),
        Some(name) => {
            set.push("`nodeName`");
            name.invalid_all(names::dns1123_subdomain(name.text()));
        }
        None => {}
    }
    if let Some(selector) = device.opt("nodeSelector") {
        set.push("`nodeSelector`");
        check_node_selector(&selector);
    }
    if device.flag("allNodes") {
        set.push("`allNodes`");
    } else if device.has("allNodes") {
        device.at("allNodes").invalid("must be either unset or set to true");
    }
    match set.len() {
        0 => device.required(ONE),
        1 => {}
        _ => device.invalid_value(format!("{{{}}}", set.join(", ")), ONE),
    }
}

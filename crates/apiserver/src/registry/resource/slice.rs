//! ResourceSlice: devices that a driver provides.

use std::sync::LazyLock;

use apimachinery::field::ErrorList;
use apimachinery::{Object, ObjectExt, names};
use regex::Regex;
use serde_json::Value;

use super::drop_fields;
use super::rules::{
    check_binding_conditions, check_pool_name, check_qualified_name, check_taint, each, each_once,
};
use crate::registry::check::{Field, check, check_csi_driver_name};
use crate::registry::core::check_node_selector;
use crate::registry::strategy::{Context, Strategy, items_mut};

const MAX_DEVICES: usize = 128;
const MAX_ATTRIBUTES: usize = 32;
const MAX_TAINTS: usize = 16;
const MAX_VALUE: usize = 64;
/// Longest key that a path shows in full.
const MAX_KEY: usize = 63 + 1 + 32;
/// Fields of disabled features, of slices and of their devices.
const OFF: &[&str] = &["sharedCounters", "perDeviceNodeSelection"];
const OFF_OF_DEVICES: &[&str] = &[
    "taints",
    "consumesCounters",
    "nodeName",
    "nodeSelector",
    "allNodes",
    "bindsToNode",
    "bindingConditions",
    "bindingFailureConditions",
    "allowMultipleAllocations",
];
static VERSION: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let number = r"(0|[1-9]\d*)";
    let pre = r"(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)";
    let build = "[0-9a-zA-Z-]+";
    Regex::new(&format!(
        r"^{number}\.{number}\.{number}(-{pre}(\.{pre})*)?(\+{build}(\.{build})*)?$"
    ))
    .ok()
});

pub(super) struct Slice;

impl Strategy for Slice {
    fn unknown_field(&self, field: &str) -> Option<String> {
        let kind = "resource.k8s.io/v1, Kind=ResourceSlice";
        Some(format!("field label not supported for {kind}: {field}"))
    }

    fn prepare(&self, object: &mut Object) {
        if let Some(spec) = object.get_mut("spec") {
            drop_fields(spec, OFF);
            for device in items_mut(spec, "devices") {
                drop_fields(device, OFF_OF_DEVICES);
                let capacity = device.get_mut("capacity").and_then(Value::as_object_mut);
                for amount in capacity.into_iter().flat_map(|c| c.values_mut()) {
                    drop_fields(amount, &["requestPolicy"]);
                }
            }
        }
    }

    /// Fields of disabled features are dropped, but still count as a change.
    fn prepare_for_update(
        &self,
        _ctx: &Context<'_>,
        object: &mut Object,
        old: &Object,
    ) -> ErrorList {
        if object["spec"] != old["spec"] {
            object.set_meta("generation", (old.generation() + 1).into());
        }
        self.prepare(object);
        ErrorList::new()
    }

    fn raises_generation(&self, _object: &Object, _old: &Object) -> bool {
        false
    }

    fn validate(&self, object: &Object) -> ErrorList {
        check(object, |object| check_slice(&object.at("spec"), None))
    }

    fn validate_change(
        &self,
        _sub: Option<crate::registry::Sub>,
        object: &Object,
        old: &Object,
    ) -> ErrorList {
        check(object, |object| check_slice(&object.at("spec"), Some(&old["spec"])))
    }

    fn warnings(&self, object: &Object) -> Vec<String> {
        let driver = object["spec"]["driver"].as_str().unwrap_or_default();
        if driver == driver.to_lowercase() {
            return Vec::new();
        }
        let driver = apimachinery::text::quote(driver);
        vec![format!(
            "spec.driver: driver names should be lowercase; {driver} contains uppercase characters"
        )]
    }
}

fn check_slice(spec: &Field<'_>, old: Option<&Value>) {
    check_csi_driver_name(&spec.at("driver"));
    let pool = spec.at("pool");
    check_pool_name(&pool.at("name"));
    pool.positive("resourceSliceCount");
    if pool.int("generation").is_some_and(|generation| generation < 0) {
        pool.at("generation").invalid("must be greater than or equal to zero");
    }
    if let Some(old) = old {
        pool.immutable("name", &old["pool"]);
        spec.immutable("driver", old);
        spec.immutable("nodeName", old);
    }
    check_nodes(spec);
    if spec.has("sharedCounters") && spec.has("devices") {
        spec.invalid_value("", "only one of `sharedCounters` or `devices` is allowed");
    }
    let name = |device: &Field<'_>| device.str("name").to_owned();
    each_once(spec, "devices", MAX_DEVICES, name, check_device);
}

/// The location of the devices must be given in exactly one way.
fn check_nodes(spec: &Field<'_>) {
    const ONE: &str = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, \
                       `perDeviceNodeSelection` is required";
    let mut set = Vec::new();
    if let Some(name) = spec.opt("nodeName") {
        if name.text().is_empty() {
            name.invalid("must be either unset or set to a non-empty string");
        } else {
            set.push("`nodeName`");
            name.invalid_all(names::dns1123_subdomain(name.text()));
        }
    }
    if let Some(selector) = spec.opt("nodeSelector") {
        set.push("`nodeSelector`");
        check_node_selector(&selector);
        if selector.len("nodeSelectorTerms") != 1 {
            selector
                .at("nodeSelectorTerms")
                .invalid_list_as("NodeSelectorTerm", "must have exactly one node selector term");
        }
    }
    for (field, shown) in
        [("allNodes", "`allNodes`"), ("perDeviceNodeSelection", "`perDeviceNodeSelection`")]
    {
        if spec.flag(field) {
            set.push(shown);
        } else if spec.has(field) {
            spec.at(field).invalid("must be either unset or set to true");
        }
    }
    match set.len() {
        0 => spec.required(ONE),
        1 => {}
        _ => spec.invalid_value(
            format!("{{{}}}", set.join(", ")),
            format!("{ONE}, but multiple fields are set"),
        ),
    }
}

fn check_device(device: &Field<'_>) {
    device.valid("name", names::dns1123_label);
    let count = device.len("attributes") + device.len("capacity");
    if count > MAX_ATTRIBUTES {
        device.invalid_value(
            count,
            format!(
                "the total number of attributes and capacities must not exceed {MAX_ATTRIBUTES}"
            ),
        );
    }
    for (key, attribute) in device.entries("attributes") {
        let attribute =
            device.at("attributes").key_as(key, &shortened(key)).instead(attribute.value());
        check_qualified_name(&attribute, key);
        check_attribute(&attribute);
    }
    for (key, capacity) in device.entries("capacity") {
        let at = device.at("capacity").key_as(key, &shortened(key)).instead(capacity.value());
        check_qualified_name(&at, key);
    }
    each(device, "taints", MAX_TAINTS, check_taint);
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
        0 => attribute.invalid_value("", "exactly one value must be specified"),
        1 => {}
        _ => attribute.invalid_as("DeviceAttribute", "exactly one value must be specified"),
    }
}

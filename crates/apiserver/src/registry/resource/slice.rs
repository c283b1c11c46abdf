//! ResourceSlice: devices that a driver provides.

use apimachinery::field::ErrorList;
use apimachinery::{Object, ObjectExt, names};
use serde_json::Value;

use super::device::check_device;
use super::rules::{check_counters, check_pool_name, each_once};
use super::{default_taint, drop_fields};
use crate::registry::check::{Field, check, check_csi_driver_name};
use crate::registry::core::check_node_selector;
use crate::registry::strategy::{Context, Strategy, items_mut};

const MAX_DEVICES: usize = 128;
/// The limit if devices have taints, or share counters.
const MAX_ADVANCED_DEVICES: usize = 64;
const MAX_COUNTER_SETS: usize = 8;
/// Fields of disabled features: of slices, of their devices, of attributes, and of counters that
/// devices consume.
const OFF: &[&str] = &["partitionTypeAttribute", "skipNodeOperations"];
const OFF_OF_DEVICES: &[&str] = &["nodeAllocatableResources"];
const OFF_OF_ATTRIBUTES: &[&str] = &["bools", "ints", "strings", "versions"];
const OFF_OF_COUNTERS: &[&str] = &["compatibilityGroups"];

pub(super) struct Slice;

impl Strategy for Slice {
    fn unknown_field(&self, field: &str) -> Option<String> {
        let kind = "resource.k8s.io/v1, Kind=ResourceSlice";
        Some(format!("field label not supported for {kind}: {field}"))
    }

    fn default(&self, object: &mut Object) {
        let Some(spec) = object.get_mut("spec") else { return };
        for device in items_mut(spec, "devices") {
            items_mut(device, "taints").for_each(|taint| default_taint(Some(taint)));
        }
    }

    fn prepare(&self, object: &mut Object) {
        if let Some(spec) = object.get_mut("spec") {
            drop_fields(spec, OFF);
            for device in items_mut(spec, "devices") {
                drop_fields(device, OFF_OF_DEVICES);
                let attributes = device.get_mut("attributes").and_then(Value::as_object_mut);
                for attribute in attributes.into_iter().flat_map(|a| a.values_mut()) {
                    drop_fields(attribute, OFF_OF_ATTRIBUTES);
                }
                items_mut(device, "consumesCounters")
                    .for_each(|counters| drop_fields(counters, OFF_OF_COUNTERS));
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
    let is_advanced = spec
        .items("devices")
        .any(|device| device.len("taints") > 0 || device.len("consumesCounters") > 0);
    let max = if is_advanced { MAX_ADVANCED_DEVICES } else { MAX_DEVICES };
    let own_nodes = spec.flag("perDeviceNodeSelection");
    each_once(spec, "devices", max, name, |device| {
        let mut before = old.and_then(|old| old["devices"].as_array()).into_iter().flatten();
        let before = before.find(|before| &before["name"] == device.get("name"));
        check_device(device, before, own_nodes);
    });
    let name = |set: &Field<'_>| set.str("name").to_owned();
    each_once(spec, "sharedCounters", MAX_COUNTER_SETS, name, |set| check_counters(set, "name"));
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

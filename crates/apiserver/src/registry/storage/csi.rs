//! CSIDriver, CSINode and CSIStorageCapacity: properties that drivers report.

use std::collections::HashSet;

use apimachinery::field::ErrorList;
use apimachinery::{Object, ObjectExt, names};
use serde_json::{Value, json};

use super::super::check::{Field, check, check_csi_driver_name, check_label_selector};
use super::super::strategy::{ALL_METADATA, Context, Strategy, clear_status, ensure, set_default};
use crate::registry::Sub;

pub(super) struct Driver;

const TOKENS_IN_SECRETS: &str = "spec.serviceAccountTokenInSecrets is unset; if supported by this \
                                 CSI driver, set to true to prevent possible logging of tokens in \
                                 volume attributes";

impl Strategy for Driver {
    /// The generation is counted from the first change.
    fn first_generation(&self) -> Value {
        Value::Null
    }

    fn default(&self, object: &mut Object) {
        let spec = ensure(object, &["spec"]);
        set_default(spec, "attachRequired", true);
        for field in [
            "podInfoOnMount",
            "storageCapacity",
            "requiresRepublish",
            "seLinuxMount",
            "preventPodSchedulingIfMissing",
        ] {
            set_default(spec, field, false);
        }
        set_default(spec, "fsGroupPolicy", "ReadWriteOnceWithFSType");
        set_default(spec, "volumeLifecycleModes", json!(["Persistent"]));
    }

    fn validate(&self, object: &Object) -> ErrorList {
        check(object, |object| check_driver(&object.at("spec")))
    }

    fn validate_update(&self, object: &Object, old: &Object) -> ErrorList {
        check(object, |object| {
            let (spec, was) = (object.at("spec"), &old["spec"]);
            for (field, shown) in [
                ("attachRequired", "attachedRequired"),
                ("volumeLifecycleModes", "volumeLifecycleModes"),
            ] {
                if spec.get(field) != &was[field] {
                    let value = spec.get(field).clone();
                    spec.at(shown).invalid_value(value, "field is immutable");
                }
            }
        })
    }

    fn warnings(&self, object: &Object) -> Vec<String> {
        let spec = &object["spec"];
        let asks = spec["tokenRequests"].as_array().is_some_and(|list| !list.is_empty());
        let silent = spec["serviceAccountTokenInSecrets"].is_null();
        if asks && silent { vec![TOKENS_IN_SECRETS.to_owned()] } else { Vec::new() }
    }

    fn warnings_on_update(&self, object: &Object, old: &Object) -> Vec<String> {
        if object["spec"]["tokenRequests"] == old["spec"]["tokenRequests"] {
            return Vec::new();
        }
        self.warnings(object)
    }

    fn unconditional_update(&self) -> bool {
        false
    }
}

fn check_driver(spec: &Field<'_>) {
    spec.maybe_one_of("fsGroupPolicy", &["File", "None", "ReadWriteOnceWithFSType"]);
    let mut audiences = HashSet::new();
    for request in spec.items("tokenRequests") {
        if !audiences.insert(request.str("audience")) {
            request.at("audience").duplicate();
            continue;
        }
        let expiration = request.at("expirationSeconds");
        if request.int("expirationSeconds").is_some_and(|s| s < 600) {
            expiration.invalid("may not specify a duration less than 10 minutes");
        }
        if request.int("expirationSeconds").is_some_and(|s| s > 1 << 32) {
            expiration.invalid("may not specify a duration larger than 2^32 seconds");
        }
    }
    for mode in spec.strings("volumeLifecycleModes") {
        const MODES: &[&str] = &["Persistent", "Ephemeral"];
        if !MODES.contains(&mode) {
            spec.at("volumeLifecycleModes").instead(&Value::from(mode)).not_supported(MODES);
        }
    }
    if !spec.has("preventPodSchedulingIfMissing") {
        spec.at("preventPodSchedulingIfMissing").required("");
    }
    if spec.int("nodeAllocatableUpdatePeriodSeconds").is_some_and(|s| s < 10) {
        spec.at("nodeAllocatableUpdatePeriodSeconds")
            .invalid("must be greater than or equal to 10 seconds");
    }
    if spec.has("serviceAccountTokenInSecrets") && spec.len("tokenRequests") == 0 {
        spec.at("serviceAccountTokenInSecrets")
            .invalid("serviceAccountTokenInSecrets is set but no tokenRequests are specified");
    }
}

pub(super) struct Node;

/// Longest id that a driver may assign to a node.
const MAX_NODE_ID: usize = 256;

impl Strategy for Node {
    /// The health of storage is a disabled feature.
    fn prepare_for_create(&self, _ctx: &Context<'_>, object: &mut Object) -> ErrorList {
        clear_status(object);
        ErrorList::new()
    }

    fn prepare_for_status(&self, object: &mut Object, _old: &Object) {
        object.remove_path(&["status", "storageHealth"]);
    }

    fn status_keeps(&self) -> &'static [&'static str] {
        ALL_METADATA
    }

    fn reset_fields(&self, sub: Option<Sub>, _has_status: bool) -> &'static [&'static str] {
        if sub.is_none() { &["status"] } else { &["metadata", "spec"] }
    }

    fn validate(&self, object: &Object) -> ErrorList {
        check(object, check_drivers)
    }

    fn validate_change(&self, _sub: Option<Sub>, object: &Object, old: &Object) -> ErrorList {
        check(object, |object| {
            // Upstream checks the new object twice.
            check_drivers(object);
            check_drivers(object);
            check_same_drivers(object, old);
        })
    }

    fn unconditional_update(&self) -> bool {
        false
    }
}

/// An existing driver may only change its capacity.
fn check_same_drivers(object: &Field<'_>, old: &Object) {
    let bare = |driver: &Value| {
        let mut driver = driver.clone();
        if let Some(map) = driver.as_object_mut() {
            map.remove("allocatable");
        }
        driver
    };
    let spec = object.at("spec");
    for was in old["spec"]["drivers"].as_array().into_iter().flatten() {
        for now in spec.items("drivers").filter(|d| d.get("name") == &was["name"]) {
            let (now, was) = (bare(now.value()), bare(was));
            if now != was {
                spec.at("drivers").instead(&now).invalid_as("CSINodeDriver", "field is immutable");
            }
        }
    }
}

fn check_drivers(object: &Field<'_>) {
    let mut seen = HashSet::new();
    for driver in object.at("spec").items("drivers") {
        check_csi_driver_name(&driver.at("name"));
        driver.needs("nodeID");
        if driver.str("nodeID").len() > MAX_NODE_ID {
            driver.at("nodeID").invalid(format!("must be {MAX_NODE_ID} characters or less"));
        }
        driver.at("allocatable").non_negative("count");
        if !seen.insert(driver.str("name")) {
            driver.at("name").duplicate();
        }
        let mut keys = HashSet::new();
        for key in driver.strings("topologyKeys") {
            if key.is_empty() {
                driver.required("");
            }
            if !keys.insert(key) {
                driver.duplicate_of(key);
            }
            for message in names::qualified_name(key) {
                driver.invalid_value(key, message);
            }
        }
    }
}

pub(super) struct Capacity;

impl Strategy for Capacity {
    fn validate(&self, object: &Object) -> ErrorList {
        check(object, |object| {
            check_label_selector(&object.at("nodeTopology"));
            object.valid("storageClassName", names::dns1123_subdomain);
            if object.has("capacity") && object.at("capacity").quantity().sign() < 0 {
                object.at("capacity").invalid("must be greater than or equal to 0");
            }
        })
    }

    fn validate_update(&self, object: &Object, old: &Object) -> ErrorList {
        check(object, |object| {
            if object.get("nodeTopology") != &old["nodeTopology"] {
                object.at("nodeTopology").invalid_selector("field is immutable");
            }
            object.immutable_text("storageClassName", old);
        })
    }

    fn unconditional_update(&self) -> bool {
        false
    }
}

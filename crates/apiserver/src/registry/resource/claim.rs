//! ResourceClaim, ResourceClaimTemplate and DeviceClass: requests for devices.
//!
//! Selectors are only checked for length; they will be compiled once they are evaluated.

use std::collections::{HashMap, HashSet};

use apimachinery::field::{ErrorList, Path};
use apimachinery::{Object, ObjectExt, names};
use rules::resources::is_extended;
use serde_json::Value;

use super::rules::{
    admin_access, check_binding_conditions, check_full_name, check_json, check_pool_name,
    check_toleration, check_uid, device_id, each, each_once, requests_admin_access,
};
use super::{default_requests, default_tolerations, drop_fields};
use crate::registry::Sub;
use crate::registry::check::{Field, check, check_conditions, check_csi_driver_name};
use crate::registry::core::{check_node_selector, check_template_metadata};
use crate::registry::strategy::{
    ALL_METADATA, Context, NeedsLabel, Strategy, clear_status, items_mut,
};

const MAX_REQUESTS: usize = 32;
const MAX_SUBREQUESTS: usize = 8;
const MAX_SELECTORS: usize = 32;
const MAX_CONSTRAINTS: usize = 32;
const MAX_CONFIGS: usize = 32;
const MAX_EXPRESSION: usize = 10 << 10;
const MAX_PARAMETERS: usize = 10 << 10;
const MAX_RESERVED: usize = 256;
const MAX_CONDITIONS: usize = 8;
const MAX_ADDRESSES: usize = 16;
const IMMUTABLE: &str = "field is immutable";
const REFERENCE: &str = "must be the name of a request in the claim or the name of a request and \
                         a subrequest separated by '/'";

/// Drops fields of disabled features.
fn drop_disabled(spec: &mut Value) {
    const OFF: &[&str] = &["derivedAttributes"];
    let Some(devices) = spec.get_mut("devices") else { return };
    for request in items_mut(devices, "requests") {
        if let Some(exactly) = request.get_mut("exactly") {
            drop_fields(exactly, OFF);
        }
        items_mut(request, "firstAvailable").for_each(|sub| drop_fields(sub, OFF));
    }
}

pub(super) struct Claim;

impl Strategy for Claim {
    fn needs_label(
        &self,
        sub: Option<Sub>,
        object: &Object,
        old: Option<&Object>,
    ) -> Option<NeedsLabel> {
        const RESULTS: &[&str] = &["status", "allocation", "devices", "results"];
        let granted = |object: &Object| {
            let path =
                RESULTS[1..].iter().fold(Path::new(RESULTS[0]), |path, name| path.child(name));
            let results = object.get_path(RESULTS)?;
            admin_access(path, results, |result| result["adminAccess"] == true)
        };
        match (sub, old) {
            (Some(Sub::Status), Some(old)) if granted(old).is_none() => granted(object),
            (None, None) => requests_admin_access(&object["spec"]["devices"]["requests"]),
            // Requests are immutable.
            _ => None,
        }
    }

    fn status_keeps(&self) -> &'static [&'static str] {
        ALL_METADATA
    }

    fn reset_fields(&self, sub: Option<Sub>, _has_status: bool) -> &'static [&'static str] {
        if sub.is_none() { &["status"] } else { &["metadata", "spec"] }
    }

    fn default(&self, object: &mut Object) {
        default_requests(object.get_mut("spec"));
        let allocation = object.get_mut("status").and_then(|status| status.get_mut("allocation"));
        if let Some(devices) = allocation.and_then(|allocation| allocation.get_mut("devices")) {
            items_mut(devices, "results").for_each(default_tolerations);
        }
    }

    fn prepare_for_create(&self, _ctx: &Context<'_>, object: &mut Object) -> ErrorList {
        clear_status(object);
        if let Some(spec) = object.get_mut("spec") {
            drop_disabled(spec);
        }
        ErrorList::new()
    }

    fn prepare_for_update(
        &self,
        _ctx: &Context<'_>,
        object: &mut Object,
        _old: &Object,
    ) -> ErrorList {
        if let Some(spec) = object.get_mut("spec") {
            drop_disabled(spec);
        }
        ErrorList::new()
    }

    fn validate(&self, object: &Object) -> ErrorList {
        check(object, |object| check_spec(&object.at("spec")))
    }

    fn validate_change(&self, _sub: Option<Sub>, object: &Object, old: &Object) -> ErrorList {
        check(object, |object| object.immutable_as("spec", old, "ResourceClaimSpec"))
    }

    fn prepare_for_status(&self, object: &mut Object, old: &Object) {
        let results = |object: &Value| -> HashSet<String> {
            let results = object["status"]["allocation"]["devices"]["results"].as_array();
            results.into_iter().flatten().map(device_id).collect()
        };
        let (now, before) = (results(object), results(old));
        let Some(status) = object.get_mut("status") else { return };
        if let Some(devices) = status.get_mut("allocation").and_then(|a| a.get_mut("devices")) {
            let off = &["skipNodeOperations"];
            items_mut(devices, "results").for_each(|result| drop_fields(result, off));
        }
        // Devices that are no longer allocated lose their status.
        if let Some(devices) = status.get_mut("devices").and_then(Value::as_array_mut) {
            devices.retain(|device| {
                let id = device_id(device);
                now.contains(&id) || !before.contains(&id)
            });
            if devices.is_empty() {
                drop_fields(status, &["devices"]);
            }
        }
    }

    fn validate_status(&self, object: &Object, old: &Object) -> ErrorList {
        check(object, |object| check_status(object, old))
    }
}

pub(super) struct Template;

impl Strategy for Template {
    fn needs_label(
        &self,
        _sub: Option<Sub>,
        object: &Object,
        old: Option<&Object>,
    ) -> Option<NeedsLabel> {
        let requests = &object["spec"]["spec"]["devices"]["requests"];
        if old.is_none() { requests_admin_access(requests) } else { None }
    }

    fn default(&self, object: &mut Object) {
        default_requests(object.get_mut("spec").and_then(|template| template.get_mut("spec")));
    }

    fn prepare(&self, object: &mut Object) {
        if let Some(spec) = object.get_mut("spec").and_then(|template| template.get_mut("spec")) {
            drop_disabled(spec);
        }
    }

    fn validate(&self, object: &Object) -> ErrorList {
        check(object, |object| {
            let template = object.at("spec");
            check_template_metadata(&template.at("metadata"));
            check_spec(&template.at("spec"));
        })
    }

    fn validate_update(&self, object: &Object, old: &Object) -> ErrorList {
        check(object, |object| object.immutable_as("spec", old, "ResourceClaimTemplateSpec"))
    }
}

pub(super) struct Class;

impl Strategy for Class {
    fn checks_generate_name(&self) -> bool {
        false
    }

    fn validate_name(&self, name: &str) -> Vec<String> {
        names::long_name(name)
    }

    fn validate(&self, object: &Object) -> ErrorList {
        check(object, |object| {
            let spec = object.at("spec");
            check_selectors(&spec);
            each(&spec, "config", MAX_CONFIGS, check_configuration);
            if let Some(name) = spec.opt("extendedResourceName")
                && !is_extended(name.text())
            {
                name.invalid("must be a valid extended resource name");
            }
        })
    }
}

/// Names of requests and of their subrequests.
type Requests<'a> = HashMap<&'a str, HashSet<&'a str>>;

fn requests<'a>(spec: &Field<'a>) -> Requests<'a> {
    let requests = spec.at("devices");
    let requests = requests.items("requests");
    requests
        .map(|r| (r.str("name"), r.items("firstAvailable").map(|sub| sub.str("name")).collect()))
        .collect()
}

fn check_spec(spec: &Field<'_>) {
    let known = requests(spec);
    let devices = spec.at("devices");
    each_once(&devices, "requests", MAX_REQUESTS, |r| r.str("name").to_owned(), check_request);
    each(&devices, "constraints", MAX_CONSTRAINTS, |constraint| {
        check_references(constraint, &known);
        match constraint.opt("matchAttribute").or_else(|| constraint.opt("distinctAttribute")) {
            Some(attribute) => check_full_name(&attribute),
            None => constraint.required(
                "exactly one of \"matchAttribute\" or \"distinctAttribute\" is required, but \
                 multiple fields are set",
            ),
        }
    });
    each(&devices, "config", MAX_CONFIGS, |config| {
        check_references(config, &known);
        check_configuration(config);
    });
}

fn check_request(request: &Field<'_>) {
    request.valid("name", names::dns1123_label);
    match (request.opt("exactly"), request.len("firstAvailable")) {
        (None, 0) => {
            request.required("exactly one of `exactly` or `firstAvailable` is required");
        }
        (Some(exactly), 0) => check_wanted(&exactly),
        (None, _) => {
            let name = |sub: &Field<'_>| sub.str("name").to_owned();
            each_once(request, "firstAvailable", MAX_SUBREQUESTS, name, |sub| {
                sub.valid("name", names::dns1123_label);
                check_wanted(sub);
            });
        }
        (Some(_), _) => request.invalid_value(
            Value::Null,
            "exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set",
        ),
    }
}

fn check_wanted(request: &Field<'_>) {
    request.needs_valid("deviceClassName", names::dns1123_subdomain);
    check_selectors(request);
    let count = request.int("count").unwrap_or(0);
    match request.str("allocationMode") {
        "All" if count != 0 => {
            request.at("count").invalid("must not be specified when allocationMode is 'All'")
        }
        "ExactCount" if count <= 0 => {
            request.at("count").invalid_value(count, "must be greater than zero");
        }
        "All" | "ExactCount" => {}
        _ => request.at("allocationMode").not_supported(&["All", "ExactCount"]),
    }
    request.items("tolerations").for_each(|toleration| check_toleration(&toleration));
}

fn check_selectors(of: &Field<'_>) {
    each(of, "selectors", MAX_SELECTORS, |selector| match selector.opt("cel") {
        None => selector.at("cel").required(""),
        Some(cel) if cel.str("expression").len() > MAX_EXPRESSION => {
            cel.at("expression").too_long(MAX_EXPRESSION);
        }
        Some(_) => {}
    });
}

fn check_configuration(config: &Field<'_>) {
    match config.opt("opaque") {
        None => config.at("opaque").required(""),
        Some(opaque) => {
            check_csi_driver_name(&opaque.at("driver"));
            check_json(&opaque.at("parameters"), MAX_PARAMETERS);
        }
    }
}

fn check_references(of: &Field<'_>, known: &Requests<'_>) {
    let text = |name: &Field<'_>| name.text().to_owned();
    each_once(of, "requests", MAX_REQUESTS, text, |name| check_reference(name, known));
}

fn check_reference(name: &Field<'_>, known: &Requests<'_>) {
    let parts: Vec<&str> = name.text().split('/').collect();
    if parts.len() > 2 {
        return name.invalid(REFERENCE);
    }
    for part in &parts {
        for message in names::dns1123_label(part) {
            name.invalid_value(*part, message);
        }
    }
    let found = match parts[..] {
        [request] => known.contains_key(request),
        [request, sub] => known.get(request).is_some_and(|subs| subs.contains(sub)),
        _ => false,
    };
    if !found {
        name.invalid(REFERENCE);
    }
}

fn check_status(object: &Field<'_>, old: &Object) {
    let (status, was) = (object.at("status"), &old["status"]);
    let uid = |consumer: &Field<'_>| consumer.str("uid").to_owned();
    each_once(&status, "reservedFor", MAX_RESERVED, uid, |consumer| {
        consumer.needs_all(&["resource", "name", "uid"]);
    });
    let allocation = status.opt("allocation");
    let allocated: HashSet<String> = allocation
        .iter()
        .flat_map(|a| a.at("devices").items("results").collect::<Vec<_>>())
        .map(|result| device_id(result.value()))
        .collect();
    let id = |device: &Field<'_>| device_id(device.value());
    each_once(&status, "devices", usize::MAX, id, |device| check_device(device, &allocated));
    let reserved = status.at("reservedFor");
    if status.len("reservedFor") > 0 {
        let added = || {
            let before = was["reservedFor"].as_array();
            status
                .items("reservedFor")
                .any(|c| !before.is_some_and(|before| before.contains(c.value())))
        };
        if allocation.is_none() {
            reserved.forbidden("may not be specified when `allocated` is not set");
        } else if object.at("metadata").has("deletionTimestamp") && added() {
            reserved.forbidden(
                "new entries may not be added while `deallocationRequested` or \
                 `deletionTimestamp` are set",
            );
        }
    }
    match allocation {
        Some(allocation) if allocation.value() == &was["allocation"] => {}
        Some(allocation) if was["allocation"].is_object() => {
            allocation.invalid_as("AllocationResult", IMMUTABLE);
        }
        Some(allocation) => check_allocation(&allocation, &requests(&object.at("spec"))),
        None => {}
    }
}

fn check_allocation(allocation: &Field<'_>, known: &Requests<'_>) {
    let devices = allocation.at("devices");
    each(&devices, "results", MAX_REQUESTS, |result| {
        check_reference(&result.at("request"), known);
        check_csi_driver_name(&result.at("driver"));
        check_pool_name(&result.at("pool"));
        result.valid("device", names::dns1123_label);
        check_binding_conditions(result);
        result.items("tolerations").for_each(|toleration| check_toleration(&toleration));
        if let Some(uid) = result.opt("shareID") {
            check_uid(&uid);
        }
    });
    each(&devices, "config", 2 * MAX_CONFIGS, |config| {
        config.needs_one_of("source", &["FromClaim", "FromClass"]);
        check_references(config, known);
        check_configuration(config);
    });
    if let Some(selector) = allocation.opt("nodeSelector") {
        check_node_selector(&selector);
    }
}

fn check_device(device: &Field<'_>, allocated: &HashSet<String>) {
    check_csi_driver_name(&device.at("driver"));
    check_pool_name(&device.at("pool"));
    device.valid("device", names::dns1123_label);
    if !allocated.contains(&device_id(device.value())) {
        device.invalid_as("SharedDeviceID", "must be an allocated device in the claim");
    }
    if device.len("conditions") > MAX_CONDITIONS {
        device.at("conditions").too_many(device.len("conditions"), MAX_CONDITIONS);
    }
    check_conditions(device);
    if device.has("data") {
        check_json(&device.at("data"), MAX_PARAMETERS);
    }
    if let Some(network) = device.opt("networkData") {
        for (field, max) in [("interfaceName", 256), ("hardwareAddress", 128)] {
            if network.str(field).len() > max {
                network.at(field).too_long(max);
            }
        }
        let text = |address: &Field<'_>| address.text().to_owned();
        each_once(&network, "ips", MAX_ADDRESSES, text, |address| address.interface_address());
    }
}

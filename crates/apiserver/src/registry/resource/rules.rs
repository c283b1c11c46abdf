//! Rules shared by claims, classes and slices.

use std::collections::HashSet;

use apimachinery::field::Path;
use apimachinery::names;
use serde_json::Value;

use crate::registry::check::{Field, check_csi_driver_name};
use crate::registry::declared::is_uuid;
use crate::registry::strategy::NeedsLabel;

const MAX_POOL_NAME: usize = 253;
const MAX_ID: usize = 32;
const MAX_BINDING_CONDITIONS: usize = 4;
const MAX_COUNTERS: usize = 32;
const EFFECTS: &[&str] = &["NoExecute", "NoSchedule", "None"];

/// Checks the items of a list, unless there are too many.
pub(super) fn each(of: &Field<'_>, field: &str, max: usize, rule: impl Fn(&Field<'_>)) -> bool {
    let count = of.len(field);
    if count > max {
        of.at(field).too_many(count, max);
        return false;
    }
    of.items(field).for_each(|item| rule(&item));
    true
}

/// The same for a list whose items must differ in `key`.
pub(super) fn each_once(
    of: &Field<'_>,
    field: &str,
    max: usize,
    key: impl Fn(&Field<'_>) -> String,
    rule: impl Fn(&Field<'_>),
) {
    if !each(of, field, max, rule) {
        return;
    }
    let mut seen = HashSet::new();
    for item in of.items(field) {
        let key = key(&item);
        if !seen.insert(key.clone()) {
            item.duplicate_of(key);
        }
    }
}

/// Access to devices in use, which is limited to namespaces of administrators.
pub(super) fn admin_access(
    path: Path,
    items: &Value,
    of: impl Fn(&Value) -> bool,
) -> Option<NeedsLabel> {
    let at = items.as_array()?.iter().position(of)?;
    Some(NeedsLabel {
        path: path.index(at).child("adminAccess"),
        what: "admin access to devices",
        label: "resource.kubernetes.io/admin-access",
    })
}

/// The same for the requests of a claim.
pub(super) fn requests_admin_access(requests: &Value) -> Option<NeedsLabel> {
    let path = Path::new("spec").child("devices").child("requests");
    admin_access(path, requests, |request| request["exactly"]["adminAccess"] == true)
}

/// Driver, pool and device, joined by slashes, and the share of a device that is shared.
pub(super) fn device_id(device: &Value) -> String {
    let part = |field: &str| device[field].as_str().unwrap_or_default().to_owned();
    let whole = [part("driver"), part("pool"), part("device")].join("/");
    match part("shareID") {
        share if share.is_empty() => whole,
        share => format!("{whole}/{share}"),
    }
}

pub(super) fn check_pool_name(name: &Field<'_>) {
    if name.text().is_empty() {
        return name.required("");
    }
    if name.text().len() > MAX_POOL_NAME {
        name.too_long(MAX_POOL_NAME);
    }
    for part in name.text().split('/') {
        for message in names::dns1123_subdomain(part) {
            name.invalid_value(part, message);
        }
    }
}

pub(super) fn check_uid(uid: &Field<'_>) {
    if !is_uuid(uid.text()) {
        uid.invalid(
            "uid must be in RFC 4122 normalized form, `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` with \
             lowercase hexadecimal characters",
        );
    }
}

/// Checks `name` or `domain/name`, reported at `at`.
pub(super) fn check_qualified_name(at: &Field<'_>, name: &str) {
    let identifier = |id: &str| {
        if id.len() > MAX_ID {
            at.too_long(MAX_ID);
        }
        for message in names::c_identifier(id) {
            at.invalid_value(id, message);
        }
    };
    match name.split('/').collect::<Vec<_>>()[..] {
        [id] => identifier(id),
        [domain, id] => {
            if domain.is_empty() {
                at.invalid_value("", "the domain must not be empty");
            } else {
                check_csi_driver_name(&at.instead(&Value::from(domain)));
            }
            if id.is_empty() {
                at.invalid_value("", "the name must not be empty");
            } else {
                identifier(id);
            }
        }
        _ => {}
    }
}

pub(super) fn check_full_name(name: &Field<'_>) {
    check_qualified_name(name, name.text());
    if !name.text().contains('/') {
        name.invalid("a fully qualified name must be a domain and a name separated by a slash");
    }
}

/// Checks a JSON object of at most `max` bytes.
pub(super) fn check_json(value: &Field<'_>, max: usize) {
    match value.value() {
        Value::Null => value.required(""),
        Value::Object(_) if value.value().to_string().len() > max => value.too_long(max),
        Value::Object(_) => {}
        _ => value.invalid_value("<value omitted>", "must be a valid JSON object"),
    }
}

pub(super) fn check_toleration(toleration: &Field<'_>) {
    toleration.maybe_valid("key", names::qualified_name);
    match toleration.str("operator") {
        "Exists" if !toleration.str("value").is_empty() => {
            toleration.at("value").invalid("must be empty for operator `Exists`");
        }
        "Exists" => {}
        "Equal" => toleration.valid("value", names::label_value),
        _ => toleration.needs_one_of("operator", &["Equal", "Exists"]),
    }
    if !toleration.str("effect").is_empty() {
        toleration.one_of("effect", EFFECTS);
    }
}

/// Checks a taint. An effect that was there before, of a version that knew it, is kept.
pub(super) fn check_taint(taint: &Field<'_>, old: Option<&Value>) {
    taint.valid("key", names::qualified_name);
    taint.maybe_valid("value", names::label_value);
    if old.is_none_or(|old| &old["effect"] != taint.get("effect")) {
        taint.needs_one_of("effect", EFFECTS);
    }
}

/// Checks named counters.
pub(super) fn check_counters(of: &Field<'_>, name: &str) {
    of.needs_valid(name, names::dns1123_label);
    if !of.needs("counters") {
        return;
    }
    let (counters, count) = (of.at("counters"), of.len("counters"));
    if count > MAX_COUNTERS {
        return counters.too_many(count, MAX_COUNTERS);
    }
    for (key, _) in of.entries("counters") {
        for message in names::dns1123_label(key) {
            counters.invalid_value(key, message);
        }
    }
}

pub(super) fn check_binding_conditions(of: &Field<'_>) {
    for field in ["bindingConditions", "bindingFailureConditions"] {
        each(of, field, MAX_BINDING_CONDITIONS, |name| {
            name.invalid_all(names::qualified_name(name.text()));
        });
    }
    let conditions: HashSet<&str> = of.strings("bindingConditions").collect();
    for field in ["bindingConditions", "bindingFailureConditions"] {
        let mut seen = HashSet::new();
        for condition in of.items(field) {
            if !seen.insert(condition.text()) {
                condition.duplicate();
            }
            if field == "bindingFailureConditions" && conditions.contains(condition.text()) {
                condition
                    .invalid("bindingFailureConditions must not overlap with bindingConditions");
            }
        }
    }
    let (some, failures) = (of.len("bindingConditions"), of.len("bindingFailureConditions"));
    if some == 0 && failures > 0 {
        let list = Value::Null;
        of.at("bindingConditions")
            .invalid_value(list, "bindingConditions are required to use bindingFailureConditions");
    }
    if failures == 0 && some > 0 {
        of.at("bindingFailureConditions").invalid_value(
            Value::Null,
            "bindingFailureConditions are required to use bindingConditions",
        );
    }
}

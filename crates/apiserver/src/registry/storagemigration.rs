//! The storagemigration.k8s.io group.

use apimachinery::field::ErrorList;
use apimachinery::{Object, ObjectExt, names};
use serde_json::Value;

use super::Sub;
use super::check::{Field, check, check_conditions};
use super::column::{Column, NAME};
use super::kind::Kind;
use super::strategy::{ALL_METADATA, Context, Strategy, clear_status};

pub(super) static KINDS: &[Kind] = &[Kind::new(
    "storagemigration.k8s.io",
    "v1",
    "StorageVersionMigration",
    "storageversionmigrations",
    "storageversionmigration",
)
.rechecks(1, 1)
.subs(&[Sub::Status])
.strategy(&Migration)
.columns(&[
    NAME,
    Column::make("Resource", |o| {
        let of = &o["spec"]["resource"];
        match (of.str_at(&["group"]), of.str_at(&["resource"])) {
            ("", resource) => resource.into(),
            (group, resource) => format!("{resource}.{group}").into(),
        }
    }),
    Column::make("Status", |o| {
        let conditions = o.get_path(&["status", "conditions"]).and_then(Value::as_array);
        let held = conditions.into_iter().flatten().filter(|c| c["status"] == "True");
        let mut types = held.filter_map(|condition| condition["type"].as_str());
        types.rfind(|of| STATES.contains(of)).unwrap_or("Unknown").into()
    }),
])];

const STATES: &[&str] = &["Running", "Failed", "Succeeded"];

struct Migration;

impl Strategy for Migration {
    fn prepare_for_create(&self, _ctx: &Context<'_>, object: &mut Object) -> ErrorList {
        clear_status(object);
        ErrorList::new()
    }

    fn validate(&self, object: &Object) -> ErrorList {
        check(object, |object| check_resource(&object.at("spec").at("resource")))
    }

    fn validate_update(&self, object: &Object, old: &Object) -> ErrorList {
        check(object, |object| object.immutable_as("spec", old, "StorageVersionMigrationSpec"))
    }

    fn validate_status(&self, object: &Object, old: &Object) -> ErrorList {
        check(object, |object| check_status(&object.at("status"), &old["status"]))
    }

    fn status_keeps(&self) -> &'static [&'static str] {
        ALL_METADATA
    }

    fn reset_fields(&self, sub: Option<Sub>, _has_status: bool) -> &'static [&'static str] {
        if sub.is_none() { &["status"] } else { &["metadata", "spec"] }
    }

    fn unconditional_update(&self) -> bool {
        false
    }
}

fn check_resource(of: &Field<'_>) {
    let resource = of.at("resource");
    if resource.text().is_empty() {
        resource.required("resource is required to be set");
    } else {
        joined(&resource, names::dns1035_label(resource.text()));
    }
    if !of.str("group").is_empty() {
        joined(&of.at("group"), names::dns1123_subdomain(of.str("group")));
    }
}

fn joined(field: &Field<'_>, messages: Vec<String>) {
    if !messages.is_empty() {
        field.invalid(messages.join(","));
    }
}

fn is(status: &Value, of: &str) -> bool {
    let conditions = status["conditions"].as_array().into_iter().flatten();
    let mut of_type = conditions.filter(|condition| condition["type"] == of);
    of_type.next().is_some_and(|condition| condition["status"] == "True")
}

fn check_status(status: &Field<'_>, was: &Value) {
    let version = status.at("resourceVersion");
    let text = version.text();
    let is_number = !text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit());
    if !text.is_empty() && !is_number {
        version.invalid(format!("resource version is not well formed: {text}"));
    }
    check_conditions(status);
    let before = was["resourceVersion"].as_str().unwrap_or_default();
    if !before.is_empty() && before != text {
        version.invalid("field is immutable");
    }
    let conditions = status.at("conditions");
    let wrong = |why: &str| conditions.invalid_list_as("Condition", why);
    let (succeeded, failed) = (is(status.value(), "Succeeded"), is(status.value(), "Failed"));
    if succeeded && failed {
        wrong("Both success and failed conditions cannot be true at the same time");
    }
    if is(was, "Succeeded") && !succeeded {
        wrong("Success condition cannot be set to false once it is true");
    }
    if is(was, "Failed") && !failed {
        wrong("Failed condition cannot be set to false once it is true");
    }
}

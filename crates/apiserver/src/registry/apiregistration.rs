//! The apiregistration.k8s.io group: registrations are stored; aggregation is not implemented yet.

use apimachinery::field::ErrorList;
use apimachinery::text::quote;
use apimachinery::{Object, ObjectExt, names, time};
use serde_json::{Value, json};

use super::Sub;
use super::check::{Field, check};
use super::column::{AGE, Column, NAME};
use super::kind::Kind;
use super::strategy::{ALL_METADATA, Context, Strategy, clear_status, set_default};

fn available(object: &Value) -> Value {
    let conditions = object.get_path(&["status", "conditions"]).and_then(Value::as_array);
    match conditions.into_iter().flatten().find(|c| c["type"] == "Available") {
        Some(c) if c["status"] == "True" => "True".into(),
        Some(c) => format!("{} ({})", c.str_at(&["status"]), c.str_at(&["reason"])).into(),
        None => "Unknown".into(),
    }
}

pub(super) static KINDS: &[Kind] =
    &[Kind::new("apiregistration.k8s.io", "v1", "APIService", "apiservices", "apiservice")
        .any_finalizer()
        .stored_at("apiregistration.k8s.io/apiservices")
        .categories(&["api-extensions"])
        .subs(&[Sub::Status])
        .strategy(&Service)
        .columns(&[
            NAME,
            Column::make("Service", |o| match o.get_path(&["spec", "service"]) {
                Some(s) if s.is_object() => {
                    format!("{}/{}", s.str_at(&["namespace"]), s.str_at(&["name"])).into()
                }
                _ => "Local".into(),
            }),
            Column::make("Available", available),
            AGE,
        ])];

struct Service;

impl Strategy for Service {
    fn status_keeps(&self) -> &'static [&'static str] {
        ALL_METADATA
    }

    fn reset_fields(&self, sub: Option<Sub>, _has_status: bool) -> &'static [&'static str] {
        if sub.is_none() { &["status"] } else { &["metadata", "spec"] }
    }

    fn default(&self, object: &mut Object) {
        let service = object.get_mut("spec").and_then(|spec| spec.get_mut("service"));
        if let Some(service) = service {
            set_default(service, "port", 443);
        }
    }

    fn prepare_for_create(&self, _ctx: &Context<'_>, object: &mut Object) -> ErrorList {
        clear_status(object);
        // The server's own groups are available at once.
        if object["spec"]["service"].is_null() {
            object["status"]["conditions"] = json!([{
                "type": "Available", "status": "True", "reason": "Local",
                "message": "Local APIServices are always available",
                "lastTransitionTime": time::now_rfc3339(),
            }]);
        }
        ErrorList::new()
    }

    /// The spec determines the name, which `validate` checks.
    fn validate_name(&self, name: &str) -> Vec<String> {
        names::path_segment_name(name)
    }

    fn validate(&self, object: &Object) -> ErrorList {
        check(object, check_service)
    }

    fn validate_status(&self, object: &Object, _old: &Object) -> ErrorList {
        check(object, |object| {
            for condition in object.at("status").items("conditions") {
                condition.one_of("status", &["True", "False", "Unknown"]);
            }
        })
    }

    fn unconditional_update(&self) -> bool {
        false
    }
}

fn check_service(object: &Field<'_>) {
    let spec = object.at("spec");
    let (group, version) = (spec.str("group"), spec.str("version"));
    let (name, wanted) = (object.value().name(), format!("{version}.{group}"));
    let generate = object.at("metadata").at("generateName");
    if !generate.text().is_empty() && generate.text() != wanted {
        generate.invalid(format!("must be `spec.version+\".\"+spec.group`: {}", quote(&wanted)));
    }
    if !name.is_empty() && names::path_segment_name(name).is_empty() && name != wanted {
        object
            .at("metadata")
            .at("name")
            .invalid(format!("must be `spec.version+\".\"+spec.group`: {}", quote(&wanted)));
    }
    if group.is_empty() && version != "v1" {
        spec.at("group").required("only v1 may have an empty group and it better be legacy kube");
    }
    spec.maybe_valid("group", names::dns1123_subdomain);
    spec.valid("version", names::dns1035_label);
    for (field, max) in [("groupPriorityMinimum", 20_000), ("versionPriority", 1000)] {
        if !spec.int(field).is_some_and(|priority| (1..=max).contains(&priority)) {
            spec.at(field).invalid(format!("must be positive and less than {max}"));
        }
    }
    let bundle = base64_len(spec.str("caBundle"));
    let insecure = spec.at("insecureSkipTLSVerify");
    let Some(service) = spec.opt("service") else {
        if bundle > 0 {
            spec.at("caBundle").invalid_value(
                format!("{bundle} bytes"),
                "local APIServices may not have a caBundle",
            );
        }
        if insecure.value() == true {
            insecure.invalid("local APIServices may not have insecureSkipTLSVerify");
        }
        return;
    };
    service.needs("namespace");
    service.needs("name");
    let port = service.int("port").unwrap_or(0);
    let messages = names::port_number(port);
    if !messages.is_empty() {
        let detail = format!("port is not valid: {}", messages.join(", "));
        service.at("port").invalid_value(port, detail);
    }
    if insecure.value() == true && bundle > 0 {
        insecure.invalid("may not be true if caBundle is present");
    }
}

/// The number of bytes that the text encodes.
fn base64_len(text: &str) -> usize {
    text.len() / 4 * 3 - text.bytes().rev().take(2).filter(|b| *b == b'=').count()
}

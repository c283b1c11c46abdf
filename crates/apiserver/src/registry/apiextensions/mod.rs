//! The apiextensions.k8s.io group. `registry/custom` makes kinds of its objects, and `definitions`
//! looks after them.

mod rules;
mod schema;
mod spec;
mod structural;

use apimachinery::field::ErrorList;
use apimachinery::object::strings;
use apimachinery::{Object, ObjectExt, names};
use serde_json::{Value, json};

use super::Sub;
use super::check::check;
use super::column::{CREATED_AT, Column, NAME};
use super::kind::Kind;
use super::strategy::{Context, Strategy, clear_status, ensure, set_default};

pub(super) static KINDS: &[Kind] = &[Kind::new(
    "apiextensions.k8s.io",
    "v1",
    "CustomResourceDefinition",
    "customresourcedefinitions",
    "customresourcedefinition",
)
.rechecks(0, 1)
.any_finalizer()
.stored_at("apiextensions.k8s.io/customresourcedefinitions")
.short(&["crd", "crds"])
.categories(&["api-extensions"])
.subs(&[Sub::Status])
.strategy(&Definition)
.generation()
.columns(&[
    NAME,
    Column::text_or("Scope", &["spec", "scope"], ""),
    Column::make("Versions", served_versions),
    CREATED_AT,
    Column::text_or("Group", &["spec", "group"], ""),
    Column::text_or("Kind", &["spec", "names", "kind"], ""),
    Column::make("ShortNames", |o| strings(&o["spec"]["names"]["shortNames"]).join(",").into()),
    Column {
        of: "boolean",
        ..Column::make("Established", |o| {
            let conditions = o["status"]["conditions"].as_array().into_iter().flatten();
            let mut held = conditions.filter(|c| c["status"] == "True");
            held.any(|condition| condition["type"] == "Established").into()
        })
    },
])];

/// The served versions in order; the one of the store is marked.
fn served_versions(definition: &Value) -> Value {
    let versions = definition["spec"]["versions"].as_array().into_iter().flatten();
    let mut served: Vec<String> = versions
        .filter(|version| version["served"] == true)
        .map(|version| {
            let mark = if version["storage"] == true { "(storage)" } else { "" };
            format!("{}{mark}", version.str_at(&["name"]))
        })
        .collect();
    served.sort();
    served.join(",").into()
}

struct Definition;

/// Finalizer of a definition whose objects are to be deleted first.
pub(crate) const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";

/// Sets a condition of a definition; its time changes with its status. Returns true if anything
/// changed.
pub(crate) fn set_condition(
    definition: &mut Object,
    of: &str,
    status: &str,
    reason: &str,
    message: &str,
) -> bool {
    let list = ensure(definition, &["status"]);
    if !list["conditions"].is_array() {
        list["conditions"] = json!([]);
    }
    let Some(conditions) = list["conditions"].as_array_mut() else { return false };
    let now = apimachinery::time::now_rfc3339();
    let mut wanted = json!({
        "type": of, "status": status, "reason": reason, "message": message,
        "lastTransitionTime": now,
    });
    match conditions.iter_mut().find(|condition| condition["type"] == of) {
        Some(known) => {
            if known["status"] == status {
                wanted["lastTransitionTime"] = known["lastTransitionTime"].clone();
            }
            let changed = *known != wanted;
            *known = wanted;
            changed
        }
        None => {
            conditions.push(wanted);
            true
        }
    }
}

/// Records the version in which objects are stored.
fn note_stored_version(object: &mut Object) {
    let versions = object["spec"]["versions"].as_array().into_iter().flatten();
    let Some(name) = versions.filter(|v| v["storage"] == true).map(|v| v["name"].clone()).next()
    else {
        return;
    };
    let status = ensure(object, &["status"]);
    match status.get_mut("storedVersions").and_then(Value::as_array_mut) {
        Some(stored) if stored.contains(&name) => {}
        Some(stored) => stored.push(name),
        None => status["storedVersions"] = json!([name]),
    }
}

impl Strategy for Definition {
    fn reset_fields(&self, sub: Option<Sub>, _has_status: bool) -> &'static [&'static str] {
        if sub.is_none() { &["status"] } else { &["metadata", "spec"] }
    }

    fn default(&self, object: &mut Object) {
        let spec = ensure(object, &["spec"]);
        let names = ensure(spec, &["names"]);
        let kind = names["kind"].as_str().unwrap_or_default().to_owned();
        if names["singular"].as_str().unwrap_or_default().is_empty() && !kind.is_empty() {
            names["singular"] = kind.to_lowercase().into();
        }
        if names["listKind"].as_str().unwrap_or_default().is_empty() && !kind.is_empty() {
            names["listKind"] = format!("{kind}List").into();
        }
        set_default(spec, "conversion", json!({"strategy": "None"}));
        let service = spec
            .get_mut("conversion")
            .and_then(|conversion| conversion.get_mut("webhook"))
            .and_then(|webhook| webhook.get_mut("clientConfig"))
            .and_then(|config| config.get_mut("service"));
        if let Some(service) = service {
            set_default(service, "port", 443);
        }
        if object["status"]["storedVersions"].as_array().is_none_or(Vec::is_empty) {
            note_stored_version(object);
        }
    }

    fn prepare_for_create(&self, _ctx: &Context<'_>, object: &mut Object) -> ErrorList {
        clear_status(object);
        note_stored_version(object);
        ErrorList::new()
    }

    fn prepare_for_update(
        &self,
        _ctx: &Context<'_>,
        object: &mut Object,
        _old: &Object,
    ) -> ErrorList {
        note_stored_version(object);
        ErrorList::new()
    }

    fn validate_name_of(&self, object: &Object, name: &str) -> Vec<String> {
        let mut messages = names::dns1123_subdomain(name);
        let spec = &object["spec"];
        let (plural, group) = (spec.str_at(&["names", "plural"]), spec.str_at(&["group"]));
        if name != format!("{plural}.{group}") {
            messages.push("must be spec.names.plural+\".\"+spec.group".to_owned());
        }
        messages
    }

    fn validate(&self, object: &Object) -> ErrorList {
        check(object, |object| spec::check_definition(object, None))
    }

    fn validate_change(&self, _sub: Option<Sub>, object: &Object, old: &Object) -> ErrorList {
        check(object, |object| spec::check_definition(object, Some(old)))
    }

    fn validate_status(&self, object: &Object, _old: &Object) -> ErrorList {
        check(object, |object| spec::check_names(&object.at("status").at("acceptedNames")))
    }

    fn warnings(&self, object: &Object) -> Vec<String> {
        let mut unknown = Vec::new();
        for version in object["spec"]["versions"].as_array().into_iter().flatten() {
            schema::unknown_formats(&version["schema"]["openAPIV3Schema"], &mut unknown);
        }
        unknown.sort();
        unknown.dedup();
        let quote = apimachinery::text::quote;
        unknown.iter().map(|format| format!("unrecognized format {}", quote(format))).collect()
    }

    fn deletion_finalizer(&self) -> Option<&'static str> {
        Some(CLEANUP)
    }

    fn begin_deletion(&self, object: &mut Object) {
        set_condition(
            object,
            "Terminating",
            "True",
            "InstanceDeletionPending",
            "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
        );
    }

    fn unconditional_update(&self) -> bool {
        false
    }
}

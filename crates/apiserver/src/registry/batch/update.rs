//! Rules for updates of a job.

use apimachinery::{Object, ObjectExt};
use serde_json::Value;

use crate::registry::check::Field;
use crate::registry::workload::selector_is_immutable;

pub(super) fn check_update(spec: &Field<'_>, old: &Object) {
    let was = &old["spec"];
    check_completions(spec, was);
    selector_is_immutable(spec, was);
    let mut template = was["template"].clone();
    // The placement of a job that never ran may still change (KEP-2926).
    if was["suspend"] == true && old["status"]["startTime"].is_null() {
        allow_directives(&mut template, spec.get("template"));
    }
    if spec.get("template") != &template {
        spec.at("template").invalid_as("PodTemplateSpec", "field is immutable");
    }
    spec.immutable("completionMode", was);
    spec.immutable_as("podFailurePolicy", was, "PodFailurePolicy");
    spec.immutable_all(&["backoffLimitPerIndex", "managedBy"], was);
    spec.immutable_as("successPolicy", was, "SuccessPolicy");
}

/// The completions of an indexed job only change together with its parallelism.
fn check_completions(spec: &Field<'_>, was: &Value) {
    if spec.str("completionMode") != "Indexed" {
        return spec.immutable("completions", was);
    }
    let now = spec.int("completions");
    if now != was["completions"].as_i64() && now.is_some() && now != spec.int("parallelism") {
        spec.at("completions").invalid("can only be modified in tandem with spec.parallelism");
    }
}

/// Copies the scheduling directives from `now`.
fn allow_directives(template: &mut Value, now: &Value) {
    let mut take = |path: &[&str]| match now.get_path(path) {
        Some(value) => template.set_path(path, value.clone()),
        None => {
            template.remove_path(path);
        }
    };
    take(&["spec", "affinity", "nodeAffinity"]);
    for field in ["nodeSelector", "tolerations", "schedulingGates"] {
        take(&["spec", field]);
    }
    for field in ["annotations", "labels"] {
        take(&["metadata", field]);
    }
    // Node affinity may appear or disappear together with its parent struct.
    let empty = |v: &Value| v.as_object().is_some_and(serde_json::Map::is_empty);
    if empty(&template["spec"]["affinity"]) && now["spec"]["affinity"].is_null() {
        template.remove_path(&["spec", "affinity"]);
    }
}

//! Rules for updates of a job.

use apimachinery::{Object, ObjectExt};
use serde_json::Value;

use super::job::has_condition;
use crate::registry::check::Field;
use crate::registry::strategy::items_mut;
use crate::registry::workload::selector_is_immutable;

pub(super) fn check_update(spec: &Field<'_>, old: &Object) {
    let was = &old["spec"];
    check_completions(spec, was);
    selector_is_immutable(spec, was);
    check_template(spec, old);
    spec.immutable("completionMode", was);
    spec.immutable_as("podFailurePolicy", was, "PodFailurePolicy");
    spec.immutable_all(&["backoffLimitPerIndex", "managedBy"], was);
    spec.immutable_as("successPolicy", was, "SuccessPolicy");
}

/// The placement and the resources of a job whose pods do not run may change (KEP-2926, KEP-5440).
fn check_template(spec: &Field<'_>, old: &Object) {
    let (was, status) = (&old["spec"], &old["status"]);
    let (now, mut template) = (spec.at("template"), was["template"].clone());
    let stopped = status["startTime"].is_null() || has_condition(old, "Suspended");
    if was["suspend"] == true && stopped && status["active"].as_i64().unwrap_or(0) == 0 {
        allow_directives(&mut template, now.value());
        for list in ["containers", "initContainers"] {
            allow_resources(&mut template["spec"], now.get("spec"), list);
        }
        if now.get("spec") != &template["spec"] {
            now.at("spec").invalid_as("PodSpec", "field is immutable");
        }
    } else if now.value() != &template {
        now.invalid_as("PodTemplateSpec", "field is immutable");
    }
}

/// Copies the resources of containers from `now`.
fn allow_resources(spec: &mut Value, now: &Value, list: &str) {
    let wanted = now[list].as_array().map_or(&[][..], Vec::as_slice);
    if spec[list].as_array().map_or(0, Vec::len) != wanted.len() {
        return;
    }
    for (container, wanted) in items_mut(spec, list).zip(wanted) {
        if container["name"] != wanted["name"] {
            continue;
        }
        match wanted.get("resources") {
            Some(resources) => container["resources"] = resources.clone(),
            None => {
                container.remove_path(&["resources"]);
            }
        }
    }
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

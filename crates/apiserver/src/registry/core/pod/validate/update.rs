//! Rules for updates of a pod, which may change almost nothing.

use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::{Object, ObjectExt};
use serde_json::{Value, json};

use super::annotations::{APP_ARMOR, MIRROR};
use super::check_pod;
use super::scheduling::check_tolerations;
use crate::registry::check::{Field, check, diff};

const UPDATABLE: &str = "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,\
     `spec.tolerations` (only additions to existing tolerations),\
     `spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/// Checks an update of the pod itself.
pub(in crate::registry::core::pod) fn validate_update(pod: &Object, old: &Object) -> ErrorList {
    check(pod, |pod| {
        check_pod(pod);
        check_annotations(&pod.at("metadata").at("annotations"), old);
        let (spec, was) = (pod.at("spec"), &old["spec"]);
        if !check_containers(&spec, was, "containers")
            || !check_containers(&spec, was, "initContainers")
            || !check_deadline(&spec, was)
        {
            return;
        }
        check_added_tolerations(&spec, was);
        check_removed_gates(&spec, was);
        check_rest(&spec, was);
    })
}

/// Some annotations are immutable.
fn check_annotations(annotations: &Field<'_>, old: &Object) {
    let was = &old["metadata"]["annotations"];
    for (key, value) in was.as_object().into_iter().flatten() {
        if annotations.get(key) == value {
            continue;
        }
        if key.starts_with(APP_ARMOR) {
            annotations.key(key).forbidden("may not remove or update AppArmor annotations");
        }
        if key == MIRROR {
            annotations.key(key).forbidden("may not remove or update mirror pod annotation");
        }
    }
    for (key, _) in annotations.value().as_object().into_iter().flatten() {
        if was.get(key).is_some() {
            continue;
        }
        if key.starts_with(APP_ARMOR) {
            annotations.key(key).forbidden("may not add AppArmor annotations");
        }
        if key == MIRROR {
            annotations.key(key).forbidden("may not add mirror pod annotation");
        }
    }
}

/// Returns true if the list has as many containers as before.
fn check_containers(spec: &Field<'_>, was: &Value, list: &str) -> bool {
    if spec.len(list) != was[list].as_array().map_or(0, Vec::len) {
        spec.at(list).forbidden("pod updates may not add or remove containers");
        return false;
    }
    for container in spec.items(list) {
        container.needs("image");
        super::containers::check_image_spaces(&container);
    }
    true
}

/// A deadline may be shortened. Returns false if the other checks are skipped.
fn check_deadline(spec: &Field<'_>, was: &Value) -> bool {
    let at = spec.at("activeDeadlineSeconds");
    match (spec.int("activeDeadlineSeconds"), was["activeDeadlineSeconds"].as_i64()) {
        (Some(now), _) if !(0..=i64::from(i32::MAX)).contains(&now) => {
            at.invalid(format!("must be between 0 and {}, inclusive", i32::MAX));
            false
        }
        (Some(now), Some(was)) if was < now => {
            at.invalid("must be less than or equal to previous value");
            false
        }
        (None, Some(_)) => {
            at.invalid_value(Value::Null, "must not update from a positive integer to nil value");
            true
        }
        _ => true,
    }
}

fn check_added_tolerations(spec: &Field<'_>, was: &Value) {
    let without_seconds = |toleration: &Value| {
        let mut toleration = toleration.clone();
        toleration.remove_path(&["tolerationSeconds"]);
        toleration
    };
    let now: Vec<Value> = spec.items("tolerations").map(|t| without_seconds(t.value())).collect();
    let mut before = was["tolerations"].as_array().into_iter().flatten();
    if before.any(|t| !now.contains(&without_seconds(t))) {
        spec.at("tolerations")
            .forbidden("existing toleration can not be modified except its tolerationSeconds");
        return;
    }
    check_tolerations(spec);
}

fn check_removed_gates(spec: &Field<'_>, was: &Value) {
    let before: Vec<&Value> =
        was["schedulingGates"].as_array().into_iter().flatten().map(|g| &g["name"]).collect();
    for gate in spec.items("schedulingGates").filter(|g| !before.contains(&g.get("name"))) {
        gate.at("name").forbidden(format!(
            "only deletion is allowed, but found new scheduling gate '{}'",
            gate.str("name")
        ));
    }
}

/// Checks immutable fields, after the mutable ones have been reset.
fn check_rest(spec: &Field<'_>, was: &Value) {
    if spec.value() == was {
        return;
    }
    let mut munged = spec.value().clone();
    for list in ["containers", "initContainers"] {
        let before = was[list].as_array().into_iter().flatten();
        let now = munged.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten();
        for (container, before) in now.zip(before) {
            put_back(container, before, "image");
        }
    }
    for field in ["activeDeadlineSeconds", "schedulingGates", "tolerations"] {
        put_back(&mut munged, was, field);
    }
    let grace = "terminationGracePeriodSeconds";
    if was[grace].as_i64().is_some_and(|n| n < 0) && munged[grace] == 1 {
        put_back(&mut munged, was, grace);
    }
    if was["schedulingGates"].as_array().is_some_and(|g| !g.is_empty()) {
        check_gated(spec, was);
        put_back(&mut munged, was, "nodeSelector");
        put_back_node_affinity(&mut munged, was);
    }
    if munged != *was {
        spec.forbidden(format!(
            "pod updates may not change fields other than {UPDATABLE}\n{}",
            diff(was, &munged, "PodSpec")
        ));
    }
}

fn put_back(now: &mut Value, was: &Value, field: &str) {
    match was.get(field) {
        Some(value) => now[field] = value.clone(),
        None => {
            now.remove_path(&[field]);
        }
    }
}

fn put_back_node_affinity(now: &mut Value, was: &Value) {
    match was["affinity"].get("nodeAffinity") {
        Some(value) => now.set_path(&["affinity", "nodeAffinity"], value.clone()),
        None => {
            now.remove_path(&["affinity", "nodeAffinity"]);
            let empty = now["affinity"].as_object().is_some_and(serde_json::Map::is_empty);
            if empty && was["affinity"].is_null() {
                now.remove_path(&["affinity"]);
            }
        }
    }
}

/// A pod that still has gates may be restricted to fewer nodes (KEP-3838).
fn check_gated(spec: &Field<'_>, was: &Value) {
    let selector = &was["nodeSelector"];
    if selector.as_object().into_iter().flatten().any(|(k, v)| &spec.get("nodeSelector")[k] != v) {
        let shown = match spec.get("nodeSelector") {
            Value::Null => Value::Null,
            selector => selector.clone(),
        };
        spec.at("nodeSelector").invalid_value(
            shown,
            "only additions to spec.nodeSelector are allowed (no mutations or deletions)",
        );
    }
    let required = "requiredDuringSchedulingIgnoredDuringExecution";
    let old_terms = &was["affinity"]["nodeAffinity"][required]["nodeSelectorTerms"];
    let terms = spec.at("affinity").at("nodeAffinity").at(required).at("nodeSelectorTerms");
    let count = |v: &Value| v.as_array().map_or(0, Vec::len);
    if count(old_terms) > 0 && count(old_terms) != count(terms.value()) {
        let shown = if terms.value().is_null() { json!(null) } else { terms.value().clone() };
        terms.invalid_value(
            shown,
            "no additions/deletions to non-empty NodeSelectorTerms list are allowed",
        );
        return;
    }
    for (i, old) in old_terms.as_array().into_iter().flatten().enumerate() {
        let term = terms.index(i);
        if !only_added(term.value(), old) {
            term.invalid("only additions are allowed (no mutations or deletions)");
        }
    }
}

fn only_added(now: &Value, was: &Value) -> bool {
    let list = |v: &Value, field: &str| v[field].as_array().cloned().unwrap_or_default();
    let lists = ["matchExpressions", "matchFields"];
    // A term without requirements selects nothing, so any addition would widen it.
    if lists.iter().all(|f| list(was, f).is_empty()) {
        return lists.iter().all(|f| list(now, f).is_empty());
    }
    lists.iter().all(|f| list(now, f).starts_with(&list(was, f)))
}

/// A finding about the whole object.
pub(super) fn forbidden_at_all(detail: &str) -> ErrorList {
    ErrorList(vec![FieldError::forbidden(&Path::new("[]"), detail)])
}

/// Checks an addition of ephemeral containers.
pub(in crate::registry::core::pod) fn validate_ephemeral_update(
    pod: &Object,
    old: &Object,
) -> ErrorList {
    if old.annotation(MIRROR).is_some() {
        return forbidden_at_all("static pods do not support ephemeral containers");
    }
    check(pod, |pod| {
        check_pod(pod);
        check_annotations(&pod.at("metadata").at("annotations"), old);
        let spec = pod.at("spec");
        for was in old["spec"]["ephemeralContainers"].as_array().into_iter().flatten() {
            let name = apimachinery::text::quote(was["name"].as_str().unwrap_or_default());
            let at = spec.at("ephemeralContainers");
            match spec.items("ephemeralContainers").find(|c| c.get("name") == &was["name"]) {
                None => at.forbidden(format!(
                    "existing ephemeral containers {name} may not be removed\n"
                )),
                Some(now) if now.value() != was => at.forbidden(format!(
                    "existing ephemeral containers {name} may not be changed\n{}",
                    diff(was, now.value(), "EphemeralContainer")
                )),
                Some(_) => {}
            }
        }
    })
}

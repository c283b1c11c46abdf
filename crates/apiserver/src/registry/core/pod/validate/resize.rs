//! Rules for the resize of a running pod (KEP-1287).

use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::{Object, ObjectExt};
use rules::container::RestartPolicy;
use rules::resources::PodResources;
use serde_json::Value;

use super::annotations::MIRROR;
use super::check_pod;
use super::update::forbidden_at_all;
use crate::registry::check::{Field, check};

/// Checks a resize of the pod.
pub(in crate::registry::core::pod) fn validate_resize(pod: &Object, old: &Object) -> ErrorList {
    if old.annotation(MIRROR).is_some() {
        return forbidden_at_all("static pods cannot be resized");
    }
    if old["spec"]["os"]["name"] == "windows" {
        return forbidden_at_all("windows pods cannot be resized");
    }
    check(pod, |pod| {
        check_pod(pod);
        let (spec, was) = (pod.at("spec"), &old["spec"]);
        let class = match old.str_at(&["status", "qosClass"]) {
            "" => PodResources::of_tree(old).qos_class().as_str(),
            class => class,
        };
        if class != PodResources::of_tree(pod.value()).qos_class().as_str() {
            spec.invalid_value(
                pod.at("status").str("qosClass"),
                "Pod QOS Class may not change as a result of resizing",
            );
        }
        if !node_supports_resize(old) {
            spec.forbidden("Pod running on node without support for resize");
        }
        if has_pod_level(was) || has_pod_level(spec.value()) {
            return spec.push(FieldError::forbidden(
                &Path::new("[]"),
                "resize of pods with pod-level resources is forbidden when \
                 InPlacePodLevelResourcesVerticalScalingEnabled feature gate is disabled",
            ));
        }
        let before = spec.count();
        check_order(&spec, was);
        if spec.count() > before {
            return;
        }
        check_rest(&spec, was);
    })
}

fn has_pod_level(spec: &Value) -> bool {
    ["requests", "limits"]
        .iter()
        .any(|list| spec["resources"][*list].as_object().is_some_and(|m| !m.is_empty()))
}

/// Returns true if the kubelet can resize: it then reports resources of running containers.
fn node_supports_resize(pod: &Object) -> bool {
    let mut statuses = pod["status"]["containerStatuses"].as_array().into_iter().flatten();
    statuses.find(|s| !s["state"]["running"].is_null()).is_none_or(|s| !s["resources"].is_null())
}

fn list<'a>(spec: &'a Value, name: &str) -> &'a [Value] {
    spec[name].as_array().map_or(&[], Vec::as_slice)
}

fn check_order(spec: &Field<'_>, was: &Value) {
    for name in ["containers", "initContainers"] {
        let before = list(was, name);
        if spec.len(name) != before.len() {
            spec.at(name).forbidden(format!("{name} may not be added or removed on resize"));
            continue;
        }
        for (container, _) in
            spec.items(name).zip(before).filter(|(c, b)| c.get("name") != &b["name"])
        {
            container
                .at("name")
                .forbidden(format!("{name} may not be renamed or reordered on resize"));
        }
    }
}

fn check_rest(spec: &Field<'_>, was: &Value) {
    for name in ["initContainers", "containers"] {
        let pairs = spec.items(name).zip(list(was, name));
        for (now, was) in pairs.filter(|(_, was)| name == "containers" || was.is_sidecar()) {
            check_removals(&now.at("resources"), &was["resources"]);
        }
    }
    let mut changed = false;
    let mut refuse = |detail: &str| {
        changed = true;
        spec.forbidden(detail);
    };
    for (now, was) in spec.items("containers").zip(list(was, "containers")) {
        if without_compute(now.value(), was) != *was {
            refuse("only cpu and memory resources are mutable");
        }
    }
    for (now, was) in spec.items("initContainers").zip(list(was, "initContainers")) {
        if now.value().is_sidecar() {
            if without_compute(now.value(), was) != *was {
                refuse("only cpu and memory resources for sidecar containers are mutable");
            }
        } else if now.value() != was {
            refuse("resources for non-sidecar init containers are immutable");
        }
    }
}

/// Resources may change but not be removed.
fn check_removals(resources: &Field<'_>, was: &Value) {
    for list in ["requests", "limits"] {
        let mut before = was[list].as_object().into_iter().flatten();
        if before.any(|(name, _)| resources.get(list)[name].is_null()) {
            resources.at(list).forbidden(format!("resource {list} cannot be removed"));
        }
    }
}

/// The container with its previous CPU and memory.
fn without_compute(now: &Value, was: &Value) -> Value {
    let mut munged = now.clone();
    for list in ["requests", "limits"] {
        for name in ["cpu", "memory"] {
            let path = ["resources", list, name];
            match was.get_path(&path) {
                Some(amount) => munged.set_path(&path, amount.clone()),
                None => {
                    munged.remove_path(&path);
                }
            }
        }
        let empty = munged["resources"][list].as_object().is_some_and(serde_json::Map::is_empty);
        if empty && was["resources"].get(list).is_none() {
            munged.remove_path(&["resources", list]);
        }
    }
    munged
}

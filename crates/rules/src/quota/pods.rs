//! Pods.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{Evaluator, Scope};
use crate::resources::{Amounts, PodResources, QosClass, is_extended, is_huge_page, is_native};
use apimachinery::ObjectExt;

pub(super) const EVALUATOR: Evaluator =
    Evaluator { group: "", resource: "pods", tracks, usage, in_scope };

/// Resources that a quota limits by what pods ask for (also under their plain name) and by what
/// they may use.
const COMPUTE: &[&str] = &["cpu", "memory", "ephemeral-storage"];
/// Resources that every container must name where a quota limits them. Upstream calls it a
/// mistake not to be repeated with others.
const MANDATORY: &[&str] = &["cpu", "memory"];
/// Extended resources that stand for a class of devices.
const DEVICE_CLASS: &str = "deviceclass.resource.kubernetes.io/";

fn tracks(name: &str) -> bool {
    if name == "pods" || is_huge_page(name) || COMPUTE.contains(&name) {
        return true;
    }
    match name.split_once('.') {
        Some(("limits", of)) => COMPUTE.contains(&of),
        Some(("requests", of)) => {
            COMPUTE.contains(&of)
                || is_huge_page(of)
                || !is_native(name)
                || of.starts_with(DEVICE_CLASS)
        }
        _ => false,
    }
}

/// Under the names that quotas have for it.
fn compute(requests: &Amounts, limits: &Amounts) -> Amounts {
    let mut usage = Amounts::default();
    usage.count("pods", 1);
    for (name, amount) in requests.iter() {
        let plain = COMPUTE.contains(&name) || is_huge_page(name);
        if plain {
            usage.set(name, amount);
        }
        if plain || is_extended(name) || name.starts_with(DEVICE_CLASS) {
            usage.set(format!("requests.{name}"), amount);
        }
    }
    for (name, amount) in limits.iter().filter(|(name, _)| COMPUTE.contains(name)) {
        usage.set(format!("limits.{name}"), amount);
    }
    usage
}

fn usage(pod: &Value, now: Timestamp) -> Amounts {
    if is_over(pod, now) {
        return Amounts::default();
    }
    let resources = PodResources::of_tree(pod);
    compute(&resources.requests(), &resources.limits())
}

/// Returns true if the pod no longer counts: it has finished, or should have by now (its node may
/// be lost).
fn is_over(pod: &Value, now: Timestamp) -> bool {
    if matches!(pod.str_at(&["status", "phase"]), "Succeeded" | "Failed") {
        return true;
    }
    let grace = pod["metadata"]["deletionGracePeriodSeconds"].as_i64();
    let deleted = pod.deletion_timestamp().and_then(apimachinery::time::parse);
    let (Some(grace), Some(deleted)) = (grace, deleted) else { return false };
    deleted.checked_add(SignedDuration::from_secs(grace)).is_ok_and(|end| now > end)
}

/// Returns true if the pod has a deadline.
#[must_use]
pub fn is_terminating(pod: &Value) -> bool {
    pod["spec"]["activeDeadlineSeconds"].as_i64().is_some_and(|seconds| seconds >= 0)
}

fn in_scope(scope: &Scope<'_>, pod: &Value) -> bool {
    let best_effort = || match pod.str_at(&["status", "qosClass"]) {
        "" => PodResources::of_tree(pod).qos_class() == QosClass::BestEffort,
        class => class == "BestEffort",
    };
    match scope.name {
        "Terminating" => is_terminating(pod),
        "NotTerminating" => !is_terminating(pod),
        "BestEffort" => best_effort(),
        "NotBestEffort" => !best_effort(),
        "PriorityClass" => {
            let class = pod.str_at(&["spec", "priorityClassName"]);
            scope.selects((!class.is_empty()).then_some(class))
        }
        "CrossNamespacePodAffinity" => crosses_namespaces(&pod["spec"]["affinity"]),
        _ => false,
    }
}

/// Returns true if any term of pod affinity looks at other namespaces.
fn crosses_namespaces(affinity: &Value) -> bool {
    let crosses = |term: &Value| {
        term["namespaces"].as_array().is_some_and(|list| !list.is_empty())
            || term["namespaceSelector"].is_object()
    };
    ["podAffinity", "podAntiAffinity"].iter().any(|of| {
        let terms = |list: &str| affinity[of][list].as_array().into_iter().flatten();
        terms("requiredDuringSchedulingIgnoredDuringExecution").any(crosses)
            || terms("preferredDuringSchedulingIgnoredDuringExecution")
                .any(|term| crosses(&term["podAffinityTerm"]))
    })
}

/// The resources that a quota obliges a pod to name, and the containers that do not name them.
#[must_use]
pub fn missing<'a>(pod: &Value, limited: impl Iterator<Item = &'a str>) -> Option<String> {
    let spec = &pod["spec"];
    if PodResources::of_tree(pod).has_pod_level() {
        return None;
    }
    let mandatory = |name: &str| {
        let of = name.strip_prefix("requests.").or(name.strip_prefix("limits.")).unwrap_or(name);
        MANDATORY.contains(&of)
    };
    let required: Vec<&str> = limited.filter(|name| mandatory(name)).collect();
    let mut missing: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let lists = ["containers", "initContainers"].map(|list| spec[list].as_array());
    for container in lists.into_iter().flatten().flatten() {
        let amounts = |list: &str| Amounts::read(&container["resources"][list]);
        let given = compute(&amounts("requests"), &amounts("limits"));
        for name in required.iter().filter(|name| given.get(name).is_none()) {
            missing.entry(name).or_default().insert(container.str_at(&["name"]));
        }
    }
    let lines = missing.into_iter().map(|(name, containers)| {
        let containers: Vec<&str> = containers.into_iter().collect();
        format!("{name} for: {}", containers.join(","))
    });
    let lines: Vec<String> = lines.collect();
    (!lines.is_empty()).then(|| format!("must specify {}", lines.join("; ")))
}

#[cfg(test)]
mod tests;

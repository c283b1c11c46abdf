//! The registrations of the server's own group versions.

use std::collections::BTreeSet;

use apimachinery::time;
use serde_json::{Value, json};

use crate::registry;

/// Groups with their priority among groups, and that of their first version (upstream's
/// `apiVersionPriorities`).
const PRIORITIES: &[(&str, u32, u32)] = &[
    ("", 18000, 1),
    ("admissionregistration.k8s.io", 16700, 15),
    ("apiextensions.k8s.io", 16700, 15),
    ("apps", 17800, 15),
    ("authentication.k8s.io", 17700, 15),
    ("authorization.k8s.io", 17600, 15),
    ("autoscaling", 17500, 15),
    ("batch", 17400, 15),
    ("certificates.k8s.io", 17300, 15),
    ("coordination.k8s.io", 16500, 15),
    ("discovery.k8s.io", 16200, 15),
    ("events.k8s.io", 17750, 15),
    ("flowcontrol.apiserver.k8s.io", 16100, 21),
    ("networking.k8s.io", 17200, 15),
    ("node.k8s.io", 16300, 15),
    ("policy", 17100, 15),
    ("rbac.authorization.k8s.io", 17000, 15),
    ("resource.k8s.io", 16200, 21),
    ("scheduling.k8s.io", 16600, 15),
    ("storage.k8s.io", 16800, 15),
    ("storagemigration.k8s.io", 15800, 15),
];

pub(super) fn objects() -> impl Iterator<Item = Value> {
    let versions: BTreeSet<(&str, &str)> = registry::kinds()
        // Aggregation itself is not aggregated.
        .filter(|kind| kind.group != "apiregistration.k8s.io")
        .map(|kind| (kind.group, kind.version))
        .collect();
    versions.into_iter().map(|(group, version)| {
        let row = PRIORITIES.iter().find(|(known, ..)| *known == group);
        let (_, group_priority, first) = row.copied().unwrap_or((group, 1000, 15));
        // Newer versions come first.
        let priority = if version == "v2" { 30 } else { first };
        local(group, version, group_priority, priority, "onstart")
    })
}

/// Label of registrations that the server looks after: `onstart`, or `true` for those that go with
/// their definition.
pub(crate) const MANAGED: &str = "kube-aggregator.kubernetes.io/automanaged";

/// The registration of a group version that this server answers itself.
pub(crate) fn local(
    group: &str,
    version: &str,
    group_priority: u32,
    priority: u32,
    managed: &str,
) -> Value {
    let mut spec = json!({
        "version": version, "groupPriorityMinimum": group_priority, "versionPriority": priority,
    });
    if !group.is_empty() {
        spec["group"] = group.into();
    }
    json!({
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
        "metadata": {"name": format!("{version}.{group}"), "labels": {MANAGED: managed}},
        "spec": spec,
        "status": {"conditions": [{
            "type": "Available", "status": "True", "reason": "Local",
            "message": "Local APIServices are always available",
            "lastTransitionTime": time::now_rfc3339(),
        }]},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_group_has_a_priority() {
        for object in objects() {
            let group = object["spec"]["group"].as_str().unwrap_or_default();
            assert!(PRIORITIES.iter().any(|(known, ..)| *known == group), "{group}");
        }
    }
}

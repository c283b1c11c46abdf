//! Taints that follow from a node's conditions.

use k8s_openapi::api::core::v1::{Node, Taint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::health;

const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

/// Condition, its status, and the taint that keeps pods away then.
const BY_CONDITION: &[(&str, &str, &str)] = &[
    ("Ready", "False", NOT_READY),
    ("Ready", "Unknown", UNREACHABLE),
    ("MemoryPressure", "True", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "True", "node.kubernetes.io/disk-pressure"),
    ("PIDPressure", "True", "node.kubernetes.io/pid-pressure"),
    ("NetworkUnavailable", "True", "node.kubernetes.io/network-unavailable"),
];

/// Returns true if a taint is ours to set and clear.
fn is_ours(taint: &Taint) -> bool {
    let known = BY_CONDITION.iter().any(|(_, _, key)| taint.key == *key);
    match taint.effect.as_str() {
        "NoSchedule" => known || taint.key == UNSCHEDULABLE,
        "NoExecute" => taint.key == NOT_READY || taint.key == UNREACHABLE,
        _ => false,
    }
}

/// Returns true if a taint of ours makes pods leave.
pub(super) fn evicts(taint: &Taint) -> bool {
    taint.effect == "NoExecute" && is_ours(taint)
}

/// Key and effect of the taints that the node's state asks for.
fn asked(node: &Node, evict: bool) -> Vec<(&'static str, &'static str)> {
    let mut asked = Vec::new();
    for (kind, status, key) in BY_CONDITION {
        if health::condition(node, kind).is_some_and(|condition| condition.status == *status) {
            asked.push((*key, "NoSchedule"));
            if *kind == "Ready" && evict {
                asked.push((*key, "NoExecute"));
            }
        }
    }
    // A node begins with this taint and keeps it until its kubelet says otherwise.
    if !health::reported(node) {
        asked.push((NOT_READY, "NoSchedule"));
    }
    if node.spec.as_ref().is_some_and(|spec| spec.unschedulable == Some(true)) {
        asked.push((UNSCHEDULABLE, "NoSchedule"));
    }
    asked
}

/// The taints the node should have, or `None` if it has them. `evict` allows those that drive
/// running pods away.
pub(super) fn wanted(node: &Node, evict: bool, now: Time) -> Option<Vec<Taint>> {
    let present = node.spec.as_ref().and_then(|spec| spec.taints.clone()).unwrap_or_default();
    let asked = asked(node, evict);
    let is =
        |taint: &Taint, (key, effect): &(&str, &str)| taint.key == *key && taint.effect == *effect;
    let mut taints: Vec<Taint> = present
        .iter()
        .filter(|taint| !is_ours(taint) || asked.iter().any(|wanted| is(taint, wanted)))
        .cloned()
        .collect();
    for wanted in &asked {
        if !taints.iter().any(|taint| is(taint, wanted)) {
            taints.push(Taint {
                key: wanted.0.into(),
                effect: wanted.1.into(),
                time_added: Some(now.clone()),
                value: None,
            });
        }
    }
    (taints != present).then_some(taints)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn taints_follow_conditions() {
        let ready = |status: &str| json!([{"type": "Ready", "status": status}]);
        let own = json!({"key": "dedicated", "effect": "NoSchedule"});
        let taint = |key: &str, effect: &str| json!({"key": key, "effect": effect});
        let new = || taint(NOT_READY, "NoSchedule");
        /// Conditions, unschedulable, taints, whether to evict; and what should come of it.
        type Case = (Value, bool, Value, bool, Option<Vec<(&'static str, &'static str)>>);
        let table: Vec<Case> = vec![
            (
                ready("True"),
                false,
                json!([own, new()]),
                true,
                Some(vec![("dedicated", "NoSchedule")]),
            ),
            (ready("True"), false, json!([own]), true, None),
            (json!([]), false, json!([new()]), true, None),
            (
                ready("False"),
                false,
                json!([new()]),
                true,
                Some(vec![(NOT_READY, "NoSchedule"), (NOT_READY, "NoExecute")]),
            ),
            (
                ready("Unknown"),
                false,
                json!([new(), taint(NOT_READY, "NoExecute")]),
                false,
                Some(vec![(UNREACHABLE, "NoSchedule")]),
            ),
            (ready("True"), true, json!([]), true, Some(vec![(UNSCHEDULABLE, "NoSchedule")])),
            (
                json!([{"type": "Ready", "status": "True"}, {"type": "DiskPressure", "status": "True"}]),
                false,
                json!([taint(UNSCHEDULABLE, "NoSchedule")]),
                true,
                Some(vec![("node.kubernetes.io/disk-pressure", "NoSchedule")]),
            ),
        ];
        for (conditions, unschedulable, taints, evict, expected) in table {
            let node: Node = serde_json::from_value(json!({
                "spec": {"unschedulable": unschedulable, "taints": taints},
                "status": {"conditions": conditions},
            }))
            .unwrap();
            let found = wanted(&node, evict, client::helpers::now());
            let found = found.as_ref().map(|taints| {
                taints.iter().map(|t| (t.key.as_str(), t.effect.as_str())).collect::<Vec<_>>()
            });
            assert_eq!(found, expected);
        }
    }
}

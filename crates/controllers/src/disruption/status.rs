//! The arithmetic of a disruption budget.
//!
//! <https://kubernetes.io/docs/concepts/workloads/pods/disruptions/#pod-disruption-budgets>

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::{
    PodDisruptionBudget, PodDisruptionBudgetSpec, PodDisruptionBudgetStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::common::{meta, pod};

/// Time an evicted pod has until its deletion is to be seen (upstream's `DeletionTimeout`).
const DELETION: Duration = Duration::from_secs(2 * 60);

/// Returns true if a budget is relative to the scale of the pods' controllers, rather than a
/// number.
pub(super) fn needs_scale(spec: &PodDisruptionBudgetSpec) -> bool {
    spec.max_unavailable.is_some() || matches!(spec.min_available, Some(IntOrString::String(_)))
}

/// How many of `expected` pods must be healthy.
pub(super) fn desired(spec: &PodDisruptionBudgetSpec, expected: i32) -> i32 {
    match (&spec.max_unavailable, &spec.min_available) {
        (Some(most), _) => (expected - meta::scaled(most, expected, true)).max(0),
        (None, Some(least)) => meta::scaled(least, expected, true),
        (None, None) => 0,
    }
}

/// Evicted pods.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Evicted {
    /// Those that are about to be deleted, and since when.
    pub(super) pending: BTreeMap<String, Time>,
    /// Those that should have been.
    pub(super) spared: Vec<String>,
    /// When the next one is due.
    pub(super) due: Option<Duration>,
}

/// Looks for the pods that the eviction handler has noted in the status.
pub(super) fn evicted(budget: &PodDisruptionBudget, pods: &[Arc<Pod>], now: &Time) -> Evicted {
    let noted = budget.status.as_ref().and_then(|status| status.disrupted_pods.as_ref());
    let mut found = Evicted::default();
    for member in pods.iter().filter(|pod| !meta::deleting(&***pod)) {
        let name = meta::name(&**member);
        let Some(since) = noted.and_then(|noted| noted.get(name)) else { continue };
        match meta::remaining(since, DELETION, now.0) {
            None => found.spared.push(name.to_owned()),
            Some(left) => {
                found.due = Some(found.due.map_or(left, |due: Duration| due.min(left)));
                found.pending.insert(name.to_owned(), since.clone());
            }
        }
    }
    found
}

/// The status of a budget that covers these pods.
pub(super) fn calculate(
    budget: &PodDisruptionBudget,
    pods: &[Arc<Pod>],
    evicted: &Evicted,
    expected: i32,
    now: &Time,
) -> PodDisruptionBudgetStatus {
    let spec = budget.spec.clone().unwrap_or_default();
    let healthy = |pod: &&Arc<Pod>| {
        let pod = &***pod;
        !meta::deleting(pod) && !evicted.pending.contains_key(meta::name(pod)) && pod::is_ready(pod)
    };
    let current = i32::try_from(pods.iter().filter(healthy).count()).unwrap_or(i32::MAX);
    let desired = desired(&spec, expected);
    // Nothing is expected of a budget without pods, so that its first pods are safe.
    let allowed = if expected > 0 { (current - desired).max(0) } else { 0 };
    let known = budget.status.clone().unwrap_or_default();
    let mut status = PodDisruptionBudgetStatus {
        current_healthy: Some(current),
        desired_healthy: Some(desired),
        expected_pods: Some(expected),
        disruptions_allowed: Some(allowed),
        disrupted_pods: Some(evicted.pending.clone()).filter(|pods| !pods.is_empty()),
        observed_generation: budget.metadata.generation,
        conditions: known.conditions,
    };
    let (holds, reason) =
        if allowed > 0 { ("True", "SufficientPods") } else { ("False", "InsufficientPods") };
    set_condition(&mut status, holds, reason, "", now);
    status
}

/// The status of a budget about which nothing is certain: no disruption is allowed.
pub(super) fn failed(
    budget: &PodDisruptionBudget,
    message: &str,
    now: &Time,
) -> PodDisruptionBudgetStatus {
    let mut status = budget.status.clone().unwrap_or_default();
    status.disruptions_allowed = Some(0);
    set_condition(&mut status, "False", "SyncFailed", message, now);
    status
}

fn set_condition(
    status: &mut PodDisruptionBudgetStatus,
    holds: &str,
    reason: &str,
    message: &str,
    now: &Time,
) {
    const KIND: &str = "DisruptionAllowed";
    let observed_generation = status.observed_generation;
    let conditions = status.conditions.get_or_insert_default();
    let known = conditions.iter().find(|known| known.type_ == KIND && known.status == holds);
    let since = known.map_or_else(|| now.clone(), |known| known.last_transition_time.clone());
    conditions.retain(|known| known.type_ != KIND);
    conditions.push(Condition {
        type_: KIND.into(),
        status: holds.into(),
        reason: reason.into(),
        message: message.into(),
        last_transition_time: since,
        observed_generation,
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn disruptions_are_what_is_left_over() {
        let now = Time("2024-01-01T00:01:00Z".parse().unwrap());
        let pods = |text: &str| -> Vec<Arc<Pod>> {
            let make = |word: &str| {
                let (ready, gone) = match &word[1..] {
                    "" => ("True", None),
                    "-" => ("False", None),
                    _ => ("True", Some("2024-01-01T00:00:00Z")),
                };
                Arc::new(
                    serde_json::from_value(json!({
                        "metadata": {"name": &word[..1], "deletionTimestamp": gone},
                        "status": {"conditions": [{"type": "Ready", "status": ready}]}}))
                    .unwrap(),
                )
            };
            text.split_whitespace().map(make).collect()
        };
        let at = |second: u32| json!(format!("2024-01-01T00:00:{second:02}Z"));
        let none = || json!({});
        // Spec, evicted, pods, expected; healthy, desired, allowed.
        for (spec, noted, members, expected, found) in [
            (json!({"minAvailable": 2}), none(), "a b c", 3, (3, 2, 1)),
            (json!({"minAvailable": 2}), none(), "a b- c", 3, (2, 2, 0)),
            (json!({"minAvailable": 2}), none(), "a b c+", 3, (2, 2, 0)),
            (json!({"minAvailable": "50%"}), none(), "a b c", 3, (3, 2, 1)),
            (json!({"maxUnavailable": 1}), none(), "a b c", 3, (3, 2, 1)),
            (json!({"maxUnavailable": "34%"}), none(), "a b c", 3, (3, 1, 2)),
            (json!({"maxUnavailable": 9}), none(), "a b c", 3, (3, 0, 3)),
            (json!({"minAvailable": 0}), none(), "", 0, (0, 0, 0)),
            (json!({"minAvailable": 1}), json!({"a": at(30)}), "a b c", 3, (2, 1, 1)),
            (json!({"minAvailable": 1}), json!({"z": at(30)}), "a b", 2, (2, 1, 1)),
        ] {
            let budget = serde_json::from_value(json!({
                "metadata": {"generation": 4}, "spec": spec,
                "status": {"currentHealthy": 0, "desiredHealthy": 0, "disruptionsAllowed": 0,
                    "expectedPods": 0, "disruptedPods": noted}}))
            .unwrap();
            let pods = pods(members);
            let gone = evicted(&budget, &pods, &now);
            let status = calculate(&budget, &pods, &gone, expected, &now);
            let numbers =
                (status.current_healthy, status.desired_healthy, status.disruptions_allowed);
            assert_eq!(numbers, (Some(found.0), Some(found.1), Some(found.2)), "{spec} {members}");
            assert_eq!(status.observed_generation, Some(4));
            let holds = if found.2 > 0 { "True" } else { "False" };
            assert_eq!(status.conditions.unwrap()[0].status, holds);
        }
    }

    #[test]
    fn evictions_that_do_not_come_are_forgotten() {
        let budget = |noted: Value| -> PodDisruptionBudget {
            serde_json::from_value(json!({"status": {"currentHealthy": 0, "desiredHealthy": 0,
                "disruptionsAllowed": 0, "expectedPods": 0, "disruptedPods": noted}}))
            .unwrap()
        };
        let noted = json!({"old": "2024-01-01T00:00:00Z", "new": "2024-01-01T00:02:00Z"});
        let make = |name: &str| {
            Arc::new(serde_json::from_value(json!({"metadata": {"name": name}})).unwrap())
        };
        let pods: Vec<Arc<Pod>> = ["old", "new", "other"].map(make).into();
        let now = Time("2024-01-01T00:02:30Z".parse().unwrap());
        let found = evicted(&budget(noted), &pods, &now);
        assert_eq!(found.spared, ["old"]);
        assert_eq!(found.pending.keys().collect::<Vec<_>>(), ["new"]);
        assert_eq!(found.due, Some(Duration::from_secs(90)));
    }
}

//! Which pods to make and delete next.
//!
//! <https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#deployment-and-scaling-guarantees>

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;

use super::identity;
use super::snapshot::{Replica, Snapshot};
use crate::common::{meta, pod};

/// Something to do about one pod.
#[derive(Debug)]
pub(super) enum Step {
    Create(Box<Pod>),
    Delete(Arc<Pod>),
    /// Make claims that a waiting pod lacks.
    Provide(Arc<Pod>),
    /// See that labels, volumes and owners of claims are right.
    Tidy(Arc<Pod>),
}

/// The steps, phase by phase; a phase that fails ends the reconciliation.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// For the ordinals that are to be.
    pub(super) living: Vec<Step>,
    /// Pods to be scaled away whose claims may need other owners.
    pub(super) claims: Vec<Arc<Pod>>,
    /// Scaling down.
    pub(super) condemned: Vec<Step>,
    /// Pods of former revisions.
    pub(super) update: Vec<Arc<Pod>>,
}

/// Decides.
pub(super) fn next(snapshot: &Snapshot) -> Plan {
    let mut plan = Plan::default();
    if meta::deleting(&*snapshot.set) {
        return plan;
    }
    let ordered = snapshot.ordered();
    for replica in &snapshot.replicas {
        let may_go_on = live(snapshot, replica, &mut plan.living);
        if ordered && !may_go_on {
            return plan;
        }
    }
    plan.claims.clone_from(&snapshot.condemned);
    if ordered {
        if let Some(last) = snapshot.condemned.first() {
            if may_go(snapshot, last) {
                plan.condemned.push(Step::Delete(last.clone()));
            }
            return plan;
        }
    } else {
        let staying = snapshot.condemned.iter().filter(|pod| !meta::deleting(&***pod));
        plan.condemned.extend(staying.cloned().map(Step::Delete));
    }
    plan.update = outdated(snapshot);
    plan
}

/// Adds the steps for one ordinal; returns true if it is healthy, so that the next one may follow.
fn live(snapshot: &Snapshot, replica: &Replica, steps: &mut Vec<Step>) -> bool {
    let member = match replica {
        Replica::Present(member) => member,
        Replica::Missing(pod) => {
            steps.push(Step::Create(pod.clone()));
            return false;
        }
    };
    if pod::is_terminal(member) {
        // However it ended, it is to run; a new one is made when it is gone.
        if !meta::deleting(&**member) {
            steps.push(Step::Delete(member.clone()));
        }
        return false;
    }
    if pod::phase(member) == "Pending" {
        steps.push(Step::Provide(member.clone()));
    }
    let well = !meta::deleting(&**member)
        && pod::phase(member) == "Running"
        && snapshot.is_available(member);
    if well || (!snapshot.ordered() && pod::phase(member) != "Pending") {
        steps.push(Step::Tidy(member.clone()));
    }
    well
}

/// Returns true if the last pod may be scaled away: it is healthy, or the first that is not.
fn may_go(snapshot: &Snapshot, last: &Arc<Pod>) -> bool {
    let well = |pod: &Pod| snapshot.is_available(pod) && !meta::deleting(pod);
    let first_ill = snapshot.condemned.iter().rev().find(|pod| !well(pod));
    !meta::deleting(&**last)
        && (well(last) || first_ill.is_some_and(|pod| meta::same(&**pod, &**last)))
}

/// Pods of former revisions that may be replaced now, the highest ordinal first.
fn outdated(snapshot: &Snapshot) -> Vec<Arc<Pod>> {
    let Some((partition, most)) = snapshot.rolling() else { return Vec::new() };
    let available = |replica: &Replica| {
        let member = replica.present();
        member.is_some_and(|pod| snapshot.is_available(pod) && !meta::deleting(&**pod))
    };
    let unavailable = snapshot.replicas.iter().filter(|replica| !available(replica)).count();
    let updated = snapshot.replicas.iter().skip(partition).rev().filter_map(Replica::present);
    updated
        .filter(|pod| identity::revision(pod) != snapshot.update && !meta::deleting(&***pod))
        .take(most.saturating_sub(unavailable))
        .cloned()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::snapshot::Version;
    use super::*;
    use k8s_openapi::api::core::v1::PodTemplateSpec;
    use serde_json::{Value, json};

    /// Pods by a short notation: ordinal, `r`eady, `p`ending, `f`ailed or `w`aiting to be ready,
    /// `d`eleted; in capitals if of the new revision.
    fn pods(text: &str) -> Vec<Arc<Pod>> {
        let make = |word: &str| {
            let (ordinal, state) = word.split_at(word.len() - 1);
            let revision = if state == state.to_uppercase() { "new" } else { "old" };
            let state = state.to_lowercase();
            let phase = match state.as_str() {
                "p" => "Pending",
                "f" => "Failed",
                _ => "Running",
            };
            let ready = if matches!(state.as_str(), "r" | "d") { "True" } else { "False" };
            let gone = (state == "d").then_some("2024-01-01T00:00:00Z");
            let pod = json!({
                "metadata": {"name": format!("web-{ordinal}"), "uid": word,
                    "deletionTimestamp": gone, "labels": {"controller-revision-hash": revision}},
                "status": {"phase": phase, "conditions": [{"type": "Ready", "status": ready}]}});
            Arc::new(serde_json::from_value(pod).unwrap())
        };
        text.split_whitespace().map(make).collect()
    }

    fn snapshot(spec: &Value, members: &str) -> Snapshot {
        let mut whole = json!({"replicas": 3, "selector": {}, "template": {}});
        whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        let set = json!({"metadata": {"name": "web"}, "spec": whole});
        let set = Arc::new(serde_json::from_value(set).unwrap());
        let version =
            |name: &str| Version { name: name.to_owned(), template: PodTemplateSpec::default() };
        let now = k8s_openapi::jiff::Timestamp::now();
        Snapshot::new(set, &version("old"), &version("new"), pods(members), now)
    }

    fn told(plan: Plan) -> String {
        let mut words = Vec::new();
        for step in plan.living.iter().chain(&plan.condemned) {
            words.push(match step {
                Step::Create(pod) => format!("+{} {}", meta::name(&**pod), identity::revision(pod)),
                Step::Delete(pod) => format!("-{}", meta::name(&**pod)),
                Step::Provide(pod) => format!("claims of {}", meta::name(&**pod)),
                Step::Tidy(_) => continue,
            });
        }
        words.extend(plan.update.iter().map(|pod| format!("update {}", meta::name(&**pod))));
        words.join(", ").replace("web-", "")
    }

    #[test]
    fn order_is_kept_or_not() {
        let none = json!({});
        let parallel = json!({"podManagementPolicy": "Parallel"});
        let part = json!({"updateStrategy": {"type": "RollingUpdate",
            "rollingUpdate": {"partition": 2}}});
        let two = json!({"updateStrategy": {"rollingUpdate": {"maxUnavailable": 2}}});
        let by_hand = json!({"updateStrategy": {"type": "OnDelete"}});
        let from_five = json!({"ordinals": {"start": 5}});
        for (spec, members, expected) in [
            (&none, "", "+0 new"),
            (&none, "0R", "+1 new"),
            (&none, "0R 1W", ""),
            (&none, "0R 1P", "claims of 1"),
            (&none, "0R 1F 2R", "-1"),
            (&none, "0R 2R", "+1 new"),
            (&none, "0R 1D 2R", ""),
            (&none, "0R 1R 2R", ""),
            (&none, "0R 1R 2R 3R 4R", "-4"),
            (&none, "0R 1R 2R 3R 4D", ""),
            (&none, "0R 1R 2R 3W 4R", "-4"),
            (&none, "0R 1R 2R 3R 4W", "-4"),
            (&none, "0R 1R 2R 3W 4W", ""),
            (&none, "0R 1W 2R 3R", ""),
            (&none, "0r 1r 2r", "update 2"),
            (&none, "0r 1r 2R", "update 1"),
            (&none, "0r 1r 2W", ""),
            (&none, "0r 1r 2d", ""),
            (&two, "0r 1r 2r", "update 2, update 1"),
            (&two, "0r 1r 2R", "update 1, update 0"),
            (&part, "0r 1r 2r", "update 2"),
            (&part, "0r 1r 2R", ""),
            (&part, "0r 2R", "+1 old"),
            (&by_hand, "0r 1r 2r", ""),
            (&by_hand, "0r 1r", "+2 new"),
            (&from_five, "", "+5 new"),
            (&from_five, "0R 5R 6R 7R", "-0"),
            (&parallel, "", "+0 new, +1 new, +2 new"),
            (&parallel, "0W 2F 3W 4R", "+1 new, -2, -4, -3"),
            (&parallel, "0R 1P 2R", "claims of 1"),
            (&parallel, "0r 1r 2r", "update 2"),
            (&parallel, "0r 1w 2r", ""),
        ] {
            assert_eq!(told(next(&snapshot(spec, members))), expected, "{spec} {members}");
        }
    }

    #[test]
    fn the_status_completes_with_the_last_pod() {
        for (members, expected) in [
            ("0r 1r 2R", (3, 3, 2, 1, "old")),
            ("0R 1R 2W", (3, 2, 0, 3, "old")),
            ("0R 1R 2R", (3, 3, 3, 3, "new")),
            ("0R 1R 2R 3R", (4, 4, 0, 4, "old")),
            ("0r 1d", (2, 2, 1, 0, "old")),
        ] {
            let status = snapshot(&json!({}), members).status(None, 0);
            let found = (
                status.replicas,
                status.ready_replicas.unwrap(),
                status.current_replicas.unwrap(),
                status.updated_replicas.unwrap(),
                status.current_revision.as_deref().unwrap(),
            );
            assert_eq!(found, expected, "{members}");
        }
    }
}

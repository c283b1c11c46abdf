//! One pod on every node that wants one, none elsewhere.

use std::sync::Arc;
use std::time::Duration;

use client::EventType::{self, Normal, Warning};
use k8s_openapi::api::core::v1::Pod;

use super::backoff::Backoffs;
use super::snapshot::{Plan, Snapshot};
use super::template::Wants;
use crate::common::{meta, pod};

/// The plan of a reconciliation, and the events to record.
#[derive(Default)]
pub(super) struct Managed {
    pub(super) plan: Plan,
    pub(super) events: Vec<(EventType, &'static str, String)>,
    /// When a failed pod may be replaced.
    pub(super) again: Option<Duration>,
}

/// Decides for all nodes.
pub(super) fn plan(snapshot: &Snapshot, backoffs: &Backoffs) -> Managed {
    let mut managed = Managed::default();
    for (node, wants) in &snapshot.nodes {
        let present = snapshot.pods.contains_key(node);
        match wants {
            Wants::Run if !present => managed.plan.create.push(node.clone()),
            Wants::Run | Wants::Keep => keep_one(snapshot, backoffs, node, *wants, &mut managed),
            Wants::Nothing => {
                let going = snapshot.on(node).iter().filter(|pod| !meta::deleting(&***pod));
                managed.plan.delete.extend(going.cloned());
            }
        }
    }
    // Pods for a node that is gone will never be scheduled, and nobody else deletes them.
    for (node, pods) in &snapshot.pods {
        if !snapshot.nodes.contains_key(node) {
            let waiting = pods.iter().filter(|member| pod::node(member).is_none());
            managed.plan.delete.extend(waiting.cloned());
        }
    }
    managed
}

fn keep_one(
    snapshot: &Snapshot,
    backoffs: &Backoffs,
    node: &str,
    wants: Wants,
    managed: &mut Managed,
) {
    let mut running = Vec::new();
    for member in snapshot.on(node).iter().filter(|pod| !meta::deleting(&***pod)) {
        let (namespace, name) = (meta::namespace(&**member), meta::name(&**member));
        match pod::phase(member) {
            "Failed" => {
                // The kubelet may refuse it again and again.
                if let Some(wait) = backoffs.attempt(&snapshot.set, node, snapshot.now) {
                    managed.again = Some(managed.again.map_or(wait, |known| known.min(wait)));
                    continue;
                }
                let text = format!(
                    "Found failed daemon pod {namespace}/{name} on node {node}, will try to kill it"
                );
                managed.events.push((Warning, "FailedDaemonPod", text));
                managed.plan.delete.push(member.clone());
            }
            "Succeeded" => {
                let text = format!(
                    "Found succeeded daemon pod {namespace}/{name} on node {node}, will try to \
                     delete it"
                );
                managed.events.push((Normal, "SucceededDaemonPod", text));
                managed.plan.delete.push(member.clone());
            }
            _ => running.push(member.clone()),
        }
    }
    if snapshot.max_surge(1) == 0 {
        managed.plan.delete.extend(running.into_iter().skip(1));
    } else if running.is_empty() && wants == Wants::Run {
        managed.plan.create.push(node.to_owned());
    } else if running.len() > 1 {
        managed.plan.delete.extend(surplus(snapshot, running));
    }
}

/// Of several pods on a node one old and one new may stay, while the old one is ready and the new
/// one not yet available.
fn surplus(snapshot: &Snapshot, running: Vec<Arc<Pod>>) -> Vec<Arc<Pod>> {
    let (mut new, mut old): (Vec<_>, Vec<_>) = running.into_iter().partition(|pod| {
        meta::label(&**pod, crate::common::history::REVISION_LABEL) == Some(&snapshot.hash)
    });
    let mut surplus = new.split_off(new.len().min(1));
    surplus.extend(old.split_off(old.len().min(1)));
    if let (Some(new), Some(old)) = (new.first(), old.first())
        && (!pod::is_ready(old) || snapshot.is_available(new))
    {
        surplus.push(old.clone());
    }
    surplus
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Made, snapshot};
    use super::*;
    use serde_json::json;

    #[test]
    fn every_node_gets_what_it_wants() {
        let none = || json!({});
        let surge = || json!({"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}});
        let on = Made::on;
        for (strategy, pods, create, delete) in [
            (none(), vec![], "n1 n2 n3", ""),
            (none(), vec![on("a", "n1"), on("b", "n2"), on("c", "n3")], "", ""),
            (none(), vec![on("a", "n1"), on("b", "n1"), on("c", "gone")], "n2 n3", "b"),
            (none(), vec![on("a", "n1").going()], "n2 n3", ""),
            (none(), vec![on("a", "n1").phase("Succeeded")], "n2 n3", "a"),
            (none(), vec![on("a", "n1").phase("Failed")], "n2 n3", "a"),
            (none(), vec![Made::meant_for("a", "gone")], "n1 n2 n3", "a"),
            (none(), vec![on("a", "tainted"), on("b", "cordoned")], "n1 n2 n3", "a"),
            (surge(), vec![on("a", "n1").going()], "n1 n2 n3", ""),
            (surge(), vec![on("a", "n1").ready(), on("b", "n1").updated()], "n2 n3", ""),
            (surge(), vec![on("a", "n1"), on("b", "n1").updated()], "n2 n3", "a"),
            (surge(), vec![on("a", "n1").ready(), on("b", "n1").updated().ready()], "n2 n3", "a"),
            (surge(), vec![on("a", "n1").ready(), on("b", "n1")], "n2 n3", "b"),
        ] {
            let managed = plan(&snapshot(strategy, pods), &Backoffs::default());
            let names: Vec<&str> = managed.plan.delete.iter().map(|p| meta::name(&**p)).collect();
            let found = (managed.plan.create.join(" "), names.join(" "));
            assert_eq!(found, (create.to_owned(), delete.to_owned()));
        }
    }
}

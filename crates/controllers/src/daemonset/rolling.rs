//! Replacing pods of former templates, a few at a time.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;

use super::snapshot::{Plan, Snapshot};
use super::template::Wants;
use crate::common::meta;

/// The pods of a node that are not being deleted: a new and an old one at most.
struct Pair {
    new: Option<Arc<Pod>>,
    old: Option<Arc<Pod>>,
}

/// `None` if there are more; then they are to be thinned out first.
fn pair(snapshot: &Snapshot, node: &str) -> Option<Pair> {
    let staying = snapshot.on(node).iter().filter(|pod| !meta::deleting(&***pod)).cloned();
    let (mut new, mut old): (Vec<_>, Vec<_>) = staying.partition(|pod| snapshot.is_updated(pod));
    let single = new.len() <= 1 && old.len() <= 1;
    single.then(|| Pair { new: new.pop(), old: old.pop() })
}

/// Every node that has pods or wants one.
fn nodes(snapshot: &Snapshot) -> std::collections::BTreeSet<&str> {
    let wanting = snapshot.nodes.iter().filter(|(_, wants)| **wants == Wants::Run);
    wanting.map(|(node, _)| node).chain(snapshot.pods.keys()).map(String::as_str).collect()
}

/// The next pods to replace.
pub(super) fn plan(snapshot: &Snapshot) -> Plan {
    let desired = snapshot.desired();
    if snapshot.max_surge(desired) == 0 {
        in_place(snapshot, desired)
    } else {
        surge(snapshot, desired)
    }
}

fn room(most: i32, taken: usize) -> usize {
    usize::try_from(most).unwrap_or(0).saturating_sub(taken)
}

/// Deletes old pods; new ones follow. Unavailable old ones go first: that costs nothing.
fn in_place(snapshot: &Snapshot, desired: i32) -> Plan {
    let (mut unavailable, mut free, mut candidates) = (0, Vec::new(), Vec::new());
    for node in nodes(snapshot) {
        match pair(snapshot, node) {
            Some(Pair { new: Some(new), old: None }) => {
                unavailable += usize::from(!snapshot.is_available(&new));
            }
            Some(Pair { new: None, old: Some(old) }) if snapshot.is_available(&old) => {
                candidates.push(old);
            }
            Some(Pair { new: None, old: Some(old) }) => {
                unavailable += 1;
                free.push(old);
            }
            _ => unavailable += 1,
        }
    }
    let room = room(snapshot.max_unavailable(desired), unavailable);
    free.extend(candidates.into_iter().take(room));
    Plan { create: Vec::new(), delete: free }
}

/// Makes new pods beside old ones, and deletes those when the new ones are available.
fn surge(snapshot: &Snapshot, desired: i32) -> Plan {
    let mut plan = Plan::default();
    let (mut surging, mut available) = (0, 0);
    let (mut candidates, mut misplaced) = (Vec::new(), Vec::new());
    for node in nodes(snapshot) {
        let Some(Pair { new, old }) = pair(snapshot, node) else {
            surging += 1;
            continue;
        };
        let serving = old.as_ref().or(new.as_ref());
        available += i32::from(serving.is_some_and(|pod| snapshot.is_available(pod)));
        let Some(old) = old else { continue };
        let wanted = snapshot.wants(node) == Wants::Run;
        match new {
            Some(new) if snapshot.is_available(&new) => plan.delete.push(old),
            Some(_) => surging += 1,
            None => match (snapshot.is_available(&old), wanted) {
                (false, false) => plan.delete.push(old),
                (false, true) => plan.create.push(node.to_owned()),
                // It serves until another does elsewhere.
                (true, false) => misplaced.push(old),
                (true, true) => candidates.push(node.to_owned()),
            },
        }
    }
    let spare = usize::try_from(available - desired).unwrap_or(0);
    plan.delete.extend(misplaced.into_iter().take(spare));
    let room = room(snapshot.max_surge(desired), surging);
    plan.create.extend(candidates.into_iter().take(room));
    plan
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Made, snapshot};
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn limits_are_kept() {
        let on = Made::on;
        let limits = |unavailable: Value, surge: Value| json!({"rollingUpdate": {"maxUnavailable": unavailable, "maxSurge": surge}});
        let ready = || vec![on("a", "n1").ready(), on("b", "n2").ready(), on("c", "n3").ready()];
        let mixed = || vec![on("a", "n1").updated(), on("b", "n2").ready(), on("c", "n3").ready()];
        for (strategy, pods, create, delete) in [
            (limits(json!(1), json!(0)), ready(), "", "a"),
            (limits(json!("50%"), json!(0)), ready(), "", "a b"),
            (limits(json!(0), json!(0)), ready(), "", "a"),
            (limits(json!(1), json!(0)), mixed(), "", ""),
            (limits(json!(2), json!(0)), mixed(), "", "b"),
            (limits(json!(1), json!(0)), vec![on("a", "n1"), on("b", "n2").ready()], "", "a"),
            (
                limits(json!(1), json!(0)),
                vec![on("a", "n1").going(), on("b", "n2").ready()],
                "",
                "",
            ),
            (limits(json!(0), json!(1)), ready(), "n1", ""),
            (limits(json!(0), json!("100%")), ready(), "n1 n2 n3", ""),
            (
                limits(json!(0), json!(1)),
                vec![on("a", "n1").ready(), on("x", "n1").updated(), on("b", "n2").ready()],
                "",
                "",
            ),
            (
                limits(json!(0), json!(1)),
                vec![on("a", "n1").ready(), on("x", "n1").updated().ready(), on("b", "n2").ready()],
                "n2",
                "a",
            ),
            (limits(json!(0), json!(1)), vec![on("a", "n1"), on("b", "n2").ready()], "n1 n2", ""),
            (limits(json!(0), json!(1)), vec![on("a", "cordoned")], "", "a"),
        ] {
            let found = plan(&snapshot(strategy.clone(), pods));
            let names: Vec<&str> = found.delete.iter().map(|pod| meta::name(&**pod)).collect();
            let found = (found.create.join(" "), names.join(" "));
            assert_eq!(found, (create.to_owned(), delete.to_owned()), "{strategy}");
        }
    }
}

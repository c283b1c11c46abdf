//! The annotations of a Deployment's ReplicaSets: revisions, and the size they were made for.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use kube::ResourceExt;

use super::update::{max_surge, wanted};
use crate::common::meta::annotation;

pub(super) const REVISION: &str = "deployment.kubernetes.io/revision";
const REVISION_HISTORY: &str = "deployment.kubernetes.io/revision-history";
const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
const MAX: &str = "deployment.kubernetes.io/max-replicas";
/// Characters of history kept.
const HISTORY_LIMIT: usize = 2000;

/// Annotations of a Deployment that are its own affair.
const NOT_COPIED: &[&str] = &[
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    REVISION_HISTORY,
    DESIRED,
    MAX,
    "deprecated.deployment.rollback.to",
];

/// The revision a ReplicaSet or Deployment has, 0 if none.
pub(super) fn revision(object: &impl kube::Resource) -> i64 {
    annotation(object, REVISION).and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn number(set: &ReplicaSet, key: &str) -> Option<i32> {
    annotation(set, key)?.parse().ok()
}

/// Replicas the Deployment wanted when it last scaled this ReplicaSet.
pub(super) fn desired(set: &ReplicaSet) -> Option<i32> {
    number(set, DESIRED)
}

/// Replicas the Deployment allowed itself then.
pub(super) fn maximum(set: &ReplicaSet) -> Option<i32> {
    number(set, MAX)
}

/// Sets an annotation; whether that changed anything.
fn set(annotations: &mut BTreeMap<String, String>, key: &str, value: impl ToString) -> bool {
    let value = value.to_string();
    if annotations.get(key) == Some(&value) {
        return false;
    }
    annotations.insert(key.to_owned(), value);
    true
}

/// Notes the Deployment's present size; whether that is news.
pub(super) fn note_size(target: &mut ReplicaSet, deployment: &Deployment) -> bool {
    let (wanted, surge) = (wanted(deployment), max_surge(deployment));
    let annotations = target.annotations_mut();
    let desired = set(annotations, DESIRED, wanted);
    set(annotations, MAX, wanted.saturating_add(surge)) || desired
}

/// Brings the annotations of the new ReplicaSet up to date for `revision`; whether they changed.
/// Its former revisions, from which it was rolled back to, are kept as history.
pub(super) fn note_revision(
    target: &mut ReplicaSet,
    deployment: &Deployment,
    revision: i64,
    exists: bool,
) -> bool {
    let annotations = target.annotations_mut();
    let mut changed = false;
    for (key, value) in deployment.annotations() {
        if !NOT_COPIED.contains(&key.as_str()) {
            changed |= set(annotations, key, value);
        }
    }
    let old = annotations.get(REVISION).cloned().unwrap_or_default();
    if old.parse().unwrap_or(0) < revision {
        changed |= set(annotations, REVISION, revision);
        if !old.is_empty() {
            let history = annotations.get(REVISION_HISTORY).cloned().unwrap_or_default();
            annotations.insert(REVISION_HISTORY.into(), append(&history, &old));
        }
    }
    if !exists {
        changed |= note_size(target, deployment);
    }
    changed
}

fn append(history: &str, revision: &str) -> String {
    let mut all: Vec<&str> = history.split(',').filter(|item| !item.is_empty()).collect();
    all.push(revision);
    let mut first = 0;
    while all[first..].join(",").len() > HISTORY_LIMIT && first + 1 < all.len() {
        first += 1;
    }
    all[first..].join(",")
}

/// Gives the Deployment its revision; whether it had another.
pub(super) fn set_deployment_revision(deployment: &mut Deployment, revision: &str) -> bool {
    set(deployment.annotations_mut(), REVISION, revision)
}

#[cfg(test)]
mod tests {
    use super::super::update::tests::deployment;
    use super::*;
    use serde_json::json;

    #[test]
    fn a_rollback_is_a_new_revision_with_history() {
        let mut d = deployment(3, json!(1), json!(1));
        d.annotations_mut().insert("team".into(), "web".into());
        d.annotations_mut().insert(REVISION.into(), "9".into());
        let mut set = ReplicaSet::default();
        assert!(note_revision(&mut set, &d, 1, false));
        assert_eq!((revision(&set), desired(&set), maximum(&set)), (1, Some(3), Some(4)));
        assert_eq!(annotation(&set, "team"), Some("web"));
        assert!(!note_revision(&mut set, &d, 1, true));
        assert!(note_revision(&mut set, &d, 3, true));
        assert!(note_revision(&mut set, &d, 4, true));
        assert_eq!(annotation(&set, REVISION_HISTORY), Some("1,3"));
        assert_eq!(revision(&set), 4);
    }

    #[test]
    fn history_is_bounded() {
        let long = append(&"1000000000,".repeat(300), "42");
        assert!(long.len() <= HISTORY_LIMIT && long.ends_with(",42"));
    }
}

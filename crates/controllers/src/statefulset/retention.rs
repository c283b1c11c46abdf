//! Owners of a pod's claims, by which the garbage collector deletes them in time.
//!
//! <https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#persistentvolumeclaim-retention>

use client::helpers::owner_ref;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Resource;

use super::identity;
use crate::common::meta;

/// The retention policy as two flags: claims are deleted with the set, and with a pod scaled away.
fn policy(set: &StatefulSet) -> (bool, bool) {
    let policy = set.spec.persistent_volume_claim_retention_policy.as_ref();
    let deletes = |value: Option<&String>| value.is_some_and(|value| value == "Delete");
    policy.map_or((false, false), |policy| {
        (deletes(policy.when_deleted.as_ref()), deletes(policy.when_scaled.as_ref()))
    })
}

/// Returns true if a reference is to something of this kind and name, be it this one or a former
/// one.
fn names<K: Resource<DynamicType = ()>>(reference: &OwnerReference, object: &K) -> bool {
    reference.kind == K::kind(&())
        && reference.api_version == K::api_version(&())
        && reference.name == meta::name(object)
}

fn is_to(reference: &OwnerReference, object: &impl Resource) -> bool {
    reference.uid == meta::uid(object)
}

fn references(claim: &PersistentVolumeClaim) -> &[OwnerReference] {
    claim.metadata.owner_references.as_deref().unwrap_or_default()
}

fn has_stale<K: Resource<DynamicType = ()>>(claim: &PersistentVolumeClaim, object: &K) -> bool {
    let mut named = references(claim).iter().filter(|reference| names(reference, object));
    named.next().is_some_and(|reference| !is_to(reference, object))
}

/// Returns true if a claim still belongs to a former pod of this name, and will go with it.
pub(super) fn is_stale(set: &StatefulSet, pod: &Pod, claim: &PersistentVolumeClaim) -> bool {
    policy(set).1 && has_stale(claim, pod)
}

/// Returns true if another owner controls a claim under the set's policy.
pub(super) fn is_foreign(set: &StatefulSet, pod: &Pod, claim: &PersistentVolumeClaim) -> bool {
    policy(set) != (false, false)
        && references(claim).iter().any(|reference| {
            if names(reference, set) {
                !is_to(reference, set)
            } else if names(reference, pod) {
                !is_to(reference, pod)
            } else {
                reference.controller == Some(true)
            }
        })
}

/// The owners a claim should have, or `None` if it has them.
pub(super) fn wanted_owners(
    set: &StatefulSet,
    pod: &Pod,
    claim: &PersistentVolumeClaim,
) -> Option<Vec<OwnerReference>> {
    if has_stale(claim, set) || has_stale(claim, pod) {
        // It belongs to those before us: the garbage collector will see to it.
        return None;
    }
    let present = references(claim);
    let others = present.iter().filter(|r| !names(r, set) && !names(r, pod)).cloned();
    let mut wanted: Vec<OwnerReference> = others.collect();
    let (has_set, has_pod) =
        (present.iter().any(|r| is_to(r, set)), present.iter().any(|r| is_to(r, pod)));
    if is_foreign(set, pod, claim) {
        return (has_set || has_pod).then_some(wanted);
    }
    let scaled_away =
        !identity::ordinal(pod).is_some_and(|ordinal| identity::ordinals(set).contains(&ordinal));
    let (with_set, with_pod) = policy(set);
    let wants_pod = with_pod && scaled_away;
    let wants_set = with_set && !wants_pod;
    let weak =
        present.iter().any(|r| (is_to(r, set) || is_to(r, pod)) && r.controller != Some(true));
    if (has_set, has_pod) == (wants_set, wants_pod) && !weak {
        return None;
    }
    wanted.extend(wants_set.then(|| owner_ref(set)));
    wanted.extend(wants_pod.then(|| owner_ref(pod)));
    Some(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn owners_follow_the_policy() {
        let reference = |kind: &str, name: &str, uid: &str| {
            let version = if kind == "Pod" { "v1" } else { "apps/v1" };
            json!({"apiVersion": version, "kind": kind, "name": name, "uid": uid,
                "controller": true, "blockOwnerDeletion": true})
        };
        let set = || reference("StatefulSet", "web", "s");
        let pod = |ordinal: i32| reference("Pod", &format!("web-{ordinal}"), "p");
        let mut weak = set();
        weak["controller"] = Value::Null;
        // When deleted, when scaled, the pod's ordinal, present owners, wanted ones.
        for (deleted, scaled, ordinal, present, wanted) in [
            ("Retain", "Retain", 0, json!([]), None),
            ("Retain", "Retain", 0, json!([set()]), Some("")),
            ("Delete", "Retain", 0, json!([]), Some("s")),
            ("Delete", "Retain", 0, json!([set()]), None),
            ("Delete", "Retain", 0, json!([weak]), Some("s")),
            ("Delete", "Retain", 5, json!([]), Some("s")),
            ("Retain", "Delete", 0, json!([]), None),
            ("Retain", "Delete", 5, json!([]), Some("p")),
            ("Retain", "Delete", 0, json!([pod(0)]), Some("")),
            ("Delete", "Delete", 0, json!([]), Some("s")),
            ("Delete", "Delete", 5, json!([set()]), Some("p")),
            ("Delete", "Delete", 5, json!([pod(5)]), None),
            ("Delete", "Delete", 0, json!([reference("StatefulSet", "web", "former")]), None),
            ("Delete", "Delete", 0, json!([reference("Deployment", "other", "o")]), None),
            (
                "Delete",
                "Delete",
                0,
                json!([reference("Deployment", "other", "o"), set()]),
                Some("o"),
            ),
        ] {
            let object: StatefulSet = serde_json::from_value(json!({
                "metadata": {"name": "web", "uid": "s"},
                "spec": {"replicas": 3, "selector": {}, "template": {},
                    "persistentVolumeClaimRetentionPolicy":
                        {"whenDeleted": deleted, "whenScaled": scaled}}}))
            .unwrap();
            let member = serde_json::from_value(json!({
                "metadata": {"name": format!("web-{ordinal}"), "uid": "p"}}))
            .unwrap();
            let claim = serde_json::from_value(json!({
                "metadata": {"ownerReferences": present}}))
            .unwrap();
            let found = wanted_owners(&object, &member, &claim).map(|owners| {
                owners.iter().map(|owner| owner.uid.clone()).collect::<Vec<_>>().join(" ")
            });
            assert_eq!(found.as_deref(), wanted, "{deleted} {scaled} {ordinal} {present}");
        }
    }
}

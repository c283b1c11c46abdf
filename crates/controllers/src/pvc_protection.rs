//! Keeps claims that pods use from being deleted.
//!
//! <https://kubernetes.io/docs/concepts/storage/persistent-volumes/#storage-object-in-use-protection>

use std::sync::Arc;

use client::informer::Informer;
use client::{Event, ObjectKey, Store};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Volume};
use kube::api::{ListParams, PostParams};

use crate::common::protection::{self, Move};
use crate::common::{meta, pod};
use crate::{Context, Error, Outcome};

const FINALIZER: &str = "kubernetes.io/pvc-protection";
const BY_CLAIM: &str = "claim";
const WORKERS: usize = 2;

struct Controller {
    context: Context,
    claims: Store<PersistentVolumeClaim>,
    pods: Store<Pod>,
}

pub(crate) async fn run(context: Context) {
    let claims: Informer<PersistentVolumeClaim> = context.informers.informer();
    let pods: Informer<Pod> = context.informers.informer();
    let key = |pod: &Pod, name: String| ObjectKey::new(meta::namespace(pod), name).to_string();
    pods.store().add_index(BY_CLAIM, move |pod| claims_of(pod).map(|c| key(pod, c)).collect());
    claims.wait_synced().await;
    pods.wait_synced().await;
    let queue = context.queue("pvcprotection");
    let adder = queue.clone();
    context.subscribe(&claims, move |event: Event<PersistentVolumeClaim>| {
        let claim = event.object();
        if protection::needed(&**claim, FINALIZER).is_some() {
            adder.add(ObjectKey::of(&**claim));
        }
    });
    let adder = queue.clone();
    context.subscribe(&pods, move |event: Event<Pod>| {
        let member = event.object();
        let gone = matches!(event, Event::Deleted(_));
        if gone || pod::is_terminal(member) || is_shut_down(member) || pod::node(member).is_none() {
            for claim in claims_of(member) {
                adder.add(ObjectKey::new(meta::namespace(&**member), claim));
            }
        }
    });
    let controller = Arc::new(Controller {
        context: context.clone(),
        claims: claims.store().clone(),
        pods: pods.store().clone(),
    });
    let work = move |key| {
        let controller = controller.clone();
        async move { controller.sync(key).await }
    };
    context.work(&queue, WORKERS, work).await;
}

fn volumes(pod: &Pod) -> impl Iterator<Item = &Volume> {
    pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten())
}

fn ephemeral_claim(pod: &Pod, volume: &Volume) -> Option<String> {
    volume.ephemeral.as_ref().map(|_| format!("{}-{}", meta::name(pod), volume.name))
}

fn named_claim(volume: &Volume) -> Option<&str> {
    volume.persistent_volume_claim.as_ref().map(|claim| claim.claim_name.as_str())
}

/// The claims a pod refers to.
fn claims_of(pod: &Pod) -> impl Iterator<Item = String> {
    volumes(pod).filter_map(|volume| {
        named_claim(volume).map(str::to_owned).or_else(|| ephemeral_claim(pod, volume))
    })
}

/// Returns true if a pod only waits to be removed. A claim made for it must not wait for that,
/// for the pod may wait for the claim.
fn is_shut_down(pod: &Pod) -> bool {
    meta::deleting(pod) && pod.metadata.deletion_grace_period_seconds == Some(0)
}

/// Returns true if a pod uses a claim. Before it has a node it does not: no kubelet starts a pod
/// whose claim is being deleted.
fn uses(member: &Pod, claim: &PersistentVolumeClaim) -> bool {
    let name = meta::name(claim);
    let made_for = || {
        let owners = claim.metadata.owner_references.iter().flatten();
        { owners }.any(|o| o.controller == Some(true) && o.uid == meta::uid(member))
    };
    pod::node(member).is_some()
        && volumes(member).any(|volume| {
            named_claim(volume) == Some(name)
                || (!is_shut_down(member)
                    && ephemeral_claim(member, volume).is_some_and(|own| own == name)
                    && made_for())
        })
}

impl Controller {
    async fn sync(&self, key: ObjectKey) -> Outcome {
        let Some(claim) = self.claims.get(&key) else { return Ok(None) };
        let Some(needed) = protection::needed(&*claim, FINALIZER) else { return Ok(None) };
        if needed == Move::Release && self.is_used(&key, &claim).await? {
            return Ok(None);
        }
        let changed = protection::moved(&*claim, FINALIZER, needed);
        let api = self.context.api::<PersistentVolumeClaim>(&key.namespace);
        match api.replace(&key.name, &PostParams::default(), &changed).await {
            Err(error) if !client::helpers::is_not_found(&error) => Err(error.into()),
            _ => Ok(None),
        }
    }

    /// The cache may lack a pod that has just been made, so "no" is worth asking for.
    async fn is_used(&self, key: &ObjectKey, claim: &PersistentVolumeClaim) -> Result<bool, Error> {
        let known = self.pods.by_index(BY_CLAIM, &key.to_string());
        if known.iter().any(|pod| uses(pod, claim)) {
            return Ok(true);
        }
        let live = self.context.api::<Pod>(&key.namespace).list(&ListParams::default()).await?;
        Ok(live.items.iter().any(|pod| uses(pod, claim)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn a_claim_is_used_by_pods_on_nodes() {
        let claimed = json!([{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]);
        let own = json!([{"name": "scratch", "ephemeral": {}}]);
        let owner = json!([{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "p",
            "controller": true}]);
        let gone = || {
            json!({"deletionTimestamp": "2024-01-01T00:00:00Z",
            "deletionGracePeriodSeconds": 0})
        };
        for (volumes, node, more, claim, owners, expected) in [
            (claimed.clone(), json!("n1"), json!({}), "data", Value::Null, true),
            (claimed.clone(), Value::Null, json!({}), "data", Value::Null, false),
            (claimed.clone(), json!("n1"), gone(), "data", Value::Null, true),
            (claimed, json!("n1"), json!({}), "other", Value::Null, false),
            (own.clone(), json!("n1"), json!({}), "p-scratch", owner.clone(), true),
            (own.clone(), json!("n1"), json!({}), "p-scratch", Value::Null, false),
            (own, json!("n1"), gone(), "p-scratch", owner, false),
        ] {
            let mut meta = json!({"name": "p", "uid": "p"});
            meta.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let pod: Pod = serde_json::from_value(json!({"metadata": meta,
                "spec": {"containers": [], "nodeName": node, "volumes": volumes}}))
            .unwrap();
            let claim = serde_json::from_value(json!({"metadata": {
                "name": claim, "ownerReferences": owners}}))
            .unwrap();
            assert_eq!(uses(&pod, &claim), expected, "{claim:?}");
        }
    }
}

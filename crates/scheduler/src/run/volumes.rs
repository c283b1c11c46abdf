//! Pods that have a node and wait for their volumes to be bound or made.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use client::{Client, ObjectKey};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::api::{Patch, PatchParams};
use kube::{Api, Resource};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::status;
use crate::cluster::Cluster;
use crate::plugins::volume_binding::reaches;
use crate::pod::PodInfo;
use crate::storage::{self, Plan, SELECTED_NODE, Storage};

/// Upstream's time for volumes to be bound.
const PATIENCE: Duration = Duration::from_secs(600);

/// A decision with volumes.
pub(super) struct Pending {
    pub(super) pod: Arc<PodInfo>,
    pub(super) node: String,
    pub(super) plan: Plan,
}

/// Versions of what has been written, in the plan's order: what is older has not been seen yet.
#[derive(Default)]
pub(super) struct Written {
    volumes: Vec<u64>,
    claims: Vec<u64>,
}

fn version<K: Resource>(object: &K) -> u64 {
    object.meta().resource_version.as_ref().and_then(|v| v.parse().ok()).unwrap_or(0)
}

/// The writes to volumes and claims, in the plan's order.
pub(super) struct Writes {
    volumes: Vec<(String, Value)>,
    claims: Vec<(ObjectKey, Value)>,
}

/// Whose a volume is, and where one is to be made. Only objects that are still as they were when
/// this was decided are to be written.
pub(super) fn writes(pending: &Pending, storage: &Storage) -> Writes {
    let volume = |(name, key): &(String, ObjectKey)| {
        let claim = storage.claims.get(key)?;
        let volume = storage.volumes.named(name)?;
        let version = &volume.metadata.resource_version;
        // A volume that the user reserved stays the user's when the claim goes.
        let annotations = match storage::belongs_to(volume, claim) {
            true => json!({}),
            false => json!({"pv.kubernetes.io/bound-by-controller": "yes"}),
        };
        let owner = json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": key.namespace,
            "name": key.name, "uid": claim.metadata.uid,
            "resourceVersion": claim.metadata.resource_version,
        });
        let metadata = json!({"resourceVersion": version, "annotations": annotations});
        Some((name.clone(), json!({"metadata": metadata, "spec": {"claimRef": owner}})))
    };
    let claim = |key: &ObjectKey| {
        let version = &storage.claims.get(key)?.metadata.resource_version;
        let annotations = json!({SELECTED_NODE: pending.node});
        let metadata = json!({"resourceVersion": version, "annotations": annotations});
        Some((key.clone(), json!({"metadata": metadata})))
    };
    Writes {
        volumes: pending.plan.bind.iter().filter_map(volume).collect(),
        claims: pending.plan.provision.iter().filter_map(claim).collect(),
    }
}

/// Writes what has been decided.
///
/// # Errors
/// As the API answers.
pub(super) async fn write(
    client: &Client,
    pending: &Pending,
    writes: Writes,
) -> kube::Result<Written> {
    // Autoscalers are to know that the node is meant.
    let nominated = json!({"nominatedNodeName": pending.node});
    status::write(client, &pending.pod.key, nominated).await;
    let (mut written, params) = (Written::default(), PatchParams::default());
    let volumes: Api<PersistentVolume> = Api::all(client.clone());
    for (name, patch) in writes.volumes {
        let volume = volumes.patch(&name, &params, &Patch::Merge(patch)).await?;
        written.volumes.push(version(&volume));
    }
    for (key, patch) in writes.claims {
        let api: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), &key.namespace);
        let claim = api.patch(&key.name, &params, &Patch::Merge(patch)).await?;
        written.claims.push(version(&claim));
    }
    Ok(written)
}

/// Why a pod's volumes will not be bound.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unbound {
    #[error("context deadline exceeded")]
    TimedOut,
    #[error("failed to get node {0:?}")]
    NoNode(String),
    #[error("could not find pvc \"{0}\"")]
    NoClaim(ObjectKey),
    #[error("could not find pv {0:?}")]
    NoVolume(String),
    #[error("pv {volume:?} node affinity doesn't match node {node:?}")]
    OutOfReach { volume: String, node: String },
    #[error("ClaimRef got reset for pv {0:?}")]
    Reset(String),
    #[error("provisioning failed for PVC {0:?}")]
    NotProvisioned(String),
}

/// The pods that wait.
#[derive(Default)]
pub(super) struct Waiting(HashMap<ObjectKey, (Pending, Written, Instant)>);

impl Waiting {
    pub(super) fn add(&mut self, pending: Pending, written: Written) {
        let until = Instant::now() + PATIENCE;
        self.0.insert(pending.pod.key.clone(), (pending, written, until));
    }

    pub(super) fn remove(&mut self, key: &ObjectKey) -> Option<Pending> {
        self.0.remove(key).map(|(pending, ..)| pending)
    }

    /// When the first one has waited long enough.
    pub(super) fn next_moment(&self) -> Option<Instant> {
        self.0.values().map(|(.., until)| *until).min()
    }

    /// Takes out those whose volumes are bound, and those for which they will not be, with why.
    pub(super) fn settled(
        &mut self,
        cluster: &Cluster,
        now: Instant,
    ) -> Vec<(Pending, Result<(), Unbound>)> {
        let mut outcomes = Vec::new();
        for (key, (pending, written, until)) in &self.0 {
            match check(pending, written, cluster) {
                Ok(true) => outcomes.push((key.clone(), Ok(()))),
                Ok(false) if now < *until => {}
                Ok(false) => outcomes.push((key.clone(), Err(Unbound::TimedOut))),
                Err(reason) => outcomes.push((key.clone(), Err(reason))),
            }
        }
        let take = |(key, outcome)| Some((self.remove(&key)?, outcome));
        outcomes.into_iter().filter_map(take).collect()
    }
}

/// Returns true if the API shows all of a plan.
///
/// # Errors
/// Why it never will.
fn check(pending: &Pending, written: &Written, cluster: &Cluster) -> Result<bool, Unbound> {
    let node = cluster.cache.node(&pending.node);
    let node = node.ok_or_else(|| Unbound::NoNode(pending.node.clone()))?;
    let claim_at = |key: &ObjectKey| {
        let claim = cluster.storage.claims.get(key);
        claim.ok_or_else(|| Unbound::NoClaim(key.clone()))
    };
    let reached = |volume: &PersistentVolume| {
        let name = volume.metadata.name.as_deref().unwrap_or_default();
        reaches(node, volume).then_some(()).ok_or_else(|| Unbound::OutOfReach {
            volume: name.to_owned(),
            node: pending.node.clone(),
        })
    };
    let mut all = true;
    for ((name, key), version_written) in pending.plan.bind.iter().zip(&written.volumes) {
        let volume = cluster.storage.volumes.named(name);
        let volume = volume.ok_or_else(|| Unbound::NoVolume(name.clone()))?;
        let claim = claim_at(key)?;
        if version(&**volume) < *version_written {
            return Ok(false);
        }
        reached(volume)?;
        if !storage::belongs_to(volume, claim) {
            return Err(Unbound::Reset(name.clone()));
        }
        all &= storage::is_bound(claim);
    }
    for (key, version_written) in pending.plan.provision.iter().zip(&written.claims) {
        let claim = claim_at(key)?;
        if version(&**claim) < *version_written {
            return Ok(false);
        }
        if storage::annotation(&claim.metadata, SELECTED_NODE) != Some(&pending.node) {
            return Err(Unbound::NotProvisioned(key.name.clone()));
        }
        let Some(name) = storage::volume_name(claim) else { return Ok(false) };
        let Some(volume) = cluster.storage.volumes.named(name) else { return Ok(false) };
        reached(volume)?;
        all &= storage::is_bound(claim);
    }
    Ok(all)
}

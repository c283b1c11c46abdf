//! Carrying out a preemption through the API.

use std::sync::Arc;

use client::helpers::{is_conflict, is_not_found};
use client::{Client, EventRecorder, EventType};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use serde_json::json;

use super::Candidate;
use crate::pod::PodInfo;

/// Why a victim's `DisruptionTarget` condition is true.
pub(crate) const REASON: &str = "PreemptionByScheduler";

/// Removes the victims of a candidate that are not on their way out already.
///
/// # Errors
/// As the API answers for a victim that cannot be removed; one that is gone is no error.
pub(crate) async fn evict(
    client: &Client,
    events: &EventRecorder,
    preemptor: &PodInfo,
    candidate: &Candidate,
) -> kube::Result<()> {
    let staying = candidate.victims.iter().filter(|victim| !victim.is_terminating());
    let removals = staying.map(|victim| remove(client, events, preemptor, victim, &candidate.node));
    futures::future::join_all(removals).await.into_iter().collect()
}

async fn remove(
    client: &Client,
    events: &EventRecorder,
    preemptor: &PodInfo,
    victim: &Arc<PodInfo>,
    node: &str,
) -> kube::Result<()> {
    let name = &victim.key.name;
    let api: Api<Pod> = Api::namespaced(client.clone(), &victim.key.namespace);
    let scheduler = preemptor.spec().and_then(|s| s.scheduler_name.as_deref());
    let scheduler = scheduler.unwrap_or("default-scheduler");
    let condition = json!({
        "type": "DisruptionTarget", "status": "True", "reason": REASON,
        "message": format!("{scheduler}: preempting to accommodate a higher priority pod"),
        "observedGeneration": victim.pod.metadata.generation,
        "lastTransitionTime": client::helpers::now(),
    });
    let patch = json!({"status": {"conditions": [condition]}});
    // A successor of the same name must not be deleted in the victim's place.
    let uid = victim.pod.metadata.uid.clone();
    let exactly = DeleteParams {
        preconditions: Some(Preconditions { uid, resource_version: None }),
        ..DeleteParams::default()
    };
    let marked = api.patch_status(name, &PatchParams::default(), &Patch::Strategic(patch)).await;
    let deleted = match marked {
        Ok(_) => api.delete(name, &exactly).await.map(drop),
        Err(error) => Err(error),
    };
    match deleted {
        Ok(()) => {
            let message = format!("Preempted by pod {} on node {node}", preemptor.uid());
            events.event(&*victim.pod, EventType::Normal, "Preempted", message);
            Ok(())
        }
        Err(error) if is_not_found(&error) || is_conflict(&error) => Ok(()),
        Err(error) => Err(error),
    }
}

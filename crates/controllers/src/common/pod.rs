//! Facts about pods.

use std::sync::Arc;
use std::time::Duration;

use client::Store;
use k8s_openapi::api::core::v1::{Pod, PodCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::meta;
use crate::{Context, Error};

/// The pod's phase, or nothing before it has one.
pub(crate) fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

/// Returns true if the pod has finished.
pub(crate) fn is_terminal(pod: &Pod) -> bool {
    matches!(phase(pod), "Succeeded" | "Failed")
}

/// Returns true if the pod counts as a replica: neither finished nor being deleted.
pub(crate) fn is_active(pod: &Pod) -> bool {
    !is_terminal(pod) && !meta::deleting(pod)
}

/// One of its conditions.
pub(crate) fn condition<'a>(pod: &'a Pod, kind: &str) -> Option<&'a PodCondition> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|condition| condition.type_ == kind)
}

fn ready_condition(pod: &Pod) -> Option<&PodCondition> {
    condition(pod, "Ready").filter(|condition| condition.status == "True")
}

/// Returns true if the pod is ready.
pub(crate) fn is_ready(pod: &Pod) -> bool {
    ready_condition(pod).is_some()
}

/// Since when it is ready.
pub(crate) fn ready_since(pod: &Pod) -> Option<&Time> {
    ready_condition(pod)?.last_transition_time.as_ref()
}

/// How far a pod is from being available: ready for `min_ready` seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Availability {
    /// It is available.
    Available,
    /// It will be if it stays ready this long.
    In(Duration),
    /// It is not ready.
    No,
}

/// The availability of a pod, with the time from which it may be available.
pub(crate) fn availability(pod: &Pod, min_ready: i32, now: Timestamp) -> Availability {
    let Some(ready) = ready_condition(pod) else { return Availability::No };
    if min_ready <= 0 {
        return Availability::Available;
    }
    let min_ready = Duration::from_secs(min_ready.unsigned_abs().into());
    match &ready.last_transition_time {
        None => Availability::No,
        Some(since) => {
            meta::remaining(since, min_ready, now).map_or(Availability::Available, Availability::In)
        }
    }
}

/// Returns true if the pod is available.
pub(crate) fn is_available(pod: &Pod, min_ready: i32, now: Timestamp) -> bool {
    availability(pod, min_ready, now) == Availability::Available
}

/// The node it runs on, if any.
pub(crate) fn node(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref().filter(|name| !name.is_empty())
}

const BY_NODE: &str = "node";

/// Lets pods be found by node; see [`on_node`].
pub(crate) fn index_by_node(pods: &Store<Pod>) {
    pods.add_index(BY_NODE, |pod| node(pod).map(str::to_owned).into_iter().collect());
}

/// The pods of a node.
pub(crate) fn on_node(pods: &Store<Pod>, node: &str) -> Vec<Arc<Pod>> {
    pods.by_index(BY_NODE, node)
}

/// Notes on a pod why it is about to be deleted by somebody other than its owner.
pub(crate) async fn mark_disrupted(
    context: &Context,
    pod: &Pod,
    reason: &str,
    message: &str,
    fail: bool,
) -> Result<(), Error> {
    let mut patch = json!({"metadata": {"uid": meta::uid(pod)}, "status": {"conditions": [{
        "type": "DisruptionTarget", "status": "True", "reason": reason, "message": message,
        "lastTransitionTime": client::helpers::now(),
    }]}});
    if fail {
        patch["status"]["phase"] = "Failed".into();
    }
    let api = context.api::<Pod>(meta::namespace(pod));
    let patch = Patch::Strategic(patch);
    match api.patch_status(meta::name(pod), &PatchParams::default(), &patch).await {
        Err(error) if !client::helpers::is_not_found(&error) => Err(error.into()),
        _ => Ok(()),
    }
}

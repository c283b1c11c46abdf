//! Reports about pods that wait: event, condition, nominated node.

use std::sync::Arc;

use client::{Client, EventRecorder, EventType, ObjectKey};
use k8s_openapi::api::core::v1::{Pod, PodCondition};
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::pod::{PodInfo, nominated_node};

/// The most bytes of an event's text.
const MAX_TEXT: usize = 1024;

/// Why a pod has not been placed.
pub(super) struct Failure {
    /// Of the condition: `Unschedulable` or `SchedulerError`.
    pub(super) reason: &'static str,
    pub(super) message: String,
    pub(super) nomination: Nomination,
}

/// The change of `status.nominatedNodeName`.
pub(super) enum Nomination {
    Keep,
    Clear,
    Set(String),
}

/// Records the event, and the condition and nomination if they are different.
pub(super) fn report(
    client: &Client,
    events: &EventRecorder,
    pod: &Arc<PodInfo>,
    failure: Failure,
) {
    let Failure { reason, message, nomination } = failure;
    events.event(&*pod.pod, EventType::Warning, "FailedScheduling", truncated(&message));
    let mut status = json!({});
    if !says(&pod.pod, reason, &message) {
        status["conditions"] = json!([condition(&pod.pod, reason, &message)]);
    }
    let nominated = nominated_node(&pod.pod);
    match nomination {
        Nomination::Clear if nominated.is_some() => status["nominatedNodeName"] = Value::Null,
        Nomination::Set(node) if nominated != Some(&node) => {
            status["nominatedNodeName"] = node.into();
        }
        _ => {}
    }
    if status.as_object().is_some_and(|status| !status.is_empty()) {
        let (client, key) = (client.clone(), pod.key.clone());
        telemetry::task::spawn("pod-status", async move { write(&client, &key, status).await });
    }
}

/// Withdraws the nomination of a pod that yields to another.
pub(super) async fn clear_nomination(client: &Client, key: &ObjectKey) {
    write(client, key, json!({"nominatedNodeName": null})).await;
}

/// Writes part of a pod's status. Failure is no reason to stop: the next attempt writes again.
pub(super) async fn write(client: &Client, key: &ObjectKey, status: Value) {
    let api: Api<Pod> = Api::namespaced(client.clone(), &key.namespace);
    let patch = Patch::Strategic(json!({ "status": status }));
    if let Err(error) = api.patch_status(&key.name, &PatchParams::default(), &patch).await {
        tracing::debug!(pod = %key, %error, "status not written");
    }
}

fn scheduled(pod: &Pod) -> Option<&PodCondition> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|condition| condition.type_ == "PodScheduled")
}

fn says(pod: &Pod, reason: &str, message: &str) -> bool {
    scheduled(pod).is_some_and(|condition| {
        condition.status == "False"
            && condition.reason.as_deref() == Some(reason)
            && condition.message.as_deref() == Some(message)
    })
}

fn condition(pod: &Pod, reason: &str, message: &str) -> Value {
    let before = scheduled(pod).filter(|condition| condition.status == "False");
    let since = before.and_then(|condition| condition.last_transition_time.clone());
    json!({
        "type": "PodScheduled", "status": "False", "reason": reason, "message": message,
        "observedGeneration": pod.metadata.generation, "lastProbeTime": null,
        "lastTransitionTime": since.unwrap_or_else(client::helpers::now),
    })
}

fn truncated(message: &str) -> String {
    const SUFFIX: &str = " ...";
    if message.len() <= MAX_TEXT {
        return message.to_owned();
    }
    let mut end = MAX_TEXT - SUFFIX.len();
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{SUFFIX}", &message[..end])
}

//! Writing a binding.

use client::{Client, EventRecorder, EventType};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::PostParams;
use serde_json::json;

use crate::pod::PodInfo;

/// Binds a pod to its node.
///
/// # Errors
/// As the API answers.
pub(super) async fn bind(
    client: &Client,
    events: &EventRecorder,
    pod: &PodInfo,
    node: &str,
) -> kube::Result<()> {
    let binding = json!({
        "apiVersion": "v1", "kind": "Binding",
        "metadata": {"name": pod.key.name, "namespace": pod.key.namespace, "uid": pod.uid()},
        "target": {"apiVersion": "v1", "kind": "Node", "name": node},
    });
    let api: Api<Pod> = Api::namespaced(client.clone(), &pod.key.namespace);
    let _: serde_json::Value =
        api.create_subresource("binding", &pod.key.name, &PostParams::default(), &binding).await?;
    let message = format!("Successfully assigned {} to {node}", pod.key);
    events.event(&*pod.pod, EventType::Normal, "Scheduled", message);
    Ok(())
}

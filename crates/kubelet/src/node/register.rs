//! Making this machine a node.

use std::collections::BTreeMap;

use client::helpers::{is_already_exists, is_not_found};
use k8s_openapi::api::core::v1::{Node, NodeSpec, Taint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;

use crate::context::Context;

/// Creates the Node, or brings the labels of the present one up to date.
///
/// # Errors
/// As the API server answers.
pub(super) async fn register(context: &Context) -> kube::Result<()> {
    let nodes = Api::<Node>::all(context.config.client.clone());
    let name = &context.config.node_name;
    let labels = labels(context);
    let known = match nodes.get(name).await {
        Ok(known) => Some(known),
        Err(error) if is_not_found(&error) => None,
        Err(error) => return Err(error),
    };
    if let Some(known) = known {
        let present = known.metadata.labels.unwrap_or_default();
        if labels.iter().all(|(key, value)| present.get(key) == Some(value)) {
            return Ok(());
        }
        let patch = Patch::Merge(json!({"metadata": {"labels": labels}}));
        return nodes.patch(name, &PatchParams::default(), &patch).await.map(drop);
    }
    let status = super::status::current(context, None).await;
    let annotations =
        [("volumes.kubernetes.io/controller-managed-attach-detach".to_owned(), "true".to_owned())];
    let node = Node {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            labels: Some(labels),
            annotations: Some(annotations.into()),
            ..ObjectMeta::default()
        },
        spec: Some(NodeSpec { taints: taints(&status), ..NodeSpec::default() }),
        status: Some(status),
    };
    match nodes.create(&PostParams::default(), &node).await {
        Err(error) if is_already_exists(&error) => Ok(()),
        result => result.map(drop),
    }
}

/// A node that is not ready yet takes no pods; the node controller removes the taint.
fn taints(status: &k8s_openapi::api::core::v1::NodeStatus) -> Option<Vec<Taint>> {
    let conditions = status.conditions.iter().flatten();
    let ready = conditions.into_iter().any(|c| c.type_ == "Ready" && c.status == "True");
    let taint = Taint {
        key: "node.kubernetes.io/not-ready".to_owned(),
        effect: "NoSchedule".to_owned(),
        ..Taint::default()
    };
    (!ready).then(|| vec![taint])
}

fn labels(context: &Context) -> BTreeMap<String, String> {
    let architecture = context.machine.architecture;
    let mut labels = context.config.node_labels.clone();
    labels.extend(
        [
            ("kubernetes.io/hostname", context.config.node_name.as_str()),
            ("kubernetes.io/os", "linux"),
            ("kubernetes.io/arch", architecture),
            ("beta.kubernetes.io/os", "linux"),
            ("beta.kubernetes.io/arch", architecture),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned())),
    );
    labels
}

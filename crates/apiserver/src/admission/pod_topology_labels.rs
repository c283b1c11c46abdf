//! PodTopologyLabels (KEP-4742): a pod says where the node is that it is bound to.

use apimachinery::{Object, ObjectExt, Status};
use async_trait::async_trait;

use super::{Plugin, Request};
use crate::registry::{self, Sub};

/// Labels of a node that its pods get (upstream's default).
const LABELS: &[&str] = &["topology.kubernetes.io/zone", "topology.kubernetes.io/region"];

pub(super) struct PodTopologyLabels;

#[async_trait]
impl Plugin for PodTopologyLabels {
    async fn admit(&self, request: &Request<'_>, pod: &mut Object) -> Result<(), Status> {
        let is_bound =
            request.creates_pod() || (request.is("", "pods") && request.sub == Some(Sub::Binding));
        let node = pod.str_at(&["spec", "nodeName"]);
        if !is_bound || node.is_empty() {
            return Ok(());
        }
        let nodes = registry::find("", "v1", "nodes");
        // Upstream lets a pod be bound to a node that it does not know.
        let Some(node) = nodes.and_then(|kind| request.server.entry(kind, "", node)) else {
            return Ok(());
        };
        for (key, value) in node.labels().filter(|(key, _)| LABELS.contains(key)) {
            pod.set_path(&["metadata", "labels", key], value.into());
        }
        Ok(())
    }
}

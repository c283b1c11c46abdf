//! PodTopologyLabels (KEP-4742): a pod gets the topology labels of the node it is bound to.

use apimachinery::{Object, ObjectExt, Status};
use async_trait::async_trait;

use super::{Plugin, Request};
use crate::registry::{self, Sub};

/// Labels that pods get from their node (upstream's default).
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
        // Upstream allows binding to an unknown node.
        let Some(node) = nodes.and_then(|kind| request.server.entry(kind, "", node)) else {
            return Ok(());
        };
        for (key, value) in node.labels().filter(|(key, _)| LABELS.contains(key)) {
            pod.set_path(&["metadata", "labels", key], value.into());
        }
        Ok(())
    }
}

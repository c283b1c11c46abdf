//! A pod with what the plugins look at worked out once.

use std::sync::Arc;

use client::ObjectKey;
use k8s_openapi::api::core::v1::{Pod, PodSpec, Volume};

use crate::affinity::Terms;
use crate::resources::{self, Amounts};
use rules::container;
use rules::resources::PodResources;
use rules::selector::Labels;

/// A host port: address, protocol, number.
pub(crate) type HostPort = (String, String, i32);

/// A pod and its needs.
#[derive(Debug)]
pub(crate) struct PodInfo {
    pub(crate) pod: Arc<Pod>,
    pub(crate) key: ObjectKey,
    pub(crate) requests: Amounts,
    /// CPU and memory for scoring.
    pub(crate) scored: (i64, i64),
    pub(crate) ports: Vec<HostPort>,
    pub(crate) terms: Option<Box<Terms>>,
}

impl PodInfo {
    pub(crate) fn new(pod: Arc<Pod>) -> Self {
        let resources = PodResources::of(&pod);
        Self {
            key: ObjectKey::of(&*pod),
            requests: (&resources.requests()).into(),
            scored: resources::for_scoring(&resources),
            ports: host_ports(&pod),
            terms: Terms::of(&pod),
            pod,
        }
    }

    pub(crate) fn uid(&self) -> &str {
        self.pod.metadata.uid.as_deref().unwrap_or_default()
    }

    pub(crate) fn priority(&self) -> i32 {
        self.pod.spec.as_ref().and_then(|s| s.priority).unwrap_or(0)
    }

    pub(crate) fn labels(&self) -> Option<&Labels> {
        self.pod.metadata.labels.as_ref()
    }

    pub(crate) fn spec(&self) -> Option<&PodSpec> {
        self.pod.spec.as_ref()
    }

    pub(crate) fn volumes(&self) -> impl Iterator<Item = &Volume> {
        volumes(&self.pod)
    }

    pub(crate) fn is_terminating(&self) -> bool {
        self.pod.metadata.deletion_timestamp.is_some()
    }

    /// The node whose room was, or is being, made for this pod.
    pub(crate) fn nominated_node(&self) -> Option<&str> {
        nominated_node(&self.pod)
    }
}

/// The host ports of the containers that keep running.
pub(crate) fn host_ports(pod: &Pod) -> Vec<HostPort> {
    let containers = pod.spec.iter().flat_map(container::lasting);
    containers
        .flat_map(|c| c.ports.iter().flatten())
        .filter_map(|p| {
            let number = p.host_port.filter(|n| *n > 0)?;
            let ip =
                p.host_ip.clone().filter(|ip| !ip.is_empty()).unwrap_or_else(|| "0.0.0.0".into());
            Some((ip, p.protocol.clone().unwrap_or_else(|| "TCP".into()), number))
        })
        .collect()
}

/// A pod's volumes.
pub(crate) fn volumes(pod: &Pod) -> impl Iterator<Item = &Volume> {
    pod.spec.iter().flat_map(|s| s.volumes.iter().flatten())
}

/// The claim behind a volume, and whether the volume owns it (a generic ephemeral one).
pub(crate) fn claim_of(pod: &Pod, volume: &Volume) -> Option<(String, bool)> {
    if let Some(source) = &volume.persistent_volume_claim {
        return Some((source.claim_name.clone(), false));
    }
    volume.ephemeral.as_ref()?;
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    Some((format!("{name}-{}", volume.name), true))
}

/// The node a pod is bound to.
pub(crate) fn node_name(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref().filter(|n| !n.is_empty())
}

/// The node a pod is nominated for.
pub(crate) fn nominated_node(pod: &Pod) -> Option<&str> {
    pod.status.as_ref()?.nominated_node_name.as_deref().filter(|n| !n.is_empty())
}

/// Returns true if the pod no longer uses its node.
pub(crate) fn is_over(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|s| s.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// Returns true if this scheduler is to place the pod now.
pub(crate) fn is_ours(pod: &Pod) -> bool {
    let Some(spec) = &pod.spec else { return false };
    node_name(pod).is_none()
        && pod.metadata.deletion_timestamp.is_none()
        && spec.scheduler_name.as_deref().unwrap_or("default-scheduler") == "default-scheduler"
}

/// Returns true if the pod has scheduling gates.
pub(crate) fn is_gated(pod: &Pod) -> bool {
    pod.spec.as_ref().is_some_and(|s| s.scheduling_gates.as_ref().is_some_and(|g| !g.is_empty()))
}

//! A pod with what the plugins look at worked out once.

use std::sync::Arc;

use client::ObjectKey;
use k8s_openapi::api::core::v1::Pod;

use crate::resources::{self, Amounts};

/// A host port: address, protocol, number.
pub(crate) type HostPort = (String, String, i32);

/// A pod and its needs.
#[derive(Clone, Debug)]
pub(crate) struct PodInfo {
    pub(crate) pod: Arc<Pod>,
    pub(crate) key: ObjectKey,
    pub(crate) requests: Amounts,
    /// CPU and memory for scoring.
    pub(crate) scored: (i64, i64),
    pub(crate) ports: Vec<HostPort>,
}

impl PodInfo {
    pub(crate) fn new(pod: Arc<Pod>) -> Self {
        Self {
            key: ObjectKey::of(&*pod),
            requests: resources::of_pod(&pod),
            scored: resources::for_scoring(&pod),
            ports: host_ports(&pod),
            pod,
        }
    }

    pub(crate) fn uid(&self) -> &str {
        self.pod.metadata.uid.as_deref().unwrap_or_default()
    }

    pub(crate) fn priority(&self) -> i32 {
        self.pod.spec.as_ref().and_then(|s| s.priority).unwrap_or(0)
    }
}

fn host_ports(pod: &Pod) -> Vec<HostPort> {
    let containers = pod.spec.iter().flat_map(|s| {
        let sidecars = s.init_containers.iter().flatten();
        s.containers
            .iter()
            .chain(sidecars.filter(|c| c.restart_policy.as_deref() == Some("Always")))
    });
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

/// The node a pod is bound to.
pub(crate) fn node_name(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref().filter(|n| !n.is_empty())
}

/// Whether the pod no longer uses its node.
pub(crate) fn is_over(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|s| s.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// Whether this scheduler is to place the pod now.
pub(crate) fn is_ours(pod: &Pod) -> bool {
    let Some(spec) = &pod.spec else { return false };
    node_name(pod).is_none()
        && !is_over(pod)
        && pod.metadata.deletion_timestamp.is_none()
        && spec.scheduler_name.as_deref().unwrap_or("default-scheduler") == "default-scheduler"
}

/// Whether somebody holds the pod back.
pub(crate) fn is_gated(pod: &Pod) -> bool {
    pod.spec.as_ref().is_some_and(|s| s.scheduling_gates.as_ref().is_some_and(|g| !g.is_empty()))
}

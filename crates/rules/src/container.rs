//! The roles of containers in a pod: init container, sidecar, main container.

use k8s_openapi::api::core::v1::{Container, PodSpec};
use serde_json::Value;

/// A container of a pod's spec, typed or as a tree.
pub trait RestartPolicy {
    /// The container's own restart policy; empty where it has none.
    fn restart_policy(&self) -> &str;

    /// An init container that keeps running beside the containers after it (KEP-753).
    fn is_sidecar(&self) -> bool {
        self.restart_policy() == "Always"
    }
}

/// The containers that run while the pod does: those of the list of that name, and sidecars.
pub fn lasting(spec: &PodSpec) -> impl Iterator<Item = &Container> {
    let sidecars = spec.init_containers.iter().flatten().filter(|c| c.is_sidecar());
    spec.containers.iter().chain(sidecars)
}

impl RestartPolicy for Container {
    fn restart_policy(&self) -> &str {
        self.restart_policy.as_deref().unwrap_or_default()
    }
}

impl RestartPolicy for Value {
    fn restart_policy(&self) -> &str {
        self["restartPolicy"].as_str().unwrap_or_default()
    }
}

//! The sandboxes and containers of one pod in the runtime.

use runtime::{
    ContainerFilter, ContainerState, ContainerStatus, Runtime, SandboxFilter, SandboxState,
    SandboxStatus,
};

use crate::spec::labels::{CONTAINER_NAME, POD_UID};

/// Sandboxes and containers of one pod, newest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct PodView {
    pub(crate) sandboxes: Vec<SandboxStatus>,
    pub(crate) containers: Vec<ContainerStatus>,
}

impl PodView {
    /// Asks the runtime.
    pub(crate) async fn read(runtime: &dyn Runtime, uid: &str) -> runtime::Result<Self> {
        let labels: runtime::Labels = [(POD_UID.to_owned(), uid.to_owned())].into();
        let sandboxes = SandboxFilter { labels: labels.clone(), ..SandboxFilter::default() };
        let containers = ContainerFilter { labels, ..ContainerFilter::default() };
        let mut sandboxes = runtime.list_pod_sandboxes(sandboxes).await?;
        let mut containers = runtime.list_containers(containers).await?;
        sandboxes.sort_by_key(|s| std::cmp::Reverse((s.metadata.attempt, s.created_at)));
        containers.sort_by_key(|c| std::cmp::Reverse((c.metadata.attempt, c.created_at)));
        Ok(Self { sandboxes, containers })
    }

    /// The newest sandbox, if it can hold containers.
    pub(crate) fn sandbox(&self) -> Option<&SandboxStatus> {
        self.sandboxes.first().filter(|sandbox| sandbox.state == SandboxState::Ready)
    }

    /// Instances of one container, newest first.
    pub(crate) fn instances(&self, name: &str) -> impl Iterator<Item = &ContainerStatus> {
        self.containers.iter().filter(move |status| container_name(status) == name)
    }

    /// The newest instance of a container.
    pub(crate) fn latest(&self, name: &str) -> Option<&ContainerStatus> {
        self.instances(name).next()
    }

    /// The newest instance of a container, if it belongs to the present sandbox.
    pub(crate) fn current(&self, name: &str) -> Option<&ContainerStatus> {
        let sandbox = self.sandboxes.first()?;
        self.latest(name).filter(|status| status.sandbox_id == sandbox.id)
    }

    /// Containers whose process may run.
    pub(crate) fn running(&self) -> impl Iterator<Item = &ContainerStatus> {
        self.containers
            .iter()
            .filter(|c| matches!(c.state, ContainerState::Running | ContainerState::Unknown))
    }
}

/// The name a container has in its pod.
pub(crate) fn container_name(status: &ContainerStatus) -> &str {
    status.labels.get(CONTAINER_NAME).unwrap_or(&status.metadata.name)
}

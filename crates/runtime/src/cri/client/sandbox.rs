//! Sandboxes.

use std::sync::Arc;

use futures::future::join_all;

use tonic::{Code, Status};

use crate::cri::connection::{Calls, DEADLINE, RuntimeClient};
use crate::cri::{Cri, convert, proto};
use crate::{Error, Resources, Result, SandboxConfig, SandboxFilter, SandboxStats, SandboxStatus};

/// The status, and the configuration where it is known.
pub(in crate::cri) async fn status(
    calls: &Calls,
    id: &str,
) -> Result<(SandboxStatus, Option<SandboxConfig>), Status> {
    let request = proto::PodSandboxStatusRequest { pod_sandbox_id: id.to_owned(), verbose: false };
    let response = calls.runtime(RuntimeClient::pod_sandbox_status, request).await?;
    Ok(convert::sandbox_status(response.status.unwrap_or_default()))
}

impl Cri {
    /// Removes every pod that a kubelet of this project has made.
    ///
    /// # Errors
    /// The runtime could not be asked, or could not remove one.
    pub async fn destroy_all(&self) -> Result<()> {
        let all = proto::ListPodSandboxRequest::default();
        let list = self.0.calls.runtime(RuntimeClient::list_pod_sandbox, all).await?;
        let remove = list.items.into_iter().map(|item| async move {
            match self.sandbox_config(&item.id).await {
                Ok(_) => self.remove_sandbox(&item.id).await,
                // Another kubelet's, or gone by now.
                Err(Error::FailedPrecondition(_) | Error::NotFound(_)) => Ok(()),
                Err(error) => Err(error),
            }
        });
        join_all(remove).await.into_iter().collect()
    }

    pub(in crate::cri) async fn run_sandbox(&self, config: SandboxConfig) -> Result<String> {
        self.make_cgroup(&config).await?;
        let request = proto::RunPodSandboxRequest {
            config: Some(convert::sandbox_config(&config)),
            runtime_handler: String::new(),
        };
        // Its image may have to be pulled first, so it gets twice the time, as upstream.
        let (run, deadline) = (RuntimeClient::run_pod_sandbox, Some(DEADLINE * 2));
        let response = self.0.calls.runtime_within(run, request, deadline).await?;
        self.0.sandboxes.lock().insert(response.pod_sandbox_id.clone(), config);
        Ok(response.pod_sandbox_id)
    }

    /// CRI leaves the pod's own cgroup to the kubelet, and with it the limits of the whole pod.
    async fn make_cgroup(&self, config: &SandboxConfig) -> Result<()> {
        let (inner, linux) = (Arc::clone(&self.0), config.linux.clone());
        if linux.cgroup_parent.is_empty() {
            return Ok(());
        }
        let made = tokio::task::spawn_blocking(move || {
            inner.hierarchies.create(&linux.cgroup_parent)?;
            match &linux.resources {
                Some(resources) => inner.hierarchies.set_limits(&linux.cgroup_parent, resources),
                None => Ok(()),
            }
        });
        made.await
            .map_err(|error| Error::Internal(error.to_string()))?
            .map_err(Error::internal("cgroup of the pod"))
    }

    /// The limits of the pod's cgroup, which the runtime does not touch.
    pub(in crate::cri) async fn sandbox_resources(&self, id: &str) -> Result<Resources> {
        let parent = self.sandbox_config(id).await?.linux.cgroup_parent;
        if parent.is_empty() {
            return Ok(Resources::default());
        }
        let inner = Arc::clone(&self.0);
        let read = tokio::task::spawn_blocking(move || inner.hierarchies.limits(&parent));
        read.await.map_err(|error| Error::Internal(error.to_string()))
    }

    pub(in crate::cri) async fn update_sandbox_resources(
        &self,
        id: &str,
        resources: Resources,
    ) -> Result<()> {
        let parent = self.sandbox_config(id).await?.linux.cgroup_parent;
        if parent.is_empty() {
            return Ok(());
        }
        let request = proto::UpdatePodSandboxResourcesRequest {
            pod_sandbox_id: id.to_owned(),
            resources: Some(convert::linux_resources(&resources)),
            ..Default::default()
        };
        let inner = Arc::clone(&self.0);
        let set =
            tokio::task::spawn_blocking(move || inner.hierarchies.set_limits(&parent, &resources));
        set.await
            .map_err(|error| Error::Internal(error.to_string()))?
            .map_err(Error::internal("cgroup of the pod"))?;
        // Only runtimes with machines of their own have to know, and older ones lack the call.
        let update = RuntimeClient::update_pod_sandbox_resources;
        if let Err(status) = self.0.calls.runtime(update, request).await {
            let status = status.message();
            tracing::debug!(sandbox = id, status, "runtime not told of resources");
        }
        Ok(())
    }

    /// The configuration that the sandbox was made with.
    pub(in crate::cri) async fn sandbox_config(&self, id: &str) -> Result<SandboxConfig> {
        if let Some(config) = self.0.sandboxes.lock().get(id) {
            return Ok(config.clone());
        }
        let (_, config) = status(&self.0.calls, id).await?;
        let config = config.ok_or_else(|| {
            Error::FailedPrecondition(format!("sandbox {id} was not made by this kubelet"))
        })?;
        self.0.sandboxes.lock().insert(id.to_owned(), config.clone());
        Ok(config)
    }

    pub(in crate::cri) async fn stop_sandbox(&self, id: &str) -> Result<()> {
        let request = proto::StopPodSandboxRequest { pod_sandbox_id: id.to_owned() };
        absent_is_fine(self.0.calls.runtime(RuntimeClient::stop_pod_sandbox, request).await)
    }

    pub(in crate::cri) async fn remove_sandbox(&self, id: &str) -> Result<()> {
        let config = self.sandbox_config(id).await.ok();
        // Some runtimes remove only what is stopped.
        self.stop_sandbox(id).await?;
        let request = proto::RemovePodSandboxRequest { pod_sandbox_id: id.to_owned() };
        absent_is_fine(self.0.calls.runtime(RuntimeClient::remove_pod_sandbox, request).await)?;
        self.0.sandboxes.lock().remove(id);
        let parent = config.map(|config| config.linux.cgroup_parent).unwrap_or_default();
        if !parent.is_empty() {
            self.0.hierarchies.remove_if_empty(&parent);
        }
        Ok(())
    }

    pub(in crate::cri) async fn list_sandboxes(
        &self,
        filter: SandboxFilter,
    ) -> Result<Vec<SandboxStatus>> {
        let request =
            proto::ListPodSandboxRequest { filter: Some(convert::sandbox_filter(filter)) };
        let list = self.0.calls.runtime(RuntimeClient::list_pod_sandbox, request).await?;
        // The list has neither addresses nor namespaces.
        let each = list.items.iter().map(|item| status(&self.0.calls, &item.id));
        let mut sandboxes = present(join_all(each).await)?;
        sandboxes.sort_by(|(a, _), (b, _)| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        Ok(sandboxes.into_iter().map(|(status, _)| status).collect())
    }

    pub(in crate::cri) async fn sandbox_stats(&self, id: &str) -> Result<SandboxStats> {
        let request = proto::PodSandboxStatsRequest { pod_sandbox_id: id.to_owned() };
        let response = self.0.calls.runtime(RuntimeClient::pod_sandbox_stats, request).await?;
        Ok(convert::sandbox_stats(response.stats.unwrap_or_default()))
    }
}

/// Stopping and removing what is gone succeeds.
pub(super) fn absent_is_fine<T>(result: Result<T, Status>) -> Result<()> {
    match result.map_err(Error::from) {
        Err(Error::NotFound(_)) | Ok(_) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Without those that went away since they were listed.
pub(super) fn present<T>(results: Vec<Result<T, Status>>) -> Result<Vec<T>> {
    let gone = |result: &Result<T, Status>| {
        result.as_ref().is_err_and(|status| status.code() == Code::NotFound)
    };
    results.into_iter().filter(|result| !gone(result)).map(|r| r.map_err(Error::from)).collect()
}

//! Containers.

use std::time::Duration;

use futures::future::join_all;

use super::sandbox::{absent_is_fine, present};
use crate::cri::status::{Code, Status};
use crate::cri::{Cri, DEADLINE, convert, proto};
use crate::{
    ContainerConfig, ContainerFilter, ContainerState, ContainerStats, ContainerStatus, Error,
    ExecOutput, Resources, Result,
};

fn container_id(id: &str) -> proto::ContainerId {
    proto::ContainerId { container_id: id.to_owned() }
}

/// CRI counts in seconds; part of one is one.
fn seconds(duration: Duration) -> i64 {
    let whole = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    whole.try_into().unwrap_or(i64::MAX)
}

impl Cri {
    pub(in crate::cri) async fn create(
        &self,
        sandbox_id: &str,
        config: ContainerConfig,
    ) -> Result<String> {
        let sandbox = self.sandbox_config(sandbox_id).await?;
        let request = proto::CreateContainerRequest {
            pod_sandbox_id: sandbox_id.to_owned(),
            config: Some(convert::container_config(&config)),
            sandbox_config: Some(convert::sandbox_config(&sandbox)),
        };
        let response: proto::CreateContainerResponse =
            self.0.calls.runtime("CreateContainer", &request).await?;
        Ok(response.container_id)
    }

    pub(in crate::cri) async fn start(&self, id: &str) -> Result<()> {
        let started = self.0.calls.runtime("StartContainer", &container_id(id)).await;
        let Err(status) = started.map(|proto::Empty {}| ()) else { return Ok(()) };
        if status.code != Code::Other {
            return Err(status.into());
        }
        // Whether it was the process that failed, or the runtime, only the container tells.
        match self.status_of(id).await {
            Ok((after, _)) if after.state == ContainerState::Exited => {
                Err(Error::Start { message: status.message, exit_code: after.exit_code })
            }
            _ => Err(status.into()),
        }
    }

    pub(in crate::cri) async fn stop(&self, id: &str, timeout: Duration) -> Result<()> {
        let request =
            proto::StopContainerRequest { container_id: id.to_owned(), timeout: seconds(timeout) };
        let deadline = Some(timeout.saturating_add(DEADLINE));
        absent_is_fine(self.0.calls.runtime_within("StopContainer", &request, deadline).await)
    }

    pub(in crate::cri) async fn remove(&self, id: &str) -> Result<()> {
        absent_is_fine(self.0.calls.runtime("RemoveContainer", &container_id(id)).await)
    }

    /// The status, and whether it has a terminal.
    pub(in crate::cri) async fn status_of(
        &self,
        id: &str,
    ) -> Result<(ContainerStatus, bool), Status> {
        // Its status does not say where it is.
        let filter = proto::ContainerFilter { id: id.to_owned(), ..Default::default() };
        let request = proto::ListContainersRequest { filter: Some(filter) };
        let list: proto::ListContainersResponse =
            self.0.calls.runtime("ListContainers", &request).await?;
        match list.containers.as_slice() {
            [container] => self.status_in(&container.id, &container.pod_sandbox_id).await,
            _ => Err(Status::new(Code::NotFound, format!("container \"{id}\": not found"))),
        }
    }

    async fn status_in(
        &self,
        id: &str,
        sandbox_id: &str,
    ) -> Result<(ContainerStatus, bool), Status> {
        let response: proto::ContainerStatusResponse =
            self.0.calls.runtime("ContainerStatus", &container_id(id)).await?;
        Ok(convert::container_status(response.status.unwrap_or_default(), sandbox_id))
    }

    pub(in crate::cri) async fn list(
        &self,
        filter: ContainerFilter,
    ) -> Result<Vec<ContainerStatus>> {
        let filter = convert::container_filter(filter);
        let request = proto::ListContainersRequest { filter: Some(filter) };
        let list: proto::ListContainersResponse =
            self.0.calls.runtime("ListContainers", &request).await?;
        let each = list.containers.iter().map(|c| self.status_in(&c.id, &c.pod_sandbox_id));
        let mut containers = present(join_all(each).await)?;
        containers.sort_by(|(a, _), (b, _)| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        Ok(containers.into_iter().map(|(status, _)| status).collect())
    }

    pub(in crate::cri) async fn update(&self, id: &str, resources: &Resources) -> Result<()> {
        let request = proto::UpdateContainerResourcesRequest {
            container_id: id.to_owned(),
            linux: Some(convert::linux_resources(resources)),
        };
        let updated = self.0.calls.runtime("UpdateContainerResources", &request).await;
        updated.map(|proto::Empty {}| ()).map_err(Error::from)
    }

    pub(in crate::cri) async fn reopen_log(&self, id: &str) -> Result<()> {
        let reopened = self.0.calls.runtime("ReopenContainerLog", &container_id(id)).await;
        reopened.map(|proto::Empty {}| ()).map_err(Error::from)
    }

    pub(in crate::cri) async fn run_command(
        &self,
        id: &str,
        cmd: Vec<String>,
        timeout: Duration,
    ) -> Result<ExecOutput> {
        let request =
            proto::ExecSyncRequest { container_id: id.to_owned(), cmd, timeout: seconds(timeout) };
        let deadline = (!timeout.is_zero()).then(|| timeout.saturating_add(DEADLINE));
        let response: proto::ExecSyncResponse =
            self.0.calls.runtime_within("ExecSync", &request, deadline).await?;
        Ok(ExecOutput {
            stdout: response.stdout,
            stderr: response.stderr,
            exit_code: response.exit_code,
        })
    }

    pub(in crate::cri) async fn stats(&self, id: &str) -> Result<ContainerStats> {
        let response: proto::ContainerStatsResponse =
            self.0.calls.runtime("ContainerStats", &container_id(id)).await?;
        Ok(convert::container_stats(response.stats.unwrap_or_default()))
    }
}

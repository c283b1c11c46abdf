//! Containers.

use std::time::Duration;

use futures::future::join_all;

use super::sandbox::{absent_is_fine, present};
use tonic::{Code, Status};

use crate::cri::connection::{DEADLINE, RuntimeClient};
use crate::cri::{Cri, convert, proto};
use crate::{
    ContainerConfig, ContainerFilter, ContainerState, ContainerStats, ContainerStatus, Error,
    ExecOutput, Resources, Result,
};

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
        let created = self.0.calls.runtime(RuntimeClient::create_container, request).await?;
        Ok(created.container_id)
    }

    pub(in crate::cri) async fn start(&self, id: &str) -> Result<()> {
        let request = proto::StartContainerRequest { container_id: id.to_owned() };
        let started = self.0.calls.runtime(RuntimeClient::start_container, request).await;
        let Err(status) = started else { return Ok(()) };
        if status.code() != Code::Unknown {
            return Err(status.into());
        }
        // Only the container's status tells a process that failed from a runtime that did.
        match self.status_of(id).await {
            Ok((after, _)) if after.state == ContainerState::Exited => {
                let message = status.message().to_owned();
                Err(Error::Start { message, exit_code: after.exit_code })
            }
            _ => Err(status.into()),
        }
    }

    pub(in crate::cri) async fn stop(&self, id: &str, timeout: Duration) -> Result<()> {
        let request =
            proto::StopContainerRequest { container_id: id.to_owned(), timeout: seconds(timeout) };
        let deadline = Some(timeout.saturating_add(DEADLINE));
        let stop = RuntimeClient::stop_container;
        absent_is_fine(self.0.calls.runtime_within(stop, request, deadline).await)
    }

    pub(in crate::cri) async fn remove(&self, id: &str) -> Result<()> {
        let request = proto::RemoveContainerRequest { container_id: id.to_owned() };
        absent_is_fine(self.0.calls.runtime(RuntimeClient::remove_container, request).await)
    }

    /// The status, and whether it has a terminal.
    pub(in crate::cri) async fn status_of(
        &self,
        id: &str,
    ) -> Result<(ContainerStatus, bool), Status> {
        // Its status does not say where it is.
        let filter = proto::ContainerFilter { id: id.to_owned(), ..Default::default() };
        let request = proto::ListContainersRequest { filter: Some(filter) };
        let list = self.0.calls.runtime(RuntimeClient::list_containers, request).await?;
        match list.containers.as_slice() {
            [container] => self.status_in(&container.id, &container.pod_sandbox_id).await,
            _ => Err(Status::not_found(format!("container \"{id}\": not found"))),
        }
    }

    async fn status_in(
        &self,
        id: &str,
        sandbox_id: &str,
    ) -> Result<(ContainerStatus, bool), Status> {
        let request = proto::ContainerStatusRequest { container_id: id.to_owned(), verbose: false };
        let response = self.0.calls.runtime(RuntimeClient::container_status, request).await?;
        Ok(convert::container_status(response.status.unwrap_or_default(), sandbox_id))
    }

    pub(in crate::cri) async fn list(
        &self,
        filter: ContainerFilter,
    ) -> Result<Vec<ContainerStatus>> {
        let filter = convert::container_filter(filter);
        let request = proto::ListContainersRequest { filter: Some(filter) };
        let list = self.0.calls.runtime(RuntimeClient::list_containers, request).await?;
        let each = list.containers.iter().map(|c| self.status_in(&c.id, &c.pod_sandbox_id));
        let mut containers = present(join_all(each).await)?;
        containers.sort_by(|(a, _), (b, _)| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        Ok(containers.into_iter().map(|(status, _)| status).collect())
    }

    pub(in crate::cri) async fn update(&self, id: &str, resources: &Resources) -> Result<()> {
        let request = proto::UpdateContainerResourcesRequest {
            container_id: id.to_owned(),
            linux: Some(convert::linux_resources(resources)),
            ..Default::default()
        };
        self.0.calls.runtime(RuntimeClient::update_container_resources, request).await?;
        Ok(())
    }

    pub(in crate::cri) async fn reopen_log(&self, id: &str) -> Result<()> {
        let request = proto::ReopenContainerLogRequest { container_id: id.to_owned() };
        self.0.calls.runtime(RuntimeClient::reopen_container_log, request).await?;
        Ok(())
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
        let exec = RuntimeClient::exec_sync;
        let response = self.0.calls.runtime_within(exec, request, deadline).await?;
        Ok(ExecOutput {
            stdout: response.stdout,
            stderr: response.stderr,
            exit_code: response.exit_code,
        })
    }

    pub(in crate::cri) async fn stats(&self, id: &str) -> Result<ContainerStats> {
        let request = proto::ContainerStatsRequest { container_id: id.to_owned() };
        let response = self.0.calls.runtime(RuntimeClient::container_stats, request).await?;
        Ok(convert::container_stats(response.stats.unwrap_or_default()))
    }
}

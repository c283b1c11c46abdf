//! The contract with the kubelet, call by call.

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::broadcast;

use super::client::sandbox;
use super::connection::RuntimeClient;
use super::{Cri, proto};
use crate::api::*;
use crate::{Error, Result};

#[async_trait]
impl Runtime for Cri {
    async fn version(&self) -> Result<Version> {
        let request = proto::VersionRequest { version: "v1".to_owned() };
        let version = self.0.calls.runtime(RuntimeClient::version, request).await?;
        Ok(Version { runtime_name: version.runtime_name, runtime_version: version.runtime_version })
    }

    async fn status(&self) -> Result<RuntimeStatus> {
        let request = proto::StatusRequest { verbose: false };
        let response = self.0.calls.runtime(RuntimeClient::status, request).await?;
        let conditions = response.status.unwrap_or_default().conditions;
        let is = |kind| conditions.iter().any(|c| c.r#type == kind && c.status);
        let unmet = conditions.iter().filter(|condition| !condition.status);
        let reasons =
            unmet.map(|c| format!("{}=false reason:{} message:{}", c.r#type, c.reason, c.message));
        let root = self.filesystem().await.map(|usage| usage.mountpoint);
        Ok(RuntimeStatus {
            runtime_ready: is("RuntimeReady"),
            network_ready: is("NetworkReady"),
            message: reasons.collect::<Vec<_>>().join(", "),
            root: root.unwrap_or_else(|_| PathBuf::from("/")),
            // That of the handler without a name, which pods without a RuntimeClass have.
            user_namespaces: response
                .runtime_handlers
                .iter()
                .filter(|handler| handler.name.is_empty())
                .any(|handler| handler.features.as_ref().is_some_and(|f| f.user_namespaces)),
        })
    }

    async fn update_pod_cidrs(&self, cidrs: Vec<ipnet::IpNet>) -> Result<()> {
        let cidrs: Vec<String> = cidrs.iter().map(ToString::to_string).collect();
        let request = proto::UpdateRuntimeConfigRequest {
            runtime_config: Some(proto::RuntimeConfig {
                network_config: Some(proto::NetworkConfig { pod_cidr: cidrs.join(",") }),
            }),
        };
        self.0.calls.runtime(RuntimeClient::update_runtime_config, request).await?;
        Ok(())
    }

    async fn run_pod_sandbox(&self, config: SandboxConfig) -> Result<String> {
        self.run_sandbox(config).await
    }

    async fn stop_pod_sandbox(&self, id: &str) -> Result<()> {
        self.stop_sandbox(id).await
    }

    async fn remove_pod_sandbox(&self, id: &str) -> Result<()> {
        self.remove_sandbox(id).await
    }

    async fn pod_sandbox_status(&self, id: &str) -> Result<SandboxStatus> {
        Ok(sandbox::status(&self.0.calls, id).await?.0)
    }

    async fn list_pod_sandboxes(&self, filter: SandboxFilter) -> Result<Vec<SandboxStatus>> {
        self.list_sandboxes(filter).await
    }

    async fn pod_sandbox_resources(&self, id: &str) -> Result<Resources> {
        self.sandbox_resources(id).await
    }

    async fn update_pod_sandbox_resources(&self, id: &str, resources: Resources) -> Result<()> {
        self.update_sandbox_resources(id, resources).await
    }

    async fn create_container(&self, sandbox_id: &str, config: ContainerConfig) -> Result<String> {
        self.create(sandbox_id, config).await
    }

    async fn start_container(&self, id: &str) -> Result<()> {
        self.start(id).await
    }

    async fn stop_container(&self, id: &str, timeout: Duration) -> Result<()> {
        self.stop(id, timeout).await
    }

    async fn remove_container(&self, id: &str) -> Result<()> {
        self.remove(id).await
    }

    async fn container_status(&self, id: &str) -> Result<ContainerStatus> {
        Ok(self.status_of(id).await?.0)
    }

    async fn list_containers(&self, filter: ContainerFilter) -> Result<Vec<ContainerStatus>> {
        self.list(filter).await
    }

    async fn update_container_resources(&self, id: &str, resources: Resources) -> Result<()> {
        self.update(id, &resources).await
    }

    async fn reopen_container_log(&self, id: &str) -> Result<()> {
        self.reopen_log(id).await
    }

    async fn exec_sync(&self, id: &str, cmd: Vec<String>, timeout: Duration) -> Result<ExecOutput> {
        self.run_command(id, cmd, timeout).await
    }

    async fn exec(&self, id: &str, request: ExecRequest) -> Result<Session> {
        self.open_exec(id, request).await
    }

    async fn attach(&self, id: &str, request: AttachRequest) -> Result<Session> {
        self.open_attach(id, request).await
    }

    async fn port_forward(&self, sandbox_id: &str, port: u16) -> Result<ByteStream> {
        self.forward(sandbox_id, port).await
    }

    async fn container_stats(&self, id: &str) -> Result<ContainerStats> {
        self.stats(id).await
    }

    async fn pod_sandbox_stats(&self, id: &str) -> Result<SandboxStats> {
        self.sandbox_stats(id).await
    }

    async fn pull_image(&self, reference: &str, auth: Option<RegistryAuth>) -> Result<PulledImage> {
        self.pull(reference, auth).await
    }

    async fn image_status(&self, reference: &str) -> Result<Option<Image>> {
        self.find_image(reference).await
    }

    async fn list_images(&self) -> Result<Vec<Image>> {
        self.images().await
    }

    async fn remove_image(&self, reference: &str) -> Result<()> {
        self.delete_image(reference).await
    }

    async fn import_image(&self, archive: &Path) -> Result<Vec<Image>> {
        Err(Error::FailedPrecondition(format!(
            "CRI has no call that imports images; use the runtime's own tool, such as \
             `ctr -n k8s.io images import {}`",
            archive.display()
        )))
    }

    async fn image_fs_info(&self) -> Result<FilesystemUsage> {
        self.filesystem().await
    }

    fn events(&self) -> broadcast::Receiver<ContainerEvent> {
        self.0.events.subscribe()
    }
}

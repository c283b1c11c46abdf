//! The contract between the kubelet and a runtime.

mod container;
mod image;
mod sandbox;
mod security;
mod stats;
mod stream;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::broadcast;

pub use container::*;
pub use image::*;
pub use sandbox::*;
pub use security::*;
pub use stats::*;
pub use stream::*;

use crate::Result;

/// String pairs attached to sandboxes and containers.
pub type Labels = BTreeMap<String, String>;

/// A container runtime: where sandboxes and containers live.
///
/// Ids are 64 lower-case hexadecimal digits. Calls are idempotent where CRI says so: stopping what
/// is stopped and removing what is gone succeed. Every change of a container is announced on
/// [`Runtime::events`], so that no caller polls.
#[async_trait]
pub trait Runtime: Send + Sync + 'static {
    /// Name and version of the runtime.
    async fn version(&self) -> Result<Version>;

    /// The readiness of the runtime and of its pod network.
    async fn status(&self) -> Result<RuntimeStatus>;

    /// Tells the runtime from which range this node's pods get their addresses.
    async fn update_pod_cidrs(&self, cidrs: Vec<ipnet::IpNet>) -> Result<()>;

    /// Creates the namespaces and the network of a pod and returns the sandbox id.
    async fn run_pod_sandbox(&self, config: SandboxConfig) -> Result<String>;

    /// Stops every container of the sandbox and gives its network back. Idempotent.
    async fn stop_pod_sandbox(&self, id: &str) -> Result<()>;

    /// Removes the sandbox and all its containers, stopping them by force. Idempotent.
    async fn remove_pod_sandbox(&self, id: &str) -> Result<()>;

    /// State of one sandbox.
    async fn pod_sandbox_status(&self, id: &str) -> Result<SandboxStatus>;

    /// Sandboxes that match, oldest first.
    async fn list_pod_sandboxes(&self, filter: SandboxFilter) -> Result<Vec<SandboxStatus>>;

    /// CPU and memory limits of the whole pod that are in force, read from the kernel; `None` for
    /// what it does not limit here.
    async fn pod_sandbox_resources(&self, id: &str) -> Result<Resources>;

    /// Changes limits of the whole pod.
    async fn update_pod_sandbox_resources(&self, id: &str, resources: Resources) -> Result<()>;

    /// Prepares a container in a sandbox and returns its id. Nothing runs yet.
    async fn create_container(&self, sandbox_id: &str, config: ContainerConfig) -> Result<String>;

    /// Starts a created container.
    ///
    /// # Errors
    /// [`crate::Error::Start`] when its process could not be executed; the container is then
    /// exited with the same exit code and reason `StartError`.
    async fn start_container(&self, id: &str) -> Result<()>;

    /// Sends the stop signal, waits `timeout`, then kills. Returns once it has exited. Idempotent.
    async fn stop_container(&self, id: &str, timeout: Duration) -> Result<()>;

    /// Removes a container, killing it first where it still runs. Idempotent.
    async fn remove_container(&self, id: &str) -> Result<()>;

    /// State of one container.
    async fn container_status(&self, id: &str) -> Result<ContainerStatus>;

    /// Containers that match, oldest first.
    async fn list_containers(&self, filter: ContainerFilter) -> Result<Vec<ContainerStatus>>;

    /// Changes limits of a created or running container.
    async fn update_container_resources(&self, id: &str, resources: Resources) -> Result<()>;

    /// Closes and reopens the container's log file after a rotation renamed it.
    async fn reopen_container_log(&self, id: &str) -> Result<()>;

    /// Runs a command in a container and collects its output (at most 16 MiB per stream).
    ///
    /// `timeout` of zero means none; after it the command is killed.
    ///
    /// # Errors
    /// [`crate::Error::DeadlineExceeded`] when `timeout` passed, and another when the command could not
    /// be executed: it then has no exit code.
    async fn exec_sync(&self, id: &str, cmd: Vec<String>, timeout: Duration) -> Result<ExecOutput>;

    /// Runs a command in a container with live streams.
    ///
    /// # Errors
    /// As of [`Runtime::exec_sync`]; here or at the session's end.
    async fn exec(&self, id: &str, request: ExecRequest) -> Result<Session>;

    /// Connects to the streams of the container's own process.
    async fn attach(&self, id: &str, request: AttachRequest) -> Result<Session>;

    /// Connects to a port on the loopback address of the sandbox's network namespace.
    async fn port_forward(&self, sandbox_id: &str, port: u16) -> Result<ByteStream>;

    /// Resource usage of one container.
    async fn container_stats(&self, id: &str) -> Result<ContainerStats>;

    /// Resource usage of one sandbox and its containers.
    async fn pod_sandbox_stats(&self, id: &str) -> Result<SandboxStats>;

    /// Fetches an image, and unpacks it, returning its reference by id.
    async fn pull_image(&self, reference: &str, auth: Option<RegistryAuth>) -> Result<PulledImage>;

    /// The image by id, tag or digest; `None` where it is not present.
    async fn image_status(&self, reference: &str) -> Result<Option<Image>>;

    /// All images present.
    async fn list_images(&self) -> Result<Vec<Image>>;

    /// Removes the image and every name of it. Idempotent.
    async fn remove_image(&self, reference: &str) -> Result<()>;

    /// Reads an OCI layout or a `docker save` archive, plain or gzip, and returns its images.
    async fn import_image(&self, archive: &Path) -> Result<Vec<Image>>;

    /// Space the images and the writable layers take.
    async fn image_fs_info(&self) -> Result<FilesystemUsage>;

    /// Every change of a container from now on.
    fn events(&self) -> broadcast::Receiver<ContainerEvent>;
}

/// Name and version of a runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// Such as `coxswain`; the kubelet reports `name://version` as `containerRuntimeVersion`.
    pub runtime_name: String,
    /// Version of the runtime.
    pub runtime_version: String,
}

/// Readiness of a runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeStatus {
    /// Sandboxes and containers can be made.
    pub runtime_ready: bool,
    /// Pods can get a network.
    pub network_ready: bool,
    /// Why not, where not.
    pub message: String,
    /// Root directory of images and containers.
    pub root: PathBuf,
    /// Pods can have a user namespace.
    pub user_namespaces: bool,
}

/// A change of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerEvent {
    /// The kind of change.
    pub kind: ContainerEventKind,
    /// The container; for a change of the sandbox itself, the sandbox id.
    pub container_id: String,
    /// The sandbox it belongs to.
    pub sandbox_id: String,
    /// The pod's uid, from the sandbox metadata.
    pub pod_uid: String,
}

/// The kinds of [`ContainerEvent`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContainerEventKind {
    /// It exists.
    Created,
    /// Its process runs.
    Started,
    /// Its process has exited.
    Stopped,
    /// It is gone.
    Deleted,
}

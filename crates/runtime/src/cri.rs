//! Containers by another runtime, through the Container Runtime Interface (CRI) v1: containerd,
//! CRI-O and whatever else serves `k8s.io/cri-api/pkg/apis/runtime/v1` on a Unix socket.

mod client;
mod convert;
mod events;
mod grpc;
mod proto;
mod relist;
mod runtime;
mod status;
mod streaming;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use prost::Message;
use tokio::sync::broadcast;
use tokio::task::AbortHandle;

use crate::cgroup::Hierarchies;
use crate::{ContainerEvent, Error, Result, SandboxConfig};
use grpc::Channel;
use status::{Code, Status};

/// How long a call may take unless it says otherwise: `runtimeRequestTimeout` of upstream's
/// kubelet.
const DEADLINE: Duration = Duration::from_secs(120);
const EVENT_BACKLOG: usize = 4096;

/// A runtime behind a CRI socket.
///
/// Its pods have the network of the runtime's own CNI configuration. Images are imported with the
/// runtime's own tools.
#[derive(Clone)]
pub struct Cri(Arc<Inner>);

struct Inner {
    calls: Calls,
    hierarchies: Hierarchies,
    /// What sandboxes were made with, by id.
    sandboxes: Mutex<HashMap<String, SandboxConfig>>,
    events: broadcast::Sender<ContainerEvent>,
    watcher: AbortHandle,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.watcher.abort();
    }
}

impl std::fmt::Debug for Cri {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cri").finish_non_exhaustive()
    }
}

/// The two services of the interface.
#[derive(Clone)]
struct Calls(Arc<Channel>);

impl Calls {
    /// A call of the RuntimeService.
    async fn runtime<R: Message + Default>(
        &self,
        method: &str,
        message: &impl Message,
    ) -> Result<R, Status> {
        self.runtime_within(method, message, Some(DEADLINE)).await
    }

    /// A call of the RuntimeService that may take this long.
    async fn runtime_within<R: Message + Default>(
        &self,
        method: &str,
        message: &impl Message,
        deadline: Option<Duration>,
    ) -> Result<R, Status> {
        self.0.unary(&format!("runtime.v1.RuntimeService/{method}"), message, deadline).await
    }

    /// A call of the ImageService.
    async fn image<R: Message + Default>(
        &self,
        method: &str,
        message: &impl Message,
        deadline: Option<Duration>,
    ) -> Result<R, Status> {
        self.0.unary(&format!("runtime.v1.ImageService/{method}"), message, deadline).await
    }
}

impl Cri {
    /// Connects to the runtime that listens on `socket`.
    ///
    /// # Errors
    /// Nothing answers there, it does not speak CRI v1, or it leaves cgroups to systemd, which is
    /// not supported here.
    pub async fn connect(socket: &Path) -> Result<Self> {
        let calls = Calls(Arc::new(Channel::new(socket)));
        let request = proto::VersionRequest { version: "v1".to_owned() };
        let version = calls.runtime::<proto::VersionResponse>("Version", &request).await;
        version.map_err(|status| match status.code {
            Code::Unimplemented => Error::FailedPrecondition(format!(
                "{} does not serve the CRI v1 API: {}",
                socket.display(),
                status.message
            )),
            _ => status.into(),
        })?;
        refuse_systemd(&calls, socket).await?;
        let events = broadcast::Sender::new(EVENT_BACKLOG);
        let watcher = tokio::spawn(events::watch(calls.clone(), events.clone())).abort_handle();
        Ok(Self(Arc::new(Inner {
            calls,
            hierarchies: Hierarchies::detect(),
            sandboxes: Mutex::default(),
            events,
            watcher,
        })))
    }
}

/// Cgroups are paths here. A runtime that does not say (containerd before 2.0) fails at its first
/// sandbox, in its own words.
async fn refuse_systemd(calls: &Calls, socket: &Path) -> Result<()> {
    let config = calls.runtime::<proto::RuntimeConfigResponse>("RuntimeConfig", &proto::Empty {});
    match config.await {
        Ok(proto::RuntimeConfigResponse { linux: Some(linux) }) if linux.cgroup_driver == 0 => {
            Err(Error::FailedPrecondition(format!(
                "the runtime at {} has the cgroup driver systemd; only cgroupfs is supported",
                socket.display()
            )))
        }
        // An older runtime has no such call.
        _ => Ok(()),
    }
}

//! Containers by another runtime, through the Container Runtime Interface (CRI) v1: containerd,
//! CRI-O and whatever else serves `k8s.io/cri-api/pkg/apis/runtime/v1` on a Unix socket.

mod client;
mod connection;
mod convert;
mod events;
#[cfg(test)]
mod fake;
mod metrics;
mod proto;
mod relist;
mod runtime;
mod status;
mod streaming;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::broadcast;
use tokio::task::AbortHandle;
use tonic::Code;

use crate::cgroup::Hierarchies;
use crate::{ContainerEvent, Error, Result, SandboxConfig};
use connection::{Calls, RuntimeClient};
use metrics::Metrics;
use telemetry::metrics::Registry;

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
    /// The configurations that sandboxes were made with, by id.
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

impl Cri {
    /// Connects to the runtime that listens on `socket`. How its events come is counted in
    /// `registry`.
    ///
    /// # Errors
    /// Nothing answers there, it does not speak CRI v1, or it leaves cgroups to systemd, which is
    /// not supported here.
    pub async fn connect(socket: &Path, registry: &Registry) -> Result<Self> {
        let calls = Calls::new(socket);
        let request = proto::VersionRequest { version: "v1".to_owned() };
        let version = calls.runtime(RuntimeClient::version, request).await;
        version.map_err(|status| match status.code() {
            Code::Unimplemented => Error::FailedPrecondition(format!(
                "{} does not serve the CRI v1 API: {}",
                socket.display(),
                status.message()
            )),
            _ => status.into(),
        })?;
        refuse_systemd(&calls, socket).await?;
        let events = broadcast::Sender::new(EVENT_BACKLOG);
        let watch = events::watch(calls.clone(), events.clone(), Metrics::new(registry));
        let watcher = telemetry::task::spawn("cri-events", watch).abort_handle();
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
    let config = calls.runtime(RuntimeClient::runtime_config, proto::RuntimeConfigRequest {});
    match config.await {
        Ok(proto::RuntimeConfigResponse { linux: Some(linux) })
            if linux.cgroup_driver == i32::from(proto::CgroupDriver::Systemd) =>
        {
            Err(Error::FailedPrecondition(format!(
                "the runtime at {} has the cgroup driver systemd; only cgroupfs is supported",
                socket.display()
            )))
        }
        // An older runtime has no such call.
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::fake::{Fake, Reply, Script};
    use super::*;
    use crate::{ContainerEventKind, Runtime};

    fn script() -> Script {
        let version = proto::VersionResponse {
            runtime_name: "fake".to_owned(),
            runtime_version: "1".to_owned(),
            ..Default::default()
        };
        [
            ("Version", vec![Reply::of(&[version])]),
            ("ListPodSandbox", vec![Reply::of(&[proto::ListPodSandboxResponse::default()])]),
            ("ListContainers", vec![Reply::of(&[proto::ListContainersResponse::default()])]),
        ]
        .into()
    }

    #[tokio::test]
    async fn a_connection_that_was_lost_is_made_again() {
        let mut fake = Fake::start(script());
        let cri = Cri::connect(fake.socket(), &Registry::bare()).await.unwrap();
        assert_eq!(cri.version().await.unwrap().runtime_name, "fake");
        fake.restart().await;
        // The first call may still meet the old connection.
        if cri.version().await.is_err() {
            assert_eq!(cri.version().await.unwrap().runtime_name, "fake");
        }
    }

    #[tokio::test]
    async fn what_is_not_there_is_told() {
        let absent =
            Cri::connect(Path::new("/nonexistent/cri.sock"), &Registry::bare()).await.unwrap_err();
        assert_eq!(
            absent.to_string(),
            "connecting to /nonexistent/cri.sock: No such file or directory (os error 2)"
        );
        let old = Fake::start(Script::new());
        let error = Cri::connect(old.socket(), &Registry::bare()).await.unwrap_err();
        assert!(error.to_string().contains("does not serve the CRI v1 API"), "{error}");
        let systemd = proto::RuntimeConfigResponse {
            linux: Some(proto::LinuxRuntimeConfiguration { cgroup_driver: 0 }),
        };
        let mut answers = script();
        answers.insert("RuntimeConfig", vec![Reply::of(&[systemd])]);
        let fake = Fake::start(answers);
        let error = Cri::connect(fake.socket(), &Registry::bare()).await.unwrap_err();
        assert!(error.to_string().contains("only cgroupfs is supported"), "{error}");
        let fake = Fake::start(script());
        let cri = Cri::connect(fake.socket(), &Registry::bare()).await.unwrap();
        let error = cri.status().await.unwrap_err();
        assert!(matches!(&error, Error::Internal(text) if text == "unknown method"), "{error:?}");
    }

    #[tokio::test]
    async fn an_answer_is_bounded() {
        let fake = Fake::start(script());
        let cri = Cri::connect(fake.socket(), &Registry::bare()).await.unwrap();
        let version = |length| proto::VersionResponse {
            runtime_name: "x".repeat(length),
            ..proto::VersionResponse::default()
        };
        let replies = [Reply::of(&[version(17 << 20)]), Reply::of(&[version(9 << 20)])];
        fake.answers("Version", replies.into());
        let error = cri.version().await.unwrap_err();
        assert!(error.to_string().contains("message length too large"), "{error}");
        assert_eq!(cri.version().await.unwrap().runtime_name.len(), 9 << 20);
        // Longer than gRPC can say, and than tonic would take.
        let forever = Some(std::time::Duration::MAX);
        let request = proto::VersionRequest::default();
        cri.0.calls.runtime_within(RuntimeClient::version, request, forever).await.unwrap();
    }

    fn sandbox(id: &str) -> proto::PodSandbox {
        let metadata = proto::PodSandboxMetadata { uid: format!("uid-{id}"), ..Default::default() };
        proto::PodSandbox { id: id.to_owned(), metadata: Some(metadata), ..Default::default() }
    }

    #[tokio::test]
    async fn a_runtime_that_tells_is_listened_to() {
        let status = proto::PodSandboxStatus { id: "s".to_owned(), ..Default::default() };
        let event = |kind| proto::ContainerEventResponse {
            container_id: "c".to_owned(),
            container_event_type: kind,
            pod_sandbox_status: Some(status.clone()),
            ..Default::default()
        };
        let mut answers = script();
        // A runtime that ends leaves its clients with an error; what they missed, a look tells.
        let told = Reply::of(&[event(0), event(1)]).and("14", "ended");
        answers.insert("GetContainerEvents", vec![told, Reply::of(&[event(3)]).and("14", "")]);
        let fake = Fake::start(answers);
        let cri = Cri::connect(fake.socket(), &Registry::bare()).await.unwrap();
        let mut events = cri.events();
        use ContainerEventKind::{Created, Deleted, Started, Stopped};
        for kind in [Created, Started, Stopped, Deleted, Deleted] {
            assert_eq!(events.recv().await.unwrap().kind, kind);
        }
    }

    #[tokio::test]
    async fn a_runtime_that_does_not_tell_is_looked_at() {
        let mut answers = script();
        let looks = [vec![], vec![sandbox("a")], vec![]];
        let looks = looks.map(|items| Reply::of(&[proto::ListPodSandboxResponse { items }]));
        answers.insert("ListPodSandbox", looks.into());
        let fake = Fake::start(answers);
        let registry = Registry::bare();
        let cri = Cri::connect(fake.socket(), &registry).await.unwrap();
        let mut events = cri.events();
        use ContainerEventKind::{Deleted, Started, Stopped};
        for kind in [Started, Stopped, Deleted] {
            let event = events.recv().await.unwrap();
            assert_eq!((event.kind, event.pod_uid.as_str()), (kind, "uid-a"));
        }
        let shown = registry.scrape(None).body;
        for line in [
            "kubelet_pleg_relist_duration_seconds_count 3",
            "kubelet_pleg_relist_interval_seconds_count 2",
            "kubelet_evented_pleg_connection_success_count 1",
        ] {
            assert!(shown.lines().any(|shown| shown == line), "{line}: {shown}");
        }
    }
}

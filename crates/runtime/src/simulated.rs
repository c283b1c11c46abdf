//! A runtime without processes: containers are said to run. For nodes without privilege and for
//! load tests by the thousand.

mod state;

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use ipnet::IpNet;
use jiff::Timestamp;
use tokio::sync::broadcast;

use crate::api::*;
use crate::{Error, Result};
use state::State;

/// On a container or its sandbox: the exit code with which it ends as soon as it has started.
pub const EXIT_ANNOTATION: &str = "simulated.coxswain.io/exit-code";

const EVENT_BACKLOG: usize = 4096;

/// Containers that exist in memory only. Every image is present or can be pulled.
#[derive(Debug)]
pub struct Simulated {
    state: parking_lot::Mutex<State>,
    events: broadcast::Sender<ContainerEvent>,
}

impl Simulated {
    /// A runtime whose pods get addresses from `pod_cidr`.
    #[must_use]
    pub fn new(pod_cidr: Option<IpNet>) -> Self {
        Self {
            state: parking_lot::Mutex::new(State::new(pod_cidr)),
            events: broadcast::Sender::new(EVENT_BACKLOG),
        }
    }

    fn announce(&self, kind: ContainerEventKind, status: &ContainerStatus, pod_uid: &str) {
        // It fails only without receivers.
        self.events
            .send(ContainerEvent {
                kind,
                container_id: status.id.clone(),
                sandbox_id: status.sandbox_id.clone(),
                pod_uid: pod_uid.to_owned(),
            })
            .ok();
    }

    fn end(&self, id: &str, code: i32) {
        let Some((status, pod_uid)) = self.state.lock().exit(id, code) else { return };
        self.announce(ContainerEventKind::Stopped, &status, &pod_uid);
    }
}

fn no_process<T>() -> Result<T> {
    Err(Error::Unavailable("this node is simulated: there is no process".to_owned()))
}

fn no_usage() -> Usage {
    Usage {
        timestamp: Timestamp::now(),
        cpu_usage_nanos: 0,
        memory_working_set: 0,
        memory_usage: 0,
        memory_rss: 0,
        page_faults: 0,
        major_page_faults: 0,
        memory_limit: None,
        pids: 0,
        memory_cache: None,
        memory_swap: None,
        throttling: None,
        disks: Vec::new(),
    }
}

#[async_trait]
impl Runtime for Simulated {
    async fn version(&self) -> Result<Version> {
        Ok(Version {
            runtime_name: "simulated".to_owned(),
            runtime_version: env!("CARGO_PKG_VERSION").to_owned(),
        })
    }

    async fn status(&self) -> Result<RuntimeStatus> {
        let network_ready = self.state.lock().has_range();
        Ok(RuntimeStatus {
            user_namespaces: true,
            runtime_ready: true,
            network_ready,
            message: if network_ready { "" } else { "the node has no pod CIDR yet" }.to_owned(),
            root: Path::new("/").to_owned(),
        })
    }

    async fn update_pod_cidrs(&self, cidrs: Vec<IpNet>) -> Result<()> {
        self.state.lock().set_range(cidrs.first().copied());
        Ok(())
    }

    async fn run_pod_sandbox(&self, config: SandboxConfig) -> Result<String> {
        self.state.lock().add_sandbox(config)
    }

    async fn stop_pod_sandbox(&self, id: &str) -> Result<()> {
        let running = self.state.lock().containers_of(id);
        for container in running {
            self.end(&container, 0);
        }
        self.state.lock().stop_sandbox(id);
        Ok(())
    }

    async fn remove_pod_sandbox(&self, id: &str) -> Result<()> {
        self.stop_pod_sandbox(id).await?;
        let containers = self.state.lock().containers_of(id);
        for container in containers {
            self.remove_container(&container).await?;
        }
        self.state.lock().remove_sandbox(id);
        Ok(())
    }

    async fn pod_sandbox_status(&self, id: &str) -> Result<SandboxStatus> {
        self.state.lock().sandbox(id)
    }

    async fn list_pod_sandboxes(&self, filter: SandboxFilter) -> Result<Vec<SandboxStatus>> {
        Ok(self.state.lock().list_sandboxes(&filter))
    }

    async fn pod_sandbox_resources(&self, id: &str) -> Result<Resources> {
        self.state.lock().limits(id).cloned()
    }

    async fn update_pod_sandbox_resources(&self, id: &str, resources: Resources) -> Result<()> {
        self.state.lock().limits(id)?.merge(resources);
        Ok(())
    }

    async fn create_container(&self, sandbox_id: &str, config: ContainerConfig) -> Result<String> {
        let (status, pod_uid) = self.state.lock().add_container(sandbox_id, config)?;
        self.announce(ContainerEventKind::Created, &status, &pod_uid);
        Ok(status.id)
    }

    async fn start_container(&self, id: &str) -> Result<()> {
        let (status, pod_uid, exit) = self.state.lock().start(id)?;
        self.announce(ContainerEventKind::Started, &status, &pod_uid);
        if let Some(code) = exit {
            self.end(id, code);
        }
        Ok(())
    }

    async fn stop_container(&self, id: &str, _timeout: Duration) -> Result<()> {
        self.end(id, 0);
        Ok(())
    }

    async fn remove_container(&self, id: &str) -> Result<()> {
        self.end(id, 137);
        let removed = self.state.lock().remove_container(id);
        if let Some((status, pod_uid)) = removed {
            self.announce(ContainerEventKind::Deleted, &status, &pod_uid);
        }
        Ok(())
    }

    async fn container_status(&self, id: &str) -> Result<ContainerStatus> {
        self.state.lock().container(id)
    }

    async fn list_containers(&self, filter: ContainerFilter) -> Result<Vec<ContainerStatus>> {
        Ok(self.state.lock().list_containers(&filter))
    }

    async fn update_container_resources(&self, id: &str, resources: Resources) -> Result<()> {
        self.state.lock().set_resources(id, resources)
    }

    async fn reopen_container_log(&self, id: &str) -> Result<()> {
        self.container_status(id).await.map(drop)
    }

    /// Every command succeeds and says nothing, so that probes pass.
    async fn exec_sync(&self, id: &str, _: Vec<String>, _: Duration) -> Result<ExecOutput> {
        self.container_status(id).await.map(|_| ExecOutput::default())
    }

    async fn exec(&self, id: &str, _request: ExecRequest) -> Result<Session> {
        self.container_status(id).await?;
        no_process()
    }

    async fn attach(&self, id: &str, _request: AttachRequest) -> Result<Session> {
        self.container_status(id).await?;
        no_process()
    }

    async fn port_forward(&self, sandbox_id: &str, _port: u16) -> Result<ByteStream> {
        self.pod_sandbox_status(sandbox_id).await?;
        no_process()
    }

    async fn container_stats(&self, id: &str) -> Result<ContainerStats> {
        let status = self.container_status(id).await?;
        Ok(ContainerStats {
            id: status.id,
            metadata: status.metadata,
            usage: no_usage(),
            writable_layer_bytes: 0,
            writable_layer_inodes: 0,
        })
    }

    async fn pod_sandbox_stats(&self, id: &str) -> Result<SandboxStats> {
        let status = self.pod_sandbox_status(id).await?;
        let filter = ContainerFilter {
            sandbox_id: Some(id.to_owned()),
            state: Some(ContainerState::Running),
            ..ContainerFilter::default()
        };
        let running = self.list_containers(filter).await?;
        let stats = running.iter().map(|container| self.container_stats(&container.id));
        Ok(SandboxStats {
            id: status.id,
            metadata: status.metadata,
            usage: no_usage(),
            network: None,
            containers: futures::future::try_join_all(stats).boxed().await?,
        })
    }

    async fn pull_image(&self, reference: &str, _: Option<RegistryAuth>) -> Result<PulledImage> {
        let image = self.state.lock().image(reference);
        Ok(PulledImage { digest: image.id.clone(), id: image.id, fetched_bytes: 0 })
    }

    async fn image_status(&self, reference: &str) -> Result<Option<Image>> {
        Ok(Some(self.state.lock().image(reference)))
    }

    async fn list_images(&self) -> Result<Vec<Image>> {
        Ok(self.state.lock().images())
    }

    async fn remove_image(&self, reference: &str) -> Result<()> {
        self.state.lock().remove_image(reference);
        Ok(())
    }

    async fn import_image(&self, archive: &Path) -> Result<Vec<Image>> {
        let name = archive.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Ok(vec![self.state.lock().image(&name)])
    }

    async fn image_fs_info(&self) -> Result<FilesystemUsage> {
        // A file system that never fills, so that no pod is evicted for it.
        Ok(FilesystemUsage {
            mountpoint: Path::new("/").to_owned(),
            capacity_bytes: 100 << 30,
            available_bytes: 100 << 30,
            inodes: 1 << 24,
            inodes_free: 1 << 24,
            ..FilesystemUsage::default()
        })
    }

    fn events(&self) -> broadcast::Receiver<ContainerEvent> {
        self.events.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sandbox(name: &str) -> SandboxConfig {
        SandboxConfig {
            metadata: SandboxMetadata { name: name.into(), uid: name.into(), ..Default::default() },
            ..SandboxConfig::default()
        }
    }

    #[tokio::test]
    async fn pods_live_and_die() {
        let runtime = Simulated::new(Some("10.0.0.0/30".parse().unwrap()));
        let mut events = runtime.events();
        let pod = runtime.run_pod_sandbox(sandbox("a")).await.unwrap();
        let ips = runtime.pod_sandbox_status(&pod).await.unwrap().ips;
        assert_eq!(ips, ["10.0.0.2".parse::<std::net::IpAddr>().unwrap()]);
        assert!(runtime.run_pod_sandbox(sandbox("b")).await.is_err(), "the range is full");

        let config = ContainerConfig { image: "x".into(), ..ContainerConfig::default() };
        let id = runtime.create_container(&pod, config.clone()).await.unwrap();
        assert!(matches!(
            runtime.create_container(&pod, config).await,
            Err(Error::AlreadyExists(_))
        ));
        runtime.start_container(&id).await.unwrap();
        assert_eq!(runtime.container_status(&id).await.unwrap().state, ContainerState::Running);

        let mut done = ContainerConfig { image: "x".into(), ..ContainerConfig::default() };
        done.metadata.name = "job".into();
        done.annotations.insert(EXIT_ANNOTATION.into(), "3".into());
        let job = runtime.create_container(&pod, done).await.unwrap();
        runtime.start_container(&job).await.unwrap();
        let status = runtime.container_status(&job).await.unwrap();
        assert_eq!((status.exit_code, status.reason.as_str()), (3, "Error"));

        runtime.remove_pod_sandbox(&pod).await.unwrap();
        assert!(runtime.list_containers(ContainerFilter::default()).await.unwrap().is_empty());
        runtime.run_pod_sandbox(sandbox("b")).await.unwrap();
        use ContainerEventKind::*;
        let mut kinds = Vec::new();
        while let Ok(event) = events.try_recv() {
            kinds.push(event.kind);
        }
        assert_eq!(kinds[..5], [Created, Started, Created, Started, Stopped]);
        assert_eq!(kinds.iter().filter(|kind| **kind == Deleted).count(), 2);
    }
}

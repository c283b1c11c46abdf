//! The runtime inside this binary: no daemon, a shim process per container, state on disk.

mod config;
mod container;
mod exec;
mod executable;
mod mount_points;
mod plan;
mod preflight;
mod recover;
mod sandbox;
mod state;
mod stats;
mod stream;
mod users;
mod volatile;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use ipnet::IpNet;
use network::link::LinkMonitor;
use network::pod::{PodNetwork, PodNetworkConfig, bridge_name};
use parking_lot::RwLock;
use tokio::sync::broadcast;

pub use config::EmbeddedConfig;

use crate::api::*;
use crate::cgroup::Hierarchies;
use crate::image::{ImageStore, Puller, directory_usage};
use crate::spec::{ROOT_MOUNT, STAGING};
use crate::{Error, Result, private};
use executable::Executable;
use state::{Containers, Sandboxes};

/// Events a slow receiver may fall behind.
const EVENT_BACKLOG: usize = 4096;

/// Real containers. Cheap to clone; every clone is the same runtime.
#[derive(Clone)]
pub struct Embedded(Arc<Inner>);

struct Inner {
    config: EmbeddedConfig,
    executable: Executable,
    hierarchies: Hierarchies,
    images: Arc<ImageStore>,
    puller: Puller,
    network: RwLock<Option<Arc<PodNetwork>>>,
    sandboxes: Sandboxes,
    containers: Containers,
    events: broadcast::Sender<ContainerEvent>,
    /// True if the kernel can map the data directory's files into user namespaces.
    user_namespaces: bool,
}

impl Embedded {
    /// Opens the data directory, adopts the containers that still run and records the exits that
    /// happened meanwhile. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// Without root, or where the directory or a kernel feature is not usable.
    pub async fn open(config: EmbeddedConfig) -> Result<Self> {
        if !nix::unistd::geteuid().is_root() {
            return Err(Error::Unavailable("the embedded runtime needs root".to_owned()));
        }
        let runtime = blocking(move || {
            // Containers reach their files by mounts; no other user needs access.
            let state = ["", "sandboxes", "containers", "layers", "images"];
            for name in state.into_iter().chain([mount_points::DIRECTORY]) {
                let path = config.data_dir.join(name);
                private::directory(&path).map_err(Error::internal(path.display()))?;
            }
            let mut config = config;
            config.data_dir = config.data_dir.canonicalize()?;
            mount_points::clean(&config.data_dir)?;
            let hierarchies = Hierarchies::detect();
            preflight::check(&config.data_dir, &hierarchies)?;
            volatile::prepare(&config.data_dir, &["sandboxes", "network", ROOT_MOUNT, STAGING])?;
            let images = Arc::new(ImageStore::open(&config.data_dir)?);
            let executable = Executable::open()?;
            let user_namespaces = match users::probe(&executable, &config.data_dir) {
                Ok(()) => true,
                Err(error) => {
                    tracing::info!(%error, "pods can have no user namespaces here");
                    false
                }
            };
            Ok(Self(Arc::new(Inner {
                user_namespaces,
                executable,
                hierarchies,
                puller: Puller::new(Arc::clone(&images), config.registry.clone()),
                images,
                network: RwLock::new(None),
                sandboxes: Sandboxes::default(),
                containers: Containers::default(),
                events: broadcast::Sender::new(EVENT_BACKLOG),
                config,
            })))
        })
        .await?;
        if let Some(cidr) = runtime.0.config.pod_cidr {
            runtime.set_pod_cidr(cidr).await?;
        }
        runtime.recover().await?;
        Ok(runtime)
    }

    /// Kills and removes everything: containers, sandboxes, network, cgroups. Images stay.
    ///
    /// # Errors
    /// One of the sandboxes could not be removed; the others are.
    pub async fn destroy_all(&self) -> Result<()> {
        let ids = self.0.sandboxes.ids();
        let removals = ids.iter().map(|id| self.remove_pod_sandbox(id));
        let mut first = futures::future::join_all(removals).await.into_iter().find(Result::is_err);
        let inner = Arc::clone(&self.0);
        let rest = blocking(move || {
            if let Some(network) = inner.network.write().take() {
                network.destroy().map_err(network_error)?;
            }
            volatile::release(&inner.config.data_dir)?;
            Ok(inner.hierarchies.remove(&inner.config.cgroup_root)?)
        })
        .await;
        first.take().unwrap_or(Ok(())).and(rest)
    }

    /// The pod network, once the node has a pod range.
    #[must_use]
    pub fn pod_network(&self) -> Option<Arc<PodNetwork>> {
        self.0.network.read().clone()
    }

    async fn set_pod_cidr(&self, pod_cidr: IpNet) -> Result<()> {
        if self.pod_network().is_some_and(|network| network.pod_cidr() == pod_cidr) {
            return Ok(());
        }
        let inner = Arc::clone(&self.0);
        let network = blocking(move || {
            let config = &inner.config;
            let network = PodNetwork::open(PodNetworkConfig {
                bridge: bridge_name(&config.cluster, &config.node),
                node_netns: config.node_netns.clone(),
                state_dir: volatile::directory(&config.data_dir).join("network"),
                pod_cidr,
                cluster_cidr: config.cluster_cidr,
                own_ports: config.own_ports.clone(),
                mtu: config.mtu,
            })
            .map_err(network_error)?;
            let network = Arc::new(network);
            *inner.network.write() = Some(Arc::clone(&network));
            Ok(network)
        })
        .await?;
        let monitor = network.monitor().map_err(network_error)?;
        telemetry::task::spawn("pod-network", keep_whole(Arc::downgrade(&network), monitor));
        Ok(())
    }
}

/// Repairs the pod network whenever a part of it was removed.
async fn keep_whole(network: Weak<PodNetwork>, mut monitor: LinkMonitor) {
    loop {
        let disturbed = monitor.disturbed().await;
        let Some(network) = network.upgrade() else { return };
        if let Err(error) = disturbed {
            tracing::error!(%error, "links are not watched; watching them anew");
            match network.monitor() {
                Ok(anew) => monitor = anew,
                Err(error) => {
                    tracing::error!(%error, "links cannot be watched: a lost pod bridge stays lost");
                    return;
                }
            }
        }
        match blocking(move || network.repair().map_err(network_error)).await {
            Ok(true) => tracing::warn!("the pod bridge was disturbed, and is whole again"),
            Ok(false) => {}
            Err(error) => tracing::error!(%error, "pod bridge not repaired"),
        }
    }
}

impl Inner {
    fn container_dir(&self, id: &str) -> PathBuf {
        self.config.data_dir.join("containers").join(id)
    }

    /// State and pinned namespaces of a sandbox, which are gone when the machine has been down.
    fn sandbox_dir(&self, id: &str) -> PathBuf {
        volatile::directory(&self.config.data_dir).join("sandboxes").join(id)
    }

    /// The record that a sandbox was to be made, and the files of it that its containers may write
    /// to, on disk: memory is no place for what a container writes.
    fn sandbox_files(&self, id: &str) -> PathBuf {
        self.config.data_dir.join("sandboxes").join(id)
    }

    /// The cgroup of a pod, below this runtime's own root.
    fn pod_cgroup(&self, parent: &str, sandbox_id: &str) -> String {
        let root = self.config.cgroup_root.trim_end_matches('/');
        match parent.trim_matches('/') {
            "" => format!("{root}/{sandbox_id}"),
            parent => format!("{root}/{parent}"),
        }
    }

    fn announce(&self, kind: ContainerEventKind, container: &str, sandbox: &str, pod: &str) {
        // It fails only without receivers.
        self.events
            .send(ContainerEvent {
                kind,
                container_id: container.to_owned(),
                sandbox_id: sandbox.to_owned(),
                pod_uid: pod.to_owned(),
            })
            .ok();
    }
}

/// Runs blocking work beside the asynchronous threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(Error::Internal(error.to_string())))
}

fn network_error(error: network::Error) -> Error {
    Error::Internal(error.to_string())
}

/// A new id: 64 hexadecimal digits.
fn new_id() -> String {
    hex::encode(rand::random::<[u8; 32]>())
}

#[async_trait]
impl Runtime for Embedded {
    async fn version(&self) -> Result<Version> {
        Ok(Version {
            runtime_name: "coxswain".to_owned(),
            runtime_version: env!("CARGO_PKG_VERSION").to_owned(),
        })
    }

    async fn status(&self) -> Result<RuntimeStatus> {
        let network_ready = self.pod_network().is_some();
        let message = if network_ready { "" } else { "the node has no pod CIDR yet" };
        Ok(RuntimeStatus {
            runtime_ready: true,
            network_ready,
            message: message.to_owned(),
            root: self.0.config.data_dir.clone(),
            user_namespaces: self.0.user_namespaces,
        })
    }

    async fn update_pod_cidrs(&self, cidrs: Vec<IpNet>) -> Result<()> {
        match cidrs.first() {
            Some(cidr) => {
                self.set_pod_cidr(*cidr).await?;
                self.release_addresses().await
            }
            None => Ok(()),
        }
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
        Ok(self.0.sandboxes.get(id)?.status())
    }

    async fn list_pod_sandboxes(&self, filter: SandboxFilter) -> Result<Vec<SandboxStatus>> {
        Ok(self.0.sandboxes.list(&filter))
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
        Ok(self.0.containers.get(id)?.status())
    }

    async fn list_containers(&self, filter: ContainerFilter) -> Result<Vec<ContainerStatus>> {
        Ok(self.0.containers.list(&filter))
    }

    async fn update_container_resources(&self, id: &str, resources: Resources) -> Result<()> {
        self.update_resources(id, resources).await
    }

    async fn reopen_container_log(&self, id: &str) -> Result<()> {
        self.reopen_log(id).await
    }

    async fn exec_sync(&self, id: &str, cmd: Vec<String>, timeout: Duration) -> Result<ExecOutput> {
        self.run_exec_sync(id, cmd, timeout).await
    }

    async fn exec(&self, id: &str, request: ExecRequest) -> Result<Session> {
        self.run_exec(id, request).await
    }

    async fn attach(&self, id: &str, request: AttachRequest) -> Result<Session> {
        self.run_attach(id, request).await
    }

    async fn port_forward(&self, sandbox_id: &str, port: u16) -> Result<ByteStream> {
        self.connect_port(sandbox_id, port).await
    }

    async fn container_stats(&self, id: &str) -> Result<ContainerStats> {
        self.stats_of_container(id).await
    }

    async fn pod_sandbox_stats(&self, id: &str) -> Result<SandboxStats> {
        self.stats_of_sandbox(id).await
    }

    async fn pull_image(&self, reference: &str, auth: Option<RegistryAuth>) -> Result<PulledImage> {
        self.0.puller.pull(reference, auth).await
    }

    async fn image_status(&self, reference: &str) -> Result<Option<Image>> {
        Ok(self.0.images.find(reference).map(|record| record.image))
    }

    async fn list_images(&self) -> Result<Vec<Image>> {
        Ok(self.0.images.list())
    }

    async fn remove_image(&self, reference: &str) -> Result<()> {
        let (inner, reference) = (Arc::clone(&self.0), reference.to_owned());
        blocking(move || {
            inner.images.remove(&reference)?;
            // A running container's overlay stands on its layers, image or not.
            Ok(inner.images.collect(&|layer| inner.containers.uses_layer(layer))?)
        })
        .await
    }

    async fn import_image(&self, archive: &Path) -> Result<Vec<Image>> {
        let (images, archive) = (Arc::clone(&self.0.images), archive.to_owned());
        blocking(move || Ok(images.import(&archive)?)).await
    }

    async fn image_fs_info(&self) -> Result<FilesystemUsage> {
        let root = self.0.config.data_dir.clone();
        blocking(move || {
            let fs = nix::sys::statvfs::statvfs(&root)?;
            let (images, image_inodes) = directory_usage(&root.join("layers"));
            let (containers, container_inodes) = directory_usage(&root.join("containers"));
            let block = fs.fragment_size();
            Ok(FilesystemUsage {
                image_bytes: images,
                container_bytes: containers,
                inodes_used: image_inodes + container_inodes,
                capacity_bytes: fs.blocks() * block,
                available_bytes: fs.blocks_available() * block,
                inodes: fs.files(),
                inodes_free: fs.files_free(),
                mountpoint: root,
            })
        })
        .await
    }

    fn events(&self) -> broadcast::Receiver<ContainerEvent> {
        self.0.events.subscribe()
    }
}

//! One node: its runtime, its kubelet, its service proxy.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use client::{Client, InformerFactory};
use ipnet::{IpNet, Ipv4Net};
use kubelet::{KubeletConfig, ServerConfig};
use pki::Issued;
use runtime::Runtime;
use runtime::cri::Cri;
use runtime::embedded::{Embedded, EmbeddedConfig};
use runtime::simulated::Simulated;
use telemetry::metrics::Registry;
use tokio_util::sync::CancellationToken;

use crate::cli::{PodArgs, RuntimeKind};
use crate::demo;
use crate::plane::IN_PROCESS;

/// Port of every kubelet's server.
pub(crate) const PORT: u16 = 10_250;
/// Largest packet of pod interfaces.
const MTU: u32 = 1500;
/// Domain of the cluster.
pub(crate) const DOMAIN: &str = "cluster.local";

/// The configuration of a node.
#[derive(Clone, Debug)]
pub(crate) struct NodeConfig {
    pub(crate) name: String,
    pub(crate) address: IpAddr,
    pub(crate) kind: RuntimeKind,
    /// Keeps what is of several clusters on one machine apart.
    pub(crate) cluster: String,
    /// Pod range of the whole cluster.
    pub(crate) cluster_cidr: Ipv4Net,
    /// Pod range of this node; `None` where the cluster assigns it.
    pub(crate) pods: Option<Ipv4Net>,
    pub(crate) cluster_dns: IpAddr,
    /// Ports that others than the kubelet serve on this node for the cluster.
    pub(crate) served_ports: Vec<u16>,
    /// Where the API server is, if that is another process.
    pub(crate) api_server: Option<SocketAddr>,
    /// Directory of everything of the node.
    pub(crate) data: PathBuf,
    /// Pods end when the kubelet does.
    pub(crate) stop_pods_on_exit: bool,
    /// Privileges that pods may be given on this node.
    pub(crate) pods_may: PodArgs,
}

/// A node's runtime, before its kubelet starts.
pub(crate) struct Node {
    pub(crate) config: NodeConfig,
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) embedded: Option<Embedded>,
    cri: Option<Cri>,
    /// The registry behind the kubelet's `/metrics`: everything that runs for the node in this
    /// process.
    pub(crate) metrics: Registry,
}

/// The machine's name, as a node's.
pub(crate) fn machine_name() -> Result<String> {
    let name = nix::unistd::gethostname().context("reading the machine's name")?;
    Ok(name.to_string_lossy().to_lowercase())
}

/// The source address of packets that leave this machine.
pub(crate) fn source_towards(somebody: impl ToSocketAddrs) -> std::io::Result<IpAddr> {
    // Nothing is sent: connecting only picks the route.
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.connect(somebody)?;
    Ok(socket.local_addr()?.ip())
}

/// The machine's address towards others; without a route to them, that of its first interface.
pub(crate) fn machine_address() -> Result<IpAddr> {
    // An address of documentation (RFC 5737); no packet is sent.
    if let Ok(address) = source_towards(("192.0.2.1", 9)) {
        return Ok(address);
    }
    let interfaces = nix::ifaddrs::getifaddrs().context("reading the machine's addresses")?;
    let mut addresses = interfaces.filter_map(|i| Some(i.address?.as_sockaddr_in()?.ip()));
    let found = addresses.find(|ip| !ip.is_loopback() && !ip.is_link_local());
    found.map(IpAddr::V4).context("the machine has no address besides loopback")
}

impl NodeConfig {
    /// Ports that the node's own processes serve, and no pod or service may take. Simulated pods
    /// take none.
    fn own_ports(&self) -> Vec<u16> {
        if !self.kind.is_real() {
            return Vec::new();
        }
        self.served_ports.iter().copied().chain([PORT]).collect()
    }
}

impl Node {
    /// Opens the node; its pod network is up when this returns, unless its range comes later.
    pub(crate) async fn open(config: NodeConfig) -> Result<Self> {
        runtime::private::directory(&config.data)
            .with_context(|| format!("{} is not writable", config.data.display()))?;
        let pod_cidr = config.pods.map(IpNet::V4);
        let metrics = crate::serving::registry();
        let (runtime, embedded, cri): (Arc<dyn Runtime>, _, _) = match &config.kind {
            RuntimeKind::Simulated => (Arc::new(Simulated::new(pod_cidr)), None, None),
            RuntimeKind::Cri(socket) => {
                let cri = Cri::connect(socket, &metrics).await;
                let cri = cri.context("starting the container runtime")?;
                (Arc::new(cri.clone()), None, Some(cri))
            }
            RuntimeKind::Embedded => {
                let embedded = Embedded::open(EmbeddedConfig {
                    data_dir: config.data.join("runtime"),
                    cluster: config.cluster.clone(),
                    node: config.name.clone(),
                    node_netns: None,
                    pod_cidr,
                    cluster_cidr: IpNet::V4(config.cluster_cidr),
                    own_ports: config.own_ports(),
                    mtu: MTU,
                    cgroup_root: format!("/coxswain-{}-{}", config.cluster, config.name),
                    registry: runtime::RegistryConfig::default(),
                })
                .await
                .context("starting the container runtime")?;
                (Arc::new(embedded.clone()), Some(embedded), None)
            }
        };
        Ok(Self { config, runtime, embedded, cri, metrics })
    }

    /// Runs the kubelet until cancelled. Its server presents `issued` and takes clients that `ca`
    /// has signed. `own` reads as the node, `cluster` as somebody who may see all nodes.
    pub(crate) async fn run_kubelet(
        &self,
        client: Client,
        (own, cluster): (InformerFactory, &InformerFactory),
        issued: Issued,
        ca: String,
        cancel: CancellationToken,
    ) -> Result<()> {
        let config = &self.config;
        let client = client::transport::named(client, "kubelet", &self.api_server(), &self.metrics);
        let server = match &config.kind {
            RuntimeKind::Simulated => None,
            RuntimeKind::Embedded | RuntimeKind::Cri(_) => Some(ServerConfig {
                listen: SocketAddr::new(config.address, PORT),
                tls: Arc::new(pki::tls::server(&issued, &ca, &["http/1.1"])?),
            }),
        };
        let certificate = issued.certificate().ok().map(Arc::new);
        let routes = self.embedded.clone().map(|runtime| {
            crate::routes::keep(runtime, cluster.clone(), config.name.clone(), cancel.clone())
        });
        let routes = async move {
            if let Some(routes) = routes {
                routes.await;
            }
        };
        let kubelet = kubelet::run(KubeletConfig {
            client,
            informers: own,
            runtime: self.runtime.clone(),
            node_name: config.name.clone(),
            node_ip: config.address,
            data_dir: config.data.join("kubelet"),
            cluster_dns: vec![config.cluster_dns],
            cluster_domain: DOMAIN.to_owned(),
            node_labels: Default::default(),
            max_pods: 110,
            own_ports: config.own_ports(),
            allowed_unsafe_sysctls: config.pods_may.allowed_unsafe_sysctls.clone(),
            image_credentials: config.pods_may.image_credentials(),
            server,
            stop_pods_on_exit: config.stop_pods_on_exit,
            metrics: self.metrics.clone(),
            certificate,
            cancel: cancel.clone(),
        });
        let (outcome, ()) = tokio::join!(kubelet, routes);
        match outcome {
            Ok(()) if !cancel.is_cancelled() => bail!("the kubelet has ended"),
            outcome => Ok(outcome?),
        }
    }

    /// The API server, as metrics name it.
    fn api_server(&self) -> String {
        self.config.api_server.map_or_else(|| IN_PROCESS.to_owned(), |server| server.to_string())
    }

    /// Runs the service proxy until cancelled.
    pub(crate) async fn run_proxy(
        &self,
        informers: &InformerFactory,
        cancel: CancellationToken,
    ) -> Result<()> {
        let config = proxy::ProxyConfig {
            node_name: self.config.name.clone(),
            cluster_id: self.config.cluster.clone(),
            cluster_cidr: IpNet::V4(self.config.cluster_cidr),
            own_ports: self.config.own_ports(),
            api_server: self.config.api_server,
            node_netns: None,
            metrics: self.metrics.clone(),
            status: proxy::Health::new(&self.metrics),
        };
        proxy::run(informers, config, cancel).await.context("service proxy")
    }

    /// Gives the node the demo image, unless it has it.
    pub(crate) async fn import_demo(&self) -> Result<()> {
        if matches!(self.runtime.image_status(demo::IMAGE).await, Ok(Some(_))) {
            return Ok(());
        }
        let out = self.config.data.join("demo.tar");
        let target = out.clone();
        tokio::task::spawn_blocking(move || demo::build(&target)).await??;
        let imported = self.runtime.import_image(&out).await;
        let _ = std::fs::remove_file(&out);
        imported.map(drop).context("importing the demo image")
    }

    /// Removes every container, mount, namespace, link, table and cgroup of the node.
    pub(crate) async fn destroy(&self) -> Result<()> {
        if let Some(embedded) = &self.embedded {
            embedded.destroy_all().await.context("removing the node's containers")?;
        }
        if let Some(cri) = &self.cri {
            cri.destroy_all().await.context("removing the node's containers")?;
        }
        Ok(())
    }
}

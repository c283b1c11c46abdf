//! One node: its runtime and its kubelet.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context, Result};
use client::{Client, InformerFactory};
use ipnet::IpNet;
use kubelet::{KubeletConfig, ServerConfig};
use pki::{Authority, Subject};
use runtime::Runtime;
use runtime::embedded::{Embedded, EmbeddedConfig};
use runtime::simulated::Simulated;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::cli::RuntimeKind;
use crate::dir::ClusterDir;
use crate::plan::Plan;

/// Port of every kubelet's server.
const PORT: u16 = 10_250;
/// Largest packet of pod interfaces.
const MTU: u32 = 1500;
/// Domain of the cluster.
pub(crate) const DOMAIN: &str = "cluster.local";

/// A node's runtime, before its kubelet starts.
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) address: IpAddr,
    pub(crate) runtime: Arc<dyn Runtime>,
    embedded: Option<Embedded>,
}

/// The machine's name, as a node's.
pub(crate) fn machine_name() -> Result<String> {
    let name = nix::unistd::gethostname().context("reading the machine's name")?;
    Ok(name.to_string_lossy().to_lowercase())
}

impl Node {
    /// Opens node number `number`; its pod network is up when this returns.
    pub(crate) async fn open(
        dir: &ClusterDir,
        plan: &Plan,
        kind: RuntimeKind,
        name: String,
        number: u8,
    ) -> Result<Self> {
        let pods = IpNet::V4(plan.node_pods(number));
        if kind == RuntimeKind::Simulated {
            let runtime: Arc<dyn Runtime> = Arc::new(Simulated::new(Some(pods)));
            return Ok(Self { name, address: IpAddr::from([127, 0, 0, 1]), runtime, embedded: None });
        }
        let embedded = Embedded::open(EmbeddedConfig {
            data_dir: dir.data(&format!("nodes/{name}/runtime")),
            cluster: plan.id.clone(),
            node: name.clone(),
            node_netns: None,
            pod_cidr: Some(pods),
            cluster_cidr: IpNet::V4(plan.pods),
            mtu: MTU,
            cgroup_root: format!("/coxswain-{}-{name}", plan.id),
            registry: runtime::RegistryConfig::default(),
        })
        .await
        .context("starting the container runtime")?;
        Ok(Self {
            name,
            address: plan.node_address(number),
            runtime: Arc::new(embedded.clone()),
            embedded: Some(embedded),
        })
    }

    /// Starts the kubelet.
    pub(crate) fn start_kubelet(
        &self,
        dir: &ClusterDir,
        ca: &Authority,
        client: Client,
        informers: InformerFactory,
        cluster_dns: IpAddr,
        cancel: CancellationToken,
    ) -> Result<JoinHandle<Result<(), kubelet::Error>>> {
        let file = format!("kubelet-{}", self.name);
        let user = format!("system:node:{}", self.name);
        let issued = ca.issue_kept(
            &file,
            &Subject { name: &user, group: "system:nodes", dns: &[&self.name], ips: &[self.address] },
        )?;
        let server = match &self.embedded {
            None => None,
            Some(_) => Some(ServerConfig {
                listen: SocketAddr::new(self.address, PORT),
                tls: Arc::new(pki::tls::server(&issued, ca.cert(), &["http/1.1"])?),
            }),
        };
        Ok(tokio::spawn(kubelet::run(KubeletConfig {
            client,
            informers,
            runtime: self.runtime.clone(),
            node_name: self.name.clone(),
            node_ip: self.address,
            data_dir: dir.data(&format!("nodes/{}/kubelet", self.name)),
            cluster_dns: vec![cluster_dns],
            cluster_domain: DOMAIN.to_owned(),
            node_labels: Default::default(),
            max_pods: 110,
            server,
            stop_pods_on_exit: true,
            cancel,
        })))
    }

    /// Removes every container, mount, namespace, link, table and cgroup of the node.
    pub(crate) async fn destroy(&self) -> Result<()> {
        if let Some(embedded) = &self.embedded {
            embedded.destroy_all().await.context("removing the node's containers")?;
        }
        Ok(())
    }
}

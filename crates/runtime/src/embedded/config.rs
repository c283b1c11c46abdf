//! How the embedded runtime is set up.

use std::path::PathBuf;

use ipnet::IpNet;

use crate::RegistryConfig;

/// Settings of [`super::Embedded`].
#[derive(Debug, Clone)]
pub struct EmbeddedConfig {
    /// Where images, containers and their state live.
    pub data_dir: PathBuf,
    /// Name of the cluster, unique on this machine: it goes into interface and table names.
    pub cluster: String,
    /// Name of the node.
    pub node: String,
    /// The node's network namespace; `None` where the node is the machine.
    pub node_netns: Option<PathBuf>,
    /// The node's pod range; `None` where it comes later by `update_pod_cidrs`.
    pub pod_cidr: Option<IpNet>,
    /// The whole cluster's pod range.
    pub cluster_cidr: IpNet,
    /// Ports that the node's own processes serve: no host port takes them.
    pub own_ports: Vec<u16>,
    /// Largest packet of pod interfaces.
    pub mtu: u32,
    /// Cgroup that everything of this runtime is below, such as `/coxswain-3f2a/node-1`.
    pub cgroup_root: String,
    /// How registries are reached.
    pub registry: RegistryConfig,
}

//! Pod sandboxes: what the containers of one pod share.

use std::net::IpAddr;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Labels, NamespaceOptions, Seccomp};

/// Identifies a sandbox.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SandboxMetadata {
    /// Pod name.
    pub name: String,
    /// Pod uid.
    pub uid: String,
    /// Pod namespace.
    pub namespace: String,
    /// Counts up for every new sandbox of the same pod.
    pub attempt: u32,
}

/// All that is needed to make a sandbox.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SandboxConfig {
    /// The pod, and the attempt at its sandbox.
    pub metadata: SandboxMetadata,
    /// Host name inside; empty for a pod in the node's network.
    pub hostname: String,
    /// Directory that container `log_path`s are relative to.
    pub log_directory: PathBuf,
    /// Contents of `/etc/resolv.conf`; `None` gives the node's own file.
    pub dns_config: Option<DnsConfig>,
    /// Host ports to map.
    pub port_mappings: Vec<PortMapping>,
    /// Labels to find it by.
    pub labels: Labels,
    /// Annotations to keep.
    pub annotations: Labels,
    /// Linux options.
    pub linux: LinuxSandboxConfig,
}

/// Linux part of a [`SandboxConfig`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LinuxSandboxConfig {
    /// Cgroup of the pod, relative to the hierarchy's root, such as `/kubepods/burstable/pod<uid>`.
    pub cgroup_parent: String,
    /// Namespaces the pod shares with the node or among its containers.
    pub namespaces: NamespaceOptions,
    /// True if a container of it may be privileged.
    pub privileged: bool,
    /// Seccomp profile of the sandbox's own process.
    pub seccomp: Seccomp,
    /// Namespaced kernel parameters, such as `net.core.somaxconn`.
    pub sysctls: Labels,
    /// Limits of the whole pod, set on `cgroup_parent`; `None` leaves that cgroup to the caller.
    pub resources: Option<super::Resources>,
}

/// Resolver configuration of a pod.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DnsConfig {
    /// `nameserver` lines.
    pub servers: Vec<String>,
    /// `search` list.
    pub searches: Vec<String>,
    /// `options` list, such as `ndots:5`.
    pub options: Vec<String>,
}

/// Transport protocol of a port.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

/// A host port mapped into the sandbox.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PortMapping {
    /// Transport protocol.
    pub protocol: Protocol,
    /// Port inside the pod.
    pub container_port: u16,
    /// Port on the node.
    pub host_port: u16,
    /// Node address to listen on; `None` means all.
    pub host_ip: Option<IpAddr>,
}

/// State of a sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SandboxState {
    /// Its namespaces and network are there.
    Ready,
    /// It was stopped, or lost its namespaces.
    NotReady,
}

/// The status of a sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SandboxStatus {
    /// Its id.
    pub id: String,
    /// The pod, and the attempt at its sandbox.
    pub metadata: SandboxMetadata,
    /// Ready if it can hold containers.
    pub state: SandboxState,
    /// When it was made.
    pub created_at: Timestamp,
    /// Addresses, the primary one first; empty in the node's network.
    pub ips: Vec<IpAddr>,
    /// Namespaces it was made with.
    pub namespaces: NamespaceOptions,
    /// Its labels.
    pub labels: Labels,
    /// Its annotations.
    pub annotations: Labels,
}

/// Which sandboxes to list; every given part must match.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SandboxFilter {
    /// Id or a prefix of it.
    pub id: Option<String>,
    /// State.
    pub state: Option<SandboxState>,
    /// Labels it must have.
    pub labels: Labels,
}

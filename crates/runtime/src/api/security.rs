//! Privileges, identity and namespaces.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Whose namespace a container lives in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum NamespaceMode {
    /// The pod's.
    #[default]
    Pod,
    /// Its own.
    Container,
    /// The node's.
    Node,
    /// That of the container with this id (ephemeral containers).
    Target(String),
}

/// Namespace choices of a pod or container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NamespaceOptions {
    /// Network: `Pod` or `Node`.
    pub network: NamespaceMode,
    /// Process ids: any mode; `Container` is the default.
    pub pid: NamespaceMode,
    /// Inter-process communication and `/dev/shm`: `Pod` or `Node`.
    pub ipc: NamespaceMode,
    /// The pod's user namespace; `None` is the node's.
    pub user: Option<UserNamespace>,
}

/// A range of ids of the node that are other ids in a user namespace.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IdMapping {
    /// First id on the node.
    pub host_id: u32,
    /// First id inside.
    pub container_id: u32,
    /// How many.
    pub length: u32,
}

/// Which ids a user namespace has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserNamespace {
    /// Of users.
    pub uids: Vec<IdMapping>,
    /// Of groups.
    pub gids: Vec<IdMapping>,
}

impl UserNamespace {
    /// The node's user and group that root inside is mapped to; `None` if it is mapped to nobody.
    #[must_use]
    pub fn root(&self) -> Option<(u32, u32)> {
        let of = |list: &[IdMapping]| {
            let mapping = list.iter().find(|mapping| mapping.container_id == 0)?;
            (mapping.length > 0 && mapping.host_id > 0).then_some(mapping.host_id)
        };
        Some((of(&self.uids)?, of(&self.gids)?))
    }
}

impl Default for NamespaceOptions {
    fn default() -> Self {
        Self {
            network: NamespaceMode::Pod,
            pid: NamespaceMode::Container,
            ipc: NamespaceMode::Pod,
            user: None,
        }
    }
}

/// Seccomp profile.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Seccomp {
    /// No filter.
    #[default]
    Unconfined,
    /// The runtime's allow-list.
    RuntimeDefault,
    /// An OCI seccomp profile in a file of the node.
    Localhost(PathBuf),
}

/// How supplementary groups come about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SupplementalGroupsPolicy {
    /// Those given and those the image's `/etc/group` has for the user.
    #[default]
    Merge,
    /// Only those given.
    Strict,
}

/// Privileges and identity of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SecurityContext {
    /// Capabilities to add, with or without `CAP_`; `ALL` means all.
    pub add_capabilities: Vec<String>,
    /// Capabilities to drop; `ALL` means all.
    pub drop_capabilities: Vec<String>,
    /// All capabilities, all devices, no masks, no seccomp.
    pub privileged: bool,
    /// Namespaces.
    pub namespaces: NamespaceOptions,
    /// User id; wins over `run_as_username`.
    pub run_as_user: Option<i64>,
    /// User name in the image's `/etc/passwd`. With neither, the image's user.
    pub run_as_username: String,
    /// Group id; needs a user.
    pub run_as_group: Option<i64>,
    /// Supplementary groups.
    pub supplemental_groups: Vec<i64>,
    /// How they combine with the image's.
    pub supplemental_groups_policy: SupplementalGroupsPolicy,
    /// Mount the root file system read-only.
    pub readonly_rootfs: bool,
    /// Set `no_new_privs`.
    pub no_new_privs: bool,
    /// Seccomp profile.
    pub seccomp: Seccomp,
    /// Paths to hide.
    pub masked_paths: Vec<PathBuf>,
    /// Paths to make read-only.
    pub readonly_paths: Vec<PathBuf>,
}

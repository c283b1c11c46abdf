//! Images.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Labels;

/// Credentials for a registry.
#[derive(Clone, PartialEq, Eq)]
pub enum RegistryAuth {
    /// User name and password.
    Basic {
        /// User name.
        username: String,
        /// Password or token.
        password: String,
    },
    /// A bearer token for the registry itself.
    Bearer(String),
}

impl std::fmt::Debug for RegistryAuth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RegistryAuth(..)")
    }
}

/// Result of a pull.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PulledImage {
    /// Image id: digest of its configuration, `sha256:...`.
    pub id: String,
    /// Manifest digest, `sha256:...`.
    pub digest: String,
    /// Bytes that came over the wire; zero where everything was present.
    pub fetched_bytes: u64,
}

/// An image that is present.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Image {
    /// Digest of its configuration, `sha256:...`.
    pub id: String,
    /// Names with a tag, normalised, such as `docker.io/library/busybox:1.36`.
    pub repo_tags: Vec<String>,
    /// Names with a digest.
    pub repo_digests: Vec<String>,
    /// Size of its compressed layers and configuration in bytes.
    pub size: u64,
    /// Never removed by garbage collection.
    pub pinned: bool,
    /// The image's defaults for its containers.
    pub config: ImageConfig,
}

/// An image's defaults for its containers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ImageConfig {
    /// User as `user`, `uid`, `user:group` or `uid:gid`; empty means root.
    pub user: String,
    /// Environment as `NAME=value`.
    pub env: Vec<String>,
    /// Entrypoint.
    pub entrypoint: Vec<String>,
    /// Default arguments.
    pub cmd: Vec<String>,
    /// Working directory; empty means `/`.
    pub working_dir: String,
    /// Signal that stops it; empty means `SIGTERM`.
    pub stop_signal: String,
    /// Labels.
    pub labels: Labels,
    /// Paths that want a volume.
    pub volumes: Vec<PathBuf>,
}

/// Space used on a file system.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FilesystemUsage {
    /// A directory on it.
    pub mountpoint: PathBuf,
    /// Bytes the images take.
    pub image_bytes: u64,
    /// Bytes the writable layers and the runtime's state take.
    pub container_bytes: u64,
    /// Inodes used by images and containers.
    pub inodes_used: u64,
    /// Size of the whole file system in bytes.
    pub capacity_bytes: u64,
    /// Free bytes on the file system.
    pub available_bytes: u64,
    /// Inodes of the whole file system.
    pub inodes: u64,
    /// Free inodes.
    pub inodes_free: u64,
}

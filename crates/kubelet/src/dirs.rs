//! Where a kubelet keeps its files.

use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Pod;

use crate::pod::{name, namespace, uid};

/// Where a pod's volumes are in its directory.
pub(crate) const VOLUMES: &str = "volumes";
/// Where single paths of volumes are mounted in a pod's directory.
pub(crate) const SUBPATHS: &str = "volume-subpaths";

/// The kubelet's directory tree.
#[derive(Clone, Debug)]
pub(crate) struct Dirs {
    root: PathBuf,
}

impl Dirs {
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// The tree itself.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Directories of all pods, one per uid.
    pub(crate) fn pods(&self) -> PathBuf {
        self.root.join("pods")
    }

    pub(crate) fn pod(&self, uid: &str) -> PathBuf {
        self.pods().join(uid)
    }

    /// Directory of one volume; `plugin` such as `kubernetes.io~empty-dir`.
    pub(crate) fn volume(&self, uid: &str, plugin: &str, volume: &str) -> PathBuf {
        self.pod(uid).join(VOLUMES).join(plugin).join(volume)
    }

    /// Bind mounts of single paths within volumes.
    pub(crate) fn subpath(
        &self,
        uid: &str,
        volume: &str,
        container: &str,
        index: usize,
    ) -> PathBuf {
        self.pod(uid).join(SUBPATHS).join(volume).join(container).join(index.to_string())
    }

    /// The pod's `/etc/hosts`.
    pub(crate) fn hosts(&self, uid: &str) -> PathBuf {
        self.pod(uid).join("etc-hosts")
    }

    /// The file in which one instance of a container leaves its last words.
    pub(crate) fn termination_log(&self, uid: &str, container: &str, attempt: u32) -> PathBuf {
        self.pod(uid).join(format!("{container}.{attempt}.termination"))
    }

    /// Checkpoint of the resources that a pod and its containers have been given.
    pub(crate) fn resources(&self, uid: &str) -> PathBuf {
        self.pod(uid).join("resources.json")
    }

    /// The ids of a pod's user namespace.
    pub(crate) fn user_namespace(&self, uid: &str) -> PathBuf {
        self.pod(uid).join("userns")
    }

    /// Records of images that were pulled, and with whose credentials.
    pub(crate) fn image_manager(&self) -> PathBuf {
        self.root.join("image_manager")
    }

    /// Memory-backed directory for secrets and tokens of all pods.
    pub(crate) fn volatile(&self) -> PathBuf {
        self.root.join("volatile")
    }

    /// Log directories of all pods.
    pub(crate) fn logs(&self) -> PathBuf {
        self.root.join("logs").join("pods")
    }

    /// Log directory of one pod.
    pub(crate) fn pod_logs(&self, pod: &Pod) -> PathBuf {
        self.logs().join(format!("{}_{}_{}", namespace(pod), name(pod), uid(pod)))
    }

    /// Seccomp profiles that pods name with `localhostProfile`.
    pub(crate) fn seccomp(&self) -> PathBuf {
        self.root.join("seccomp")
    }
}

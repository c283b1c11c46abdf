//! Containers: configuration and state.

use std::collections::BTreeMap;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Labels, SecurityContext};

/// Identifies a container within its sandbox.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerMetadata {
    /// Container name.
    pub name: String,
    /// Counts restarts.
    pub attempt: u32,
}

/// All that is needed to create a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerConfig {
    /// Its name and attempt.
    pub metadata: ContainerMetadata,
    /// Image id, tag or digest; must be present.
    pub image: String,
    /// Replaces the image's entrypoint where not empty.
    pub command: Vec<String>,
    /// Replaces the image's arguments where `command` or `args` is not empty.
    pub args: Vec<String>,
    /// Working directory; empty means the image's.
    pub working_dir: String,
    /// Environment, on top of the image's.
    pub envs: Vec<(String, String)>,
    /// Mounts from the node.
    pub mounts: Vec<Mount>,
    /// Devices of the node to give.
    pub devices: Vec<Device>,
    /// Labels to find it by.
    pub labels: Labels,
    /// Annotations to keep.
    pub annotations: Labels,
    /// Log file relative to the sandbox's `log_directory`; empty keeps no log.
    pub log_path: PathBuf,
    /// Keep standard input open for attach.
    pub stdin: bool,
    /// Close standard input when the first attached session ends.
    pub stdin_once: bool,
    /// Give it a terminal.
    pub tty: bool,
    /// Limits.
    pub resources: Resources,
    /// Privileges and identity.
    pub security: SecurityContext,
    /// Signal that stops it, such as `SIGTERM` or `15`; empty means the image's, else `SIGTERM`.
    pub stop_signal: String,
}

/// Mount propagation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Propagation {
    /// None either way.
    #[default]
    Private,
    /// The node's new mounts appear in the container.
    HostToContainer,
    /// Both ways; for privileged containers.
    Bidirectional,
}

/// A file or directory of the node seen in a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Mount {
    /// Path inside.
    pub container_path: PathBuf,
    /// Path on the node; made as a directory where it is absent. Without meaning for an image.
    pub host_path: PathBuf,
    /// Id of an image whose files are mounted instead, read-only; empty for a path of the node.
    pub image: String,
    /// Path within that image; empty for all of it.
    pub image_sub_path: PathBuf,
    /// Read-only.
    pub readonly: bool,
    /// Read-only also for mounts below it; needs `readonly`.
    pub recursive_readonly: bool,
    /// Propagation.
    pub propagation: Propagation,
}

/// A device node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Device {
    /// Path inside.
    pub container_path: PathBuf,
    /// Path on the node.
    pub host_path: PathBuf,
    /// Any of `r`, `w`, `m`.
    pub permissions: String,
}

/// Limits of a container or a pod. `None` leaves a limit as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Resources {
    /// CPU period in microseconds.
    pub cpu_period: Option<u64>,
    /// CPU time per period in microseconds; negative means unlimited.
    pub cpu_quota: Option<i64>,
    /// Relative CPU weight, 2 to 262144 (cgroup v1 scale).
    pub cpu_shares: Option<u64>,
    /// Memory limit in bytes; negative means unlimited.
    pub memory_limit: Option<i64>,
    /// Memory and swap limit in bytes (cgroup v1 meaning); negative means unlimited.
    pub memory_swap_limit: Option<i64>,
    /// Bias of the out-of-memory killer, -1000 to 1000.
    pub oom_score_adj: Option<i32>,
    /// CPUs it may use, as `0-3,7`.
    pub cpuset_cpus: Option<String>,
    /// Memory nodes it may use.
    pub cpuset_mems: Option<String>,
    /// Process limit; negative means unlimited.
    pub pids_limit: Option<i64>,
    /// Huge page limits in bytes by page size, such as `2MB`.
    pub hugepage_limits: BTreeMap<String, u64>,
    /// Further cgroup v2 files by name.
    pub unified: BTreeMap<String, String>,
}

impl Resources {
    /// Takes over what `new` sets.
    pub fn merge(&mut self, new: Self) {
        macro_rules! take {
            ($($field:ident)*) => {$(
                if new.$field.is_some() {
                    self.$field = new.$field;
                }
            )*};
        }
        take!(cpu_period cpu_quota cpu_shares memory_limit memory_swap_limit oom_score_adj);
        take!(cpuset_cpus cpuset_mems pids_limit);
        self.hugepage_limits.extend(new.hugepage_limits);
        self.unified.extend(new.unified);
    }
}

/// State of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ContainerState {
    /// Made, never started.
    Created,
    /// Its process runs.
    Running,
    /// Its process has exited.
    Exited,
    /// Its state could not be read.
    Unknown,
}

/// The status of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerStatus {
    /// Its id.
    pub id: String,
    /// The sandbox it is in.
    pub sandbox_id: String,
    /// Its name and attempt.
    pub metadata: ContainerMetadata,
    /// Its state.
    pub state: ContainerState,
    /// When it was created.
    pub created_at: Timestamp,
    /// When its process started.
    pub started_at: Option<Timestamp>,
    /// When its process exited.
    pub finished_at: Option<Timestamp>,
    /// Exit code, 128 + signal for a killed process; meaningful once exited.
    pub exit_code: i32,
    /// `Completed`, `Error`, `OOMKilled`, `StartError` or `ContainerStatusUnknown`; empty before
    /// it exited.
    pub reason: String,
    /// Human readable detail, as with `StartError`.
    pub message: String,
    /// Image as it was asked for.
    pub image: String,
    /// Image by digest where it has one, else by id.
    pub image_ref: String,
    /// Image id, `sha256:...`.
    pub image_id: String,
    /// Its mounts.
    pub mounts: Vec<Mount>,
    /// Absolute path of its log file; empty where it keeps none.
    pub log_path: PathBuf,
    /// Limits in force.
    pub resources: Resources,
    /// User, primary and supplementary groups its process was started with.
    pub user: Option<ProcessUser>,
    /// The signal that stops it.
    pub stop_signal: String,
    /// Its labels.
    pub labels: Labels,
    /// Its annotations.
    pub annotations: Labels,
}

/// Numeric identity of a process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessUser {
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Supplementary group ids.
    pub supplemental_groups: Vec<u32>,
}

/// Which containers to list; every given part must match.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContainerFilter {
    /// Id or a prefix of it.
    pub id: Option<String>,
    /// State.
    pub state: Option<ContainerState>,
    /// The sandbox it is in.
    pub sandbox_id: Option<String>,
    /// Labels it must have.
    pub labels: Labels,
}

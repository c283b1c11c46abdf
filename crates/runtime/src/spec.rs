//! The shim's instructions for one container. Everything is resolved but the names that only the
//! image's own files can resolve.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::api::{Device, Mount, ProcessUser, SupplementalGroupsPolicy};

/// File of the spec in a container's directory.
pub(crate) const SPEC_FILE: &str = "spec.json";
/// File the shim writes once the process runs.
pub(crate) const RUN_FILE: &str = "run.json";
/// File the shim writes once the process has exited.
pub(crate) const EXIT_FILE: &str = "exit.json";
/// Socket the shim serves attach on.
pub(crate) const SOCKET_FILE: &str = "shim.sock";

/// Directory in memory in the runtime's data directory.
pub(crate) const VOLATILE: &str = "volatile";
/// Directory in that on which every container mounts its root, in a mount namespace of its own. That
/// its mounts do not reach the node is a property of the mount it is in, which therefore has nothing
/// else in it that a container may share.
pub(crate) const ROOT_MOUNT: &str = "rootfs";
/// Directory in the same that a shim has for itself while it sets a container up.
pub(crate) const STAGING: &str = "staging";

/// One container, for the shim.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Spec {
    /// The runtime's data directory; `layers` and the overlay directories are relative to it.
    pub(crate) data_dir: PathBuf,
    /// Container directory relative to `data_dir`.
    pub(crate) container_dir: PathBuf,
    /// Unpacked layers relative to `data_dir`, the topmost first.
    pub(crate) layers: Vec<PathBuf>,
    pub(crate) process: Process,
    pub(crate) namespaces: Namespaces,
    pub(crate) mounts: Vec<Mount>,
    #[serde(default)]
    pub(crate) images: Vec<ImageMount>,
    /// Directory that becomes `/dev/shm`.
    pub(crate) shm: PathBuf,
    pub(crate) devices: Vec<Device>,
    pub(crate) readonly_rootfs: bool,
    pub(crate) masked_paths: Vec<PathBuf>,
    pub(crate) readonly_paths: Vec<PathBuf>,
    /// Directories of the container's cgroup, one per hierarchy.
    pub(crate) cgroups: Vec<PathBuf>,
    pub(crate) oom_score_adj: i32,
    pub(crate) stdin: bool,
    pub(crate) stdin_once: bool,
    /// Log file; `None` keeps no log.
    pub(crate) log: Option<PathBuf>,
}

/// The process and its user; exec in the container starts from the same.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Process {
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) cwd: String,
    pub(crate) user: UserSpec,
    pub(crate) terminal: bool,
    pub(crate) privileged: bool,
    /// Bit per capability.
    pub(crate) capabilities: u64,
    pub(crate) no_new_privs: bool,
    pub(crate) seccomp: Option<SeccompProfile>,
}

/// The process's user, before the image's user database is read.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct UserSpec {
    /// `user`, `uid`, `user:group` or `uid:gid`; empty means root.
    pub(crate) user: String,
    /// Wins over the group of `user`.
    pub(crate) gid: Option<u32>,
    pub(crate) supplemental_groups: Vec<u32>,
    pub(crate) policy: SupplementalGroupsPolicy,
}

/// Namespaces to enter; `None` stays in the node's, except for mount, which is always new.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Namespaces {
    pub(crate) network: Option<PathBuf>,
    pub(crate) ipc: Option<PathBuf>,
    pub(crate) uts: Option<PathBuf>,
    pub(crate) pid: PidNamespace,
    pub(crate) user: Option<Users>,
}

/// The pod's user namespace.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Users {
    /// Where it is pinned.
    pub(crate) path: PathBuf,
    /// The node's user and group that root inside is mapped to.
    pub(crate) root_uid: u32,
    pub(crate) root_gid: u32,
}

/// An image mounted in a container.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ImageMount {
    pub(crate) container_path: PathBuf,
    /// Unpacked layers relative to the data directory, the topmost first.
    pub(crate) layers: Vec<PathBuf>,
    pub(crate) sub_path: PathBuf,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) enum PidNamespace {
    #[default]
    New,
    Node,
    /// That of a process.
    Of(PathBuf),
}

/// A seccomp profile after its conditions on capabilities and architecture were decided.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct SeccompProfile {
    pub(crate) default: SeccompAction,
    pub(crate) rules: Vec<SeccompRule>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) enum SeccompAction {
    Allow,
    Errno(u32),
    #[default]
    KillProcess,
    KillThread,
    Trap,
    Log,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SeccompRule {
    pub(crate) names: Vec<String>,
    pub(crate) action: SeccompAction,
    /// All must hold; none means always.
    pub(crate) args: Vec<SeccompArg>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SeccompArg {
    pub(crate) index: u8,
    pub(crate) op: SeccompOp,
    pub(crate) value: u64,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum SeccompOp {
    Ne,
    Lt,
    Le,
    Eq,
    Ge,
    Gt,
    /// `argument & mask == value`.
    Masked(u64),
}

/// The shim's report once the process runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Running {
    pub(crate) shim: ProcessId,
    pub(crate) process: ProcessId,
    pub(crate) started_at: Timestamp,
    pub(crate) user: ProcessUser,
}

/// The shim's report once the process has exited.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Exited {
    pub(crate) finished_at: Timestamp,
    pub(crate) exit_code: i32,
    pub(crate) oom_killed: bool,
    /// Why it could not start, where it never ran.
    pub(crate) start_error: Option<String>,
}

/// A process id that cannot be mistaken for a later process with the same number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProcessId {
    pub(crate) pid: i32,
    /// Start time in clock ticks since boot.
    pub(crate) start: u64,
    pub(crate) boot_id: String,
}

/// First answer of the shim on its control socket.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum StartReply {
    Started(Running),
    Failed { message: String, exit_code: i32 },
}

/// The request to the exec helper; three descriptors travel with it unless `terminal`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ExecSpec {
    pub(crate) target: ProcessId,
    pub(crate) cgroups: Vec<PathBuf>,
    pub(crate) process: Process,
    pub(crate) oom_score_adj: i32,
    pub(crate) users: Option<Users>,
}

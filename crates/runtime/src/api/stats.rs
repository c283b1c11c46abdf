//! Resource usage.

use jiff::Timestamp;

use super::{ContainerMetadata, SandboxMetadata};

/// How often a cgroup was held back because it had used its share of CPU, since start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Throttling {
    /// Periods that were enforced.
    pub periods: u64,
    /// Of them, those in which it was held back.
    pub throttled_periods: u64,
    /// For how long, in nanoseconds.
    pub throttled_nanos: u64,
}

/// Bytes read from and written to a block device since start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DiskUsage {
    /// The device, such as `/dev/sda`.
    pub device: String,
    /// Bytes read.
    pub read_bytes: u64,
    /// Bytes written.
    pub write_bytes: u64,
    /// Reads.
    pub reads: u64,
    /// Writes.
    pub writes: u64,
}

/// CPU and memory at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// When it was read.
    pub timestamp: Timestamp,
    /// CPU time since start, in nanoseconds.
    pub cpu_usage_nanos: u64,
    /// Memory that cannot be reclaimed at once, in bytes: usage less inactive file pages.
    pub memory_working_set: u64,
    /// Memory charged, in bytes.
    pub memory_usage: u64,
    /// Anonymous memory, in bytes.
    pub memory_rss: u64,
    /// Minor and major page faults since start.
    pub page_faults: u64,
    /// Major page faults since start.
    pub major_page_faults: u64,
    /// The memory limit in bytes; `None` where unlimited.
    pub memory_limit: Option<u64>,
    /// Tasks.
    pub pids: u64,
    /// Pages of files, in bytes; `None` where the runtime does not say.
    pub memory_cache: Option<u64>,
    /// Memory that is swapped out, in bytes; `None` where the runtime does not say.
    pub memory_swap: Option<u64>,
    /// `None` where the runtime does not say.
    pub throttling: Option<Throttling>,
    /// By block device; empty where the runtime does not say.
    pub disks: Vec<DiskUsage>,
}

/// Usage of one container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerStats {
    /// Its id.
    pub id: String,
    /// Its name.
    pub metadata: ContainerMetadata,
    /// CPU and memory.
    pub usage: Usage,
    /// Bytes in its writable layer.
    pub writable_layer_bytes: u64,
    /// Inodes in its writable layer.
    pub writable_layer_inodes: u64,
}

/// Usage of one sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SandboxStats {
    /// Its id.
    pub id: String,
    /// Its name.
    pub metadata: SandboxMetadata,
    /// CPU and memory of the whole pod.
    pub usage: Usage,
    /// Traffic of the pod's interface; `None` in the node's network.
    pub network: Option<NetworkUsage>,
    /// Its running containers.
    pub containers: Vec<ContainerStats>,
}

/// Traffic of an interface.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NetworkUsage {
    /// Interface name.
    pub interface: String,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Receive errors.
    pub rx_errors: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Send errors.
    pub tx_errors: u64,
    /// Packets received, sent, and dropped on the way in and out; `None` where the runtime does not
    /// say.
    pub packets: Option<Packets>,
}

/// Packets of an interface.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Packets {
    /// Received.
    pub rx: u64,
    /// Dropped on the way in.
    pub rx_dropped: u64,
    /// Sent.
    pub tx: u64,
    /// Dropped on the way out.
    pub tx_dropped: u64,
}

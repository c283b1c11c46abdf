//! Resource usage.

use jiff::Timestamp;

use super::time;
use crate::cri::proto;
use crate::{
    ContainerMetadata, ContainerStats, NetworkUsage, SandboxMetadata, SandboxStats, Usage,
};

fn value(value: Option<proto::UInt64Value>) -> u64 {
    value.map(|value| value.value).unwrap_or_default()
}

fn usage(
    cpu: Option<proto::CpuUsage>,
    memory: Option<proto::MemoryUsage>,
    process: Option<proto::ProcessUsage>,
) -> Usage {
    let (cpu, memory) = (cpu.unwrap_or_default(), memory.unwrap_or_default());
    let (used, available) = (value(memory.usage_bytes), memory.available_bytes);
    let working_set = value(memory.working_set_bytes);
    Usage {
        timestamp: time(cpu.timestamp.max(memory.timestamp)).unwrap_or_else(Timestamp::now),
        cpu_usage_nanos: value(cpu.usage_core_nano_seconds),
        memory_working_set: working_set,
        memory_usage: used,
        memory_rss: value(memory.rss_bytes),
        page_faults: value(memory.page_faults),
        major_page_faults: value(memory.major_page_faults),
        // Available is defined as the limit less the working set.
        memory_limit: available
            .filter(|available| available.value > 0)
            .map(|available| available.value.saturating_add(working_set)),
        pids: process.map(|process| value(process.process_count)).unwrap_or_default(),
        memory_cache: None,
        memory_swap: None,
        throttling: None,
        disks: Vec::new(),
    }
}

pub(in crate::cri) fn container_stats(stats: proto::ContainerStats) -> ContainerStats {
    let attributes = stats.attributes.unwrap_or_default();
    let metadata = attributes.metadata.unwrap_or_default();
    let layer = stats.writable_layer.unwrap_or_default();
    ContainerStats {
        id: attributes.id,
        metadata: ContainerMetadata { name: metadata.name, attempt: metadata.attempt },
        usage: usage(stats.cpu, stats.memory, None),
        writable_layer_bytes: value(layer.used_bytes),
        writable_layer_inodes: value(layer.inodes_used),
    }
}

pub(in crate::cri) fn sandbox_stats(stats: proto::PodSandboxStats) -> SandboxStats {
    let attributes = stats.attributes.unwrap_or_default();
    let metadata = attributes.metadata.unwrap_or_default();
    let linux = stats.linux.unwrap_or_default();
    let interface = linux.network.and_then(|network| network.default_interface);
    SandboxStats {
        id: attributes.id,
        metadata: SandboxMetadata {
            name: metadata.name,
            uid: metadata.uid,
            namespace: metadata.namespace,
            attempt: metadata.attempt,
        },
        usage: usage(linux.cpu, linux.memory, linux.process),
        network: interface.map(|interface| NetworkUsage {
            interface: interface.name,
            rx_bytes: value(interface.rx_bytes),
            rx_errors: value(interface.rx_errors),
            tx_bytes: value(interface.tx_bytes),
            tx_errors: value(interface.tx_errors),
            packets: None,
        }),
        containers: linux.containers.into_iter().map(container_stats).collect(),
    }
}

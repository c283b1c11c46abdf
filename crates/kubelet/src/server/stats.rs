//! `/stats/summary`: usage of the node and its pods.

use runtime::{SandboxStats, Usage};
use serde_json::{Value, json};

use super::{Answer, json as answer, metrics};
use crate::context::Context;
use crate::machine::available_memory;
use crate::pod::{name, namespace, uid};

pub(super) async fn summary(context: &Context) -> Answer {
    let all = metrics::usage(context).await;
    let pods = context.pods.store().list();
    let now = k8s_openapi::jiff::Timestamp::now().to_string();
    let (cpu, memory) = node_usage(&all);
    let filesystem = context.runtime.image_fs_info().await.ok().map(|usage| {
        json!({
            "time": now, "availableBytes": usage.available_bytes,
            "capacityBytes": usage.capacity_bytes,
            "usedBytes": usage.image_bytes + usage.container_bytes,
            "inodesFree": usage.inodes_free, "inodes": usage.inodes,
            "inodesUsed": usage.inodes_used,
        })
    });
    let pods: Vec<Value> = all
        .iter()
        .filter_map(|(id, stats)| {
            let pod = pods.iter().find(|pod| uid(pod) == id)?;
            let containers: Vec<Value> = stats
                .containers
                .iter()
                .map(|container| {
                    let mut value = usage(&container.usage);
                    value["name"] = container.metadata.name.clone().into();
                    value["rootfs"] = json!({"time": now,
                        "usedBytes": container.writable_layer_bytes,
                        "inodesUsed": container.writable_layer_inodes});
                    value
                })
                .collect();
            let mut value = usage(&stats.usage);
            value["podRef"] =
                json!({"name": name(pod), "namespace": namespace(pod), "uid": uid(pod)});
            value["startTime"] = json!(crate::pod::status(pod).start_time);
            value["containers"] = containers.into();
            if let Some(network) = &stats.network {
                value["network"] = json!({
                    "time": now, "name": network.interface,
                    "rxBytes": network.rx_bytes, "rxErrors": network.rx_errors,
                    "txBytes": network.tx_bytes, "txErrors": network.tx_errors,
                });
            }
            Some(value)
        })
        .collect();
    answer(&json!({
        "node": {
            "nodeName": context.config.node_name,
            "cpu": {"time": now, "usageCoreNanoSeconds": cpu},
            "memory": {
                "time": now, "workingSetBytes": memory, "availableBytes": available_memory(),
            },
            "fs": filesystem,
        },
        "pods": pods,
    }))
}

fn usage(usage: &Usage) -> Value {
    let time = usage.timestamp.to_string();
    json!({
        "cpu": {"time": time, "usageCoreNanoSeconds": usage.cpu_usage_nanos},
        "memory": {
            "time": time, "usageBytes": usage.memory_usage,
            "workingSetBytes": usage.memory_working_set, "rssBytes": usage.memory_rss,
            "pageFaults": usage.page_faults, "majorPageFaults": usage.major_page_faults,
            "availableBytes": usage.memory_limit
                .map(|limit| limit.saturating_sub(usage.memory_working_set)),
        },
        "process_stats": {"process_count": usage.pids},
    })
}

/// What all pods together use: CPU nanoseconds and bytes.
pub(super) fn node_usage(all: &[(String, SandboxStats)]) -> (u64, u64) {
    let sum = |of: fn(&Usage) -> u64| all.iter().map(|(_, stats)| of(&stats.usage)).sum();
    (sum(|usage| usage.cpu_usage_nanos), sum(|usage| usage.memory_working_set))
}

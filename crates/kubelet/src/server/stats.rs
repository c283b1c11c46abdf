//! `/stats/summary`: usage of the node and its pods.

use std::collections::HashMap;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use parking_lot::Mutex;
use runtime::{SandboxStats, Usage};
use serde_json::{Value, json};

use super::{Answer, json as answer, metrics};
use crate::context::Context;
use crate::machine::available_memory;
use crate::pod::{name, namespace, uid};

/// How long CPU is watched if there is no earlier sample.
const WINDOW: Duration = Duration::from_millis(250);
/// An older sample is stale, and a newer one too close, to compute a rate from.
const OLDEST: Duration = Duration::from_secs(60);
const YOUNGEST: Duration = Duration::from_millis(100);

/// CPU time that was read before, by container, pod and node: from it and the present one follows
/// how much is used now.
#[derive(Default)]
pub(crate) struct Rates(Mutex<HashMap<String, Sample>>);

struct Sample {
    at: Timestamp,
    nanos: u64,
    /// The rate that it gave.
    rate: Option<u64>,
}

const NODE: &str = "";

impl Rates {
    /// Nanoseconds of CPU time per second, if something was read at the right time before.
    fn of(&self, id: &str, usage: &Usage) -> Option<u64> {
        let mut samples = self.0.lock();
        let (at, nanos) = (usage.timestamp, usage.cpu_usage_nanos);
        let Some(last) = samples.get_mut(id) else {
            samples.insert(id.to_owned(), Sample { at, nanos, rate: None });
            return None;
        };
        let passed = Duration::try_from(at.duration_since(last.at)).unwrap_or_default();
        if passed < YOUNGEST && last.rate.is_some() {
            return last.rate;
        }
        let rate = match nanos.checked_sub(last.nanos) {
            Some(used) if (YOUNGEST..OLDEST).contains(&passed) => {
                Some((used as f64 / passed.as_secs_f64()) as u64)
            }
            _ => None,
        };
        *last = Sample { at, nanos, rate };
        rate
    }

    /// Returns true if everything would have a rate.
    fn know(&self, all: &[(String, SandboxStats)], now: Timestamp) -> bool {
        let samples = self.0.lock();
        let known = |id: &str| {
            samples.get(id).is_some_and(|sample| {
                Duration::try_from(now.duration_since(sample.at)).unwrap_or_default() < OLDEST
            })
        };
        known(NODE) && ids(all).all(known)
    }

    /// Forgets samples of pods and containers that are gone.
    fn keep(&self, all: &[(String, SandboxStats)]) {
        self.0.lock().retain(|known, _| known == NODE || ids(all).any(|id| id == known));
    }
}

fn ids(all: &[(String, SandboxStats)]) -> impl Iterator<Item = &str> {
    let containers = all.iter().flat_map(|(_, stats)| &stats.containers);
    all.iter().map(|(id, _)| id.as_str()).chain(containers.map(|c| c.id.as_str()))
}

pub(super) async fn summary(context: &Context) -> Answer {
    let rates = &context.rates;
    let (mut all, _) = metrics::usage(context).await;
    rates.keep(&all);
    if !rates.know(&all, Timestamp::now()) {
        for (id, usage) in each(&all) {
            rates.of(id, usage);
        }
        rates.of(NODE, &node(&all));
        tokio::time::sleep(WINDOW).await;
        (all, _) = metrics::usage(context).await;
    }
    let pods = context.pods.store().list();
    let now = Timestamp::now().to_string();
    let node = node(&all);
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
                    let rate = rates.of(&container.id, &container.usage);
                    let mut value = usage(&container.usage, rate);
                    value["name"] = container.metadata.name.clone().into();
                    value["rootfs"] = json!({"time": now,
                        "usedBytes": container.writable_layer_bytes,
                        "inodesUsed": container.writable_layer_inodes});
                    value
                })
                .collect();
            let mut value = usage(&stats.usage, rates.of(id, &stats.usage));
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
            "cpu": cpu(&node, rates.of(NODE, &node)),
            "memory": {
                "time": now, "workingSetBytes": node.memory_working_set,
                "usageBytes": node.memory_usage, "rssBytes": node.memory_rss,
                "availableBytes": available_memory(),
            },
            "fs": filesystem,
        },
        "pods": pods,
    }))
}

/// Every pod's and container's usage, by its id.
fn each(all: &[(String, SandboxStats)]) -> impl Iterator<Item = (&str, &Usage)> {
    let pods = all.iter().map(|(id, stats)| (id.as_str(), &stats.usage));
    let containers = all.iter().flat_map(|(_, stats)| &stats.containers);
    pods.chain(containers.map(|container| (container.id.as_str(), &container.usage)))
}

fn cpu(usage: &Usage, rate: Option<u64>) -> Value {
    let time = usage.timestamp.to_string();
    let mut cpu = json!({"time": time, "usageCoreNanoSeconds": usage.cpu_usage_nanos});
    if let Some(rate) = rate {
        cpu["usageNanoCores"] = rate.into();
    }
    cpu
}

fn usage(usage: &Usage, rate: Option<u64>) -> Value {
    json!({
        "cpu": cpu(usage, rate),
        "memory": {
            "time": usage.timestamp.to_string(), "usageBytes": usage.memory_usage,
            "workingSetBytes": usage.memory_working_set, "rssBytes": usage.memory_rss,
            "pageFaults": usage.page_faults, "majorPageFaults": usage.major_page_faults,
            "availableBytes": usage.memory_limit
                .map(|limit| limit.saturating_sub(usage.memory_working_set)),
        },
        "process_stats": {"process_count": usage.pids},
    })
}

/// The usage of all pods together.
pub(super) fn node(all: &[(String, SandboxStats)]) -> Usage {
    let sum = |of: fn(&Usage) -> u64| all.iter().map(|(_, stats)| of(&stats.usage)).sum();
    Usage {
        timestamp: Timestamp::now(),
        cpu_usage_nanos: sum(|usage| usage.cpu_usage_nanos),
        memory_working_set: sum(|usage| usage.memory_working_set),
        memory_usage: sum(|usage| usage.memory_usage),
        memory_rss: sum(|usage| usage.memory_rss),
        page_faults: sum(|usage| usage.page_faults),
        major_page_faults: sum(|usage| usage.major_page_faults),
        memory_limit: None,
        pids: sum(|usage| usage.pids),
        memory_cache: None,
        memory_swap: None,
        throttling: None,
        disks: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_is_told_per_second() {
        let rates = Rates::default();
        let at = |millis: i64, nanos: u64| {
            let mut usage = crate::testing::usage(0);
            usage.timestamp = Timestamp::from_millisecond(millis).unwrap();
            usage.cpu_usage_nanos = nanos;
            rates.of("c", &usage)
        };
        assert_eq!(at(0, 1_000), None, "nothing to compare with");
        assert_eq!(at(500, 250_001_000), Some(500_000_000));
        assert_eq!(at(510, 250_001_000), Some(500_000_000), "too soon for another");
        assert_eq!(at(2_500, 250_001_000), Some(0));
        assert_eq!(at(500_000, 900_000_000), None, "that was too long ago");
        assert_eq!(at(501_000, 5), None, "another container has its name");
        assert_eq!(at(502_000, 1_000_000_005), Some(1_000_000_000));
    }
}

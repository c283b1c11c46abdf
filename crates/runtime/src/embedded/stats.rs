//! Resource usage.

use std::sync::Arc;

use network::netns;

use super::state::Container;
use super::{Embedded, Inner, blocking, network_error};
use crate::Result;
use crate::api::*;
use crate::cgroup::usage;
use crate::image::directory_usage;

impl Embedded {
    pub(super) async fn stats_of_container(&self, id: &str) -> Result<ContainerStats> {
        let container = self.0.containers.get(id)?;
        let inner = Arc::clone(&self.0);
        blocking(move || Ok(inner.measure(&container))).await
    }

    pub(super) async fn stats_of_sandbox(&self, id: &str) -> Result<SandboxStats> {
        let record = self.0.sandboxes.get(id)?.record.read().clone();
        let inner = Arc::clone(&self.0);
        blocking(move || {
            let cgroup = inner.pod_cgroup(&record.config.linux.cgroup_parent, &record.id);
            let containers = inner.containers.of_sandbox(&record.id);
            let path = inner.sandbox_dir(&record.id).join("net");
            let network = if netns::is_pinned(&path) {
                let read =
                    || Ok(std::fs::read_to_string("/proc/thread-self/net/dev").unwrap_or_default());
                traffic(&netns::run_in(Some(&path), read).map_err(network_error)?)
            } else {
                None
            };
            Ok(SandboxStats {
                usage: usage(&inner.hierarchies.directories(&cgroup)),
                network,
                containers: containers
                    .iter()
                    .filter(|container| container.running().is_some())
                    .map(|container| inner.measure(container))
                    .collect(),
                id: record.id,
                metadata: record.config.metadata,
            })
        })
        .await
    }
}

impl Inner {
    fn measure(&self, container: &Container) -> ContainerStats {
        let record = container.record.read().clone();
        let (bytes, inodes) = directory_usage(&self.container_dir(&record.id).join("upper"));
        ContainerStats {
            usage: usage(&self.hierarchies.directories(&record.cgroup)),
            id: record.id,
            metadata: record.config.metadata,
            writable_layer_bytes: bytes,
            writable_layer_inodes: inodes,
        }
    }
}

/// The counters of `eth0` in `/proc/net/dev`.
fn traffic(text: &str) -> Option<NetworkUsage> {
    let line = text.lines().find_map(|line| line.trim().strip_prefix("eth0:"))?;
    let fields: Vec<u64> = line.split_whitespace().filter_map(|field| field.parse().ok()).collect();
    Some(NetworkUsage {
        interface: "eth0".to_owned(),
        rx_bytes: *fields.first()?,
        rx_errors: *fields.get(2)?,
        tx_bytes: *fields.get(8)?,
        tx_errors: *fields.get(10)?,
        packets: Some(Packets {
            rx: *fields.get(1)?,
            rx_dropped: *fields.get(3)?,
            tx: *fields.get(9)?,
            tx_dropped: *fields.get(11)?,
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interface_counters_are_found() {
        let text = "Inter-| Receive\n face |bytes\n    lo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n  \
                    eth0: 10 2 3 6 0 0 0 0 20 4 5 7 0 0 0 0\n";
        let usage = traffic(text).unwrap();
        assert_eq!(
            (usage.rx_bytes, usage.rx_errors, usage.tx_bytes, usage.tx_errors),
            (10, 3, 20, 5)
        );
        let packets = Packets { rx: 2, rx_dropped: 6, tx: 4, tx_dropped: 7 };
        assert_eq!(usage.packets, Some(packets));
        assert!(traffic("").is_none());
    }
}

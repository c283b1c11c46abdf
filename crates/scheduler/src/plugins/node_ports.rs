//! NodePorts: a host port can be had once.

use crate::cache::NodeInfo;
use crate::change::Change;
use crate::framework::{Cycle, Plugin, Rejection};
use crate::pod::{HostPort, PodInfo, host_ports};

pub(super) const PLUGIN: Plugin =
    Plugin { filter: Some(filter), helps, ..Plugin::named("NodePorts") };

/// The unspecified address takes a port from every other.
fn conflict(a: &HostPort, b: &HostPort) -> bool {
    const ANY: &str = "0.0.0.0";
    a.1 == b.1 && a.2 == b.2 && (a.0 == b.0 || a.0 == ANY || b.0 == ANY)
}

fn filter(cycle: &Cycle<'_>, node: &NodeInfo) -> Result<(), Rejection> {
    if cycle.pod.ports.is_empty() {
        return Ok(());
    }
    let mut taken = node.pods.iter().flat_map(|pod| &pod.ports);
    if taken.any(|t| cycle.pod.ports.iter().any(|wanted| conflict(wanted, t))) {
        let reason = "node(s) didn't have free ports for the requested pod ports";
        return Err(Rejection::resolvable(reason));
    }
    Ok(())
}

fn helps(pod: &PodInfo, change: &Change) -> bool {
    let frees = |departed| {
        let freed = host_ports(departed);
        freed.iter().any(|port| pod.ports.iter().any(|wanted| conflict(wanted, port)))
    };
    change.new_node().is_some() || change.departed_pod().is_some_and(frees)
}

//! NodePorts: a host port can be had once.

use crate::cache::NodeInfo;
use crate::framework::{Cycle, Plugin, Rejection};
use crate::pod::HostPort;

pub(super) const PLUGIN: Plugin = Plugin { name: "NodePorts", filter: Some(filter), score: None };

/// The unspecified address takes a port from every other.
fn conflict(a: &HostPort, b: &HostPort) -> bool {
    const ANY: &str = "0.0.0.0";
    a.1 == b.1 && a.2 == b.2 && (a.0 == b.0 || a.0 == ANY || b.0 == ANY)
}

fn filter(cycle: &Cycle<'_>, node: &NodeInfo) -> Result<(), Rejection> {
    let mut taken = node.pods.values().flat_map(|pod| &pod.ports);
    if taken.any(|t| cycle.pod.ports.iter().any(|wanted| conflict(wanted, t))) {
        return Err(Rejection::resolvable(vec![
            "node(s) didn't have free ports for the requested pod ports".into(),
        ]));
    }
    Ok(())
}

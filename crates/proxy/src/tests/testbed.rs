//! The view of an engine that the contract has: who asks, and who answers.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::backend::{Backend, Change};
use crate::model::{PortId, PortRules, Protocol};

/// Where a connection begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Client {
    /// One of the node's pods.
    Pod(usize),
    /// The node itself.
    Node,
    /// A machine that is no node of the cluster.
    Outside,
}

/// Where a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Answer {
    /// At this pod, which saw that client.
    Pod(usize, Client),
    /// It is refused at once.
    Refused,
    /// Nobody answers.
    Dropped,
    /// It leaves the node for the address it was sent to.
    Passed,
}

/// A node with an engine, [`PODS`] pods that answer at port 8080 of TCP and UDP, and a machine
/// outside.
pub(crate) trait Testbed {
    fn backend(&mut self) -> &mut dyn Backend;

    /// Opens a connection and tells where it ended.
    fn ask(&self, client: Client, protocol: Protocol, to: SocketAddr) -> Answer;

    /// Removes all rules behind the engine's back.
    fn disturb(&mut self);
}

pub(crate) const PODS: usize = 3;
/// The pods' gateway, which is an address of the node.
pub(crate) const NODE: [&str; 2] = ["10.60.1.1", "fd00:60::1"];
/// The machine outside.
pub(crate) const OUTSIDE: [&str; 2] = ["198.51.100.2", "fd00:99::2"];
/// The range of the cluster's pods and nodes.
pub(crate) const CLUSTER: &str = "10.60.0.0/16";
/// Two addresses of services in each family.
pub(crate) const WEB: [&str; 2] = ["10.96.0.7", "fd00:96::7"];
pub(crate) const SHOP: [&str; 2] = ["10.96.0.8", "fd00:96::8"];

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// The address of a pod.
pub(crate) fn pod(index: usize, ipv6: bool) -> IpAddr {
    // The first address after the node's.
    let text =
        if ipv6 { format!("fd00:60::{}", index + 2) } else { format!("10.60.1.{}", index + 2) };
    text.parse().unwrap()
}

/// Where a pod answers.
pub(crate) fn endpoint(index: usize) -> SocketAddr {
    SocketAddr::new(pod(index, false), 8080)
}

/// Port 80 of a service at an address, of the family of that address.
pub(crate) fn rules(service: &str, address: &str, endpoints: &[SocketAddr]) -> PortRules {
    PortRules {
        id: PortId {
            namespace: "ns".into(),
            service: service.into(),
            port: "http".into(),
            protocol: Protocol::Tcp,
            ipv6: ip(address).is_ipv6(),
        },
        port: 80,
        cluster_ips: vec![ip(address)],
        external_ips: Vec::new(),
        load_balancer_ips: Vec::new(),
        source_ranges: Vec::new(),
        node_port: None,
        internal_local: false,
        external_local: false,
        affinity: None,
        endpoints: endpoints.to_vec(),
        local_endpoints: endpoints.to_vec(),
        ready_here: endpoints.len(),
    }
}

/// The service `web` at its IPv4 address, served by these pods.
pub(crate) fn web(pods: &[usize]) -> PortRules {
    rules("web", WEB[0], &pods.iter().map(|index| endpoint(*index)).collect::<Vec<_>>())
}

pub(crate) fn change(old: Option<&PortRules>, new: Option<&PortRules>) -> Change {
    let wrap = |rules: Option<&PortRules>| rules.cloned().map(Arc::new);
    Change { old: wrap(old), new: wrap(new) }
}

/// Makes one change.
pub(crate) fn set(bed: &mut dyn Testbed, old: Option<&PortRules>, new: Option<&PortRules>) {
    bed.backend().apply(&[change(old, new)]).unwrap();
}

/// Resets to these ports.
pub(crate) fn reset(bed: &mut dyn Testbed, all: &[&PortRules]) {
    let all: Vec<_> = all.iter().map(|rules| Arc::new((*rules).clone())).collect();
    bed.backend().reset(&all).unwrap();
}

/// Where a TCP connection to an address such as `10.96.0.7:80` ends.
pub(crate) fn ask(bed: &dyn Testbed, client: Client, to: &str) -> Answer {
    bed.ask(client, Protocol::Tcp, to.parse().unwrap())
}

/// Where that many TCP connections end.
pub(crate) fn answers(
    bed: &dyn Testbed,
    client: Client,
    to: &str,
    times: usize,
) -> BTreeSet<Answer> {
    (0..times).map(|_| ask(bed, client, to)).collect()
}

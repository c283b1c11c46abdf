//! Endpoints of a service port and which of them take traffic.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Node;
use k8s_openapi::api::discovery::v1::EndpointSlice;

use super::service::is_left_out;

/// The place of this node, for topology-aware routing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct NodeTopology {
    pub(crate) name: String,
    pub(crate) zone: Option<String>,
}

impl NodeTopology {
    pub(crate) fn of(name: &str, node: Option<&Node>) -> Self {
        let labels = node.and_then(|node| node.metadata.labels.as_ref());
        let zone = labels.and_then(|labels| labels.get("topology.kubernetes.io/zone"));
        Self { name: name.to_owned(), zone: zone.filter(|zone| !zone.is_empty()).cloned() }
    }
}

/// One endpoint of one service port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) address: SocketAddr,
    pub(crate) ready: bool,
    pub(crate) serving: bool,
    pub(crate) terminating: bool,
    /// On this node.
    pub(crate) local: bool,
    /// `None` where the endpoint has no hint of that sort.
    pub(crate) hinted_zones: Option<Vec<String>>,
    pub(crate) hinted_nodes: Option<Vec<String>>,
}

/// The endpoints that slices have for a port name and protocol, without repetition.
pub(crate) fn from_slices(
    slices: &[Arc<EndpointSlice>],
    port_name: &str,
    protocol: &str,
    ipv6: bool,
    node: &NodeTopology,
) -> Vec<Endpoint> {
    let family = if ipv6 { "IPv6" } else { "IPv4" };
    let mut found: Vec<Endpoint> = Vec::new();
    let of_family = |slice: &&Arc<EndpointSlice>| slice.address_type == family;
    for slice in slices.iter().filter(of_family).filter(|slice| !is_left_out(&slice.metadata)) {
        let port = slice.ports.iter().flatten().find(|port| {
            port.name.as_deref().unwrap_or_default() == port_name
                && port.protocol.as_deref().unwrap_or("TCP") == protocol
        });
        let Some(port) = port.and_then(|port| u16::try_from(port.port?).ok()) else { continue };
        for endpoint in slice.endpoints.iter().flatten() {
            let Some(ip) = endpoint.addresses.first().and_then(|a| a.parse::<IpAddr>().ok()) else {
                continue;
            };
            let conditions = endpoint.conditions.clone().unwrap_or_default();
            let ready = conditions.ready.unwrap_or(true);
            let hints = endpoint.hints.as_ref();
            let endpoint = Endpoint {
                address: SocketAddr::new(ip, port),
                ready,
                serving: conditions.serving.unwrap_or(ready),
                terminating: conditions.terminating.unwrap_or(false),
                local: endpoint.node_name.as_deref() == Some(&node.name),
                hinted_zones: hints.and_then(|hints| {
                    Some(hints.for_zones.as_ref()?.iter().map(|zone| zone.name.clone()).collect())
                }),
                hinted_nodes: hints.and_then(|hints| {
                    Some(hints.for_nodes.as_ref()?.iter().map(|node| node.name.clone()).collect())
                }),
            };
            // While a pod moves between slices it may be in two; a ready form wins.
            match found.iter_mut().find(|other| other.address == endpoint.address) {
                Some(other) if endpoint.ready && !other.ready => *other = endpoint,
                Some(_) => {}
                None => found.push(endpoint),
            }
        }
    }
    found.sort_by_key(|endpoint| endpoint.address);
    found
}

/// Ready endpoints, or where there is none those that still serve while they terminate.
fn usable<'a>(endpoints: impl Iterator<Item = &'a Endpoint> + Clone) -> Vec<&'a Endpoint> {
    let ready: Vec<_> = endpoints.clone().filter(|endpoint| endpoint.ready).collect();
    if !ready.is_empty() {
        return ready;
    }
    endpoints.filter(|endpoint| endpoint.serving && endpoint.terminating).collect()
}

/// Endpoints for traffic that may go anywhere: those hinted for this node, else for its zone, else
/// all. Hints count only where every ready endpoint has one and one fits.
pub(crate) fn cluster_wide(endpoints: &[Endpoint], node: &NodeTopology) -> Vec<SocketAddr> {
    let all = usable(endpoints.iter());
    let hinted = |names: fn(&Endpoint) -> Option<&Vec<String>>, here: Option<&String>| {
        let here = here?;
        let complete = all.iter().all(|endpoint| names(endpoint).is_some());
        let fitting: Vec<_> = all
            .iter()
            .filter(|endpoint| names(endpoint).is_some_and(|names| names.contains(here)))
            .map(|endpoint| endpoint.address)
            .collect();
        (complete && !fitting.is_empty()).then_some(fitting)
    };
    hinted(|endpoint| endpoint.hinted_nodes.as_ref(), Some(&node.name))
        .or_else(|| hinted(|endpoint| endpoint.hinted_zones.as_ref(), node.zone.as_ref()))
        .unwrap_or_else(|| all.iter().map(|endpoint| endpoint.address).collect())
}

/// Endpoints for traffic that must stay on this node.
pub(crate) fn node_local(endpoints: &[Endpoint]) -> Vec<SocketAddr> {
    usable(endpoints.iter().filter(|endpoint| endpoint.local))
        .into_iter()
        .map(|endpoint| endpoint.address)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(last: u8, state: &str, zone: Option<&str>) -> Endpoint {
        Endpoint {
            address: SocketAddr::from(([10, 0, 0, last], 80)),
            ready: state == "ready",
            serving: state != "broken",
            terminating: state == "terminating",
            local: last < 10,
            hinted_zones: zone.map(|zone| vec![zone.to_owned()]),
            hinted_nodes: None,
        }
    }

    fn last_octets(addresses: &[SocketAddr]) -> Vec<u8> {
        addresses
            .iter()
            .map(|address| match address.ip() {
                IpAddr::V4(ip) => ip.octets()[3],
                IpAddr::V6(_) => 0,
            })
            .collect()
    }

    #[test]
    fn terminating_endpoints_serve_only_when_nothing_is_ready() {
        let node = NodeTopology::default();
        let mut all = vec![
            endpoint(1, "ready", None),
            endpoint(2, "terminating", None),
            endpoint(3, "broken", None),
        ];
        assert_eq!(last_octets(&cluster_wide(&all, &node)), [1]);
        all.remove(0);
        assert_eq!(last_octets(&cluster_wide(&all, &node)), [2]);
        assert_eq!(last_octets(&node_local(&all)), [2]);
        all.remove(0);
        assert!(cluster_wide(&all, &node).is_empty());
    }

    #[test]
    fn local_traffic_prefers_local_terminating_over_remote_ready() {
        let all = [endpoint(1, "terminating", None), endpoint(20, "ready", None)];
        assert_eq!(last_octets(&node_local(&all)), [1]);
        assert_eq!(last_octets(&cluster_wide(&all, &NodeTopology::default())), [20]);
    }

    #[test]
    fn hints_need_to_be_complete_and_to_fit() {
        let node = |zone: &str| NodeTopology { name: "n".into(), zone: Some(zone.into()) };
        let mut all = vec![endpoint(1, "ready", Some("a")), endpoint(2, "ready", Some("b"))];
        assert_eq!(last_octets(&cluster_wide(&all, &node("b"))), [2]);
        assert_eq!(last_octets(&cluster_wide(&all, &node("c"))), [1, 2]);
        assert_eq!(last_octets(&cluster_wide(&all, &NodeTopology::default())), [1, 2]);
        all.push(endpoint(3, "ready", None));
        assert_eq!(last_octets(&cluster_wide(&all, &node("b"))), [1, 2, 3]);
    }
}

//! A pod as an endpoint of a Service.

use std::net::IpAddr;

use client::{ObjectKey, Store};
use k8s_openapi::api::core::v1::{Node, Pod, Service};
use k8s_openapi::api::discovery::v1::{
    Endpoint, EndpointConditions, EndpointHints, EndpointPort, ForNode, ForZone,
};

use crate::common::{meta, pod, service};

const ZONE: &str = "topology.kubernetes.io/zone";

/// Returns true if two states of a pod make the same endpoints.
pub(super) fn same(old: &Pod, new: &Pod) -> bool {
    let facts = |pod: &Pod| {
        let spec = pod.spec.as_ref();
        (
            pod.metadata.labels.clone(),
            meta::deleting(pod),
            pod::is_ready(pod),
            service::may_serve(pod),
            service::addresses(pod).map(str::to_owned).collect::<Vec<_>>(),
            pod::node(pod).map(str::to_owned),
            spec.and_then(|spec| spec.hostname.clone()),
        )
    };
    facts(old) == facts(new)
}

/// The ports of a Service on this pod.
pub(super) fn ports(pod: &Pod, of: &Service) -> Vec<EndpointPort> {
    let ports = of.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
    ports
        .filter_map(|port| {
            Some(EndpointPort {
                port: Some(service::target_port(pod, port)?),
                name: Some(port.name.clone().unwrap_or_default()),
                protocol: Some(port.protocol.clone().unwrap_or_else(|| "TCP".into())),
                app_protocol: port.app_protocol.clone(),
            })
        })
        .collect()
}

/// The endpoint of a pod in one address family; `None` if it has no such address.
pub(super) fn endpoint(
    pod: &Pod,
    of: &Service,
    nodes: &Store<Node>,
    family: &str,
) -> Option<Endpoint> {
    let address = service::addresses(pod)
        .find(|text| text.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv4() == (family == "IPv4")))?;
    let serving = pod::is_ready(pod);
    let terminating = meta::deleting(pod);
    let ready = service::publishes_not_ready(of) || (serving && !terminating);
    let node_name = pod::node(pod);
    let node = node_name.and_then(|name| nodes.get(&ObjectKey::cluster(name)));
    let zone = node.as_ref().and_then(|node| meta::label(&**node, ZONE)).map(str::to_owned);
    Some(Endpoint {
        addresses: vec![address.to_owned()],
        conditions: Some(EndpointConditions {
            ready: Some(ready),
            serving: Some(serving),
            terminating: Some(terminating),
        }),
        hints: hints(of, node_name, zone.as_deref(), ready),
        hostname: service::hostname(pod, of).map(str::to_owned),
        node_name: node_name.map(str::to_owned),
        target_ref: Some(service::reference(pod)),
        zone,
        deprecated_topology: None,
    })
}

/// Topology hints, where the Service prefers traffic to stay close.
fn hints(
    of: &Service,
    node: Option<&str>,
    zone: Option<&str>,
    ready: bool,
) -> Option<EndpointHints> {
    let preference = of.spec.as_ref()?.traffic_distribution.as_deref()?;
    let for_zones = || zone.map(|zone| vec![ForZone { name: zone.to_owned() }]);
    let hints = match preference {
        "PreferClose" | "PreferSameZone" => {
            EndpointHints { for_nodes: None, for_zones: for_zones() }
        }
        "PreferSameNode" => EndpointHints {
            for_nodes: node.map(|node| vec![ForNode { name: node.to_owned() }]),
            for_zones: for_zones(),
        },
        _ => return None,
    };
    (ready && (hints.for_nodes.is_some() || hints.for_zones.is_some())).then_some(hints)
}

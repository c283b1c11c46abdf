//! From a Service and its endpoints to the rules of its ports.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::endpoints::{NodeTopology, cluster_wide, from_slices, node_local};

/// How long a client sticks to an endpoint where the Service does not say.
const DEFAULT_AFFINITY: i32 = 10_800;

/// Transport protocol of a service port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

impl Protocol {
    fn parse(name: &str) -> Option<Self> {
        match name {
            "TCP" => Some(Self::Tcp),
            "UDP" => Some(Self::Udp),
            "SCTP" => Some(Self::Sctp),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
        }
    }

    /// Its number in an IP header.
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }
}

/// Which port of which service, in one address family.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct PortId {
    pub(crate) namespace: String,
    pub(crate) service: String,
    pub(crate) port: String,
    pub(crate) protocol: Protocol,
    pub(crate) ipv6: bool,
}

impl std::fmt::Display for PortId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { namespace, service, port, protocol, .. } = self;
        write!(f, "{namespace}/{service}/{}/{port}", protocol.name().to_lowercase())
    }
}

/// Everything that is to be in force for one service port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PortRules {
    pub(crate) id: PortId,
    pub(crate) port: u16,
    pub(crate) cluster_ips: Vec<IpAddr>,
    /// External IPs, open to everybody.
    pub(crate) external_ips: Vec<IpAddr>,
    /// Load balancer addresses, open to `source_ranges`.
    pub(crate) load_balancer_ips: Vec<IpAddr>,
    /// Client ranges that may use the load balancer; empty allows every client.
    pub(crate) source_ranges: Vec<IpNet>,
    pub(crate) node_port: Option<u16>,
    /// Traffic to the cluster IP must stay on the node.
    pub(crate) internal_local: bool,
    /// Traffic from outside must stay on the node, and keeps its source address.
    pub(crate) external_local: bool,
    pub(crate) affinity: Option<Duration>,
    /// Endpoints of traffic that may go anywhere.
    pub(crate) endpoints: Vec<SocketAddr>,
    /// Endpoints of traffic that must stay.
    pub(crate) local_endpoints: Vec<SocketAddr>,
    /// How many endpoints here are ready: what a load balancer's health check counts. One that
    /// only serves on while it terminates gets no new connections.
    pub(crate) ready_here: usize,
}

/// The rules of all ports of a service; none where the proxy has nothing to do with it.
pub(crate) fn rules_of(
    service: &Service,
    slices: &[Arc<EndpointSlice>],
    node: &NodeTopology,
) -> Vec<PortRules> {
    let Some(spec) = service.spec.as_ref().filter(|_| is_ours(service)) else { return Vec::new() };
    let cluster_ips: Vec<IpAddr> = spec
        .cluster_ips
        .clone()
        .unwrap_or_else(|| spec.cluster_ip.iter().cloned().collect())
        .iter()
        .filter_map(|ip| ip.parse().ok())
        .collect();
    let mut rules = Vec::new();
    for port in spec.ports.iter().flatten() {
        for ipv6 in [false, true] {
            if cluster_ips.iter().any(|ip| ip.is_ipv6() == ipv6) {
                rules.extend(port_rules(service, spec, port, &cluster_ips, slices, node, ipv6));
            }
        }
    }
    rules
}

/// Labels of services and slices that are left to another proxy, or to none.
const NOT_OURS: [&str; 2] =
    ["service.kubernetes.io/service-proxy-name", "service.kubernetes.io/headless"];

/// Returns true if an object's labels leave it to another proxy.
pub(super) fn is_left_out(metadata: &ObjectMeta) -> bool {
    let labels = metadata.labels.as_ref();
    labels.is_some_and(|labels| NOT_OURS.iter().any(|label| labels.contains_key(*label)))
}

fn is_ours(service: &Service) -> bool {
    let other_proxy = is_left_out(&service.metadata);
    let spec = service.spec.as_ref();
    let headless = spec
        .and_then(|spec| spec.cluster_ip.as_deref())
        .is_none_or(|ip| ip.is_empty() || ip == "None");
    let external_name = spec.and_then(|spec| spec.type_.as_deref()) == Some("ExternalName");
    !other_proxy && !headless && !external_name
}

fn port_rules(
    service: &Service,
    spec: &ServiceSpec,
    port: &ServicePort,
    cluster_ips: &[IpAddr],
    slices: &[Arc<EndpointSlice>],
    node: &NodeTopology,
    ipv6: bool,
) -> Option<PortRules> {
    let protocol = Protocol::parse(port.protocol.as_deref().unwrap_or("TCP"))?;
    let name = port.name.clone().unwrap_or_default();
    let endpoints = from_slices(slices, &name, protocol.name(), ipv6, node);
    let of_family = |ip: &IpAddr| ip.is_ipv6() == ipv6;
    let parse = |ips: &[String]| -> Vec<IpAddr> {
        ips.iter().filter_map(|ip| ip.parse().ok()).filter(of_family).collect()
    };
    let ingress = service
        .status
        .as_ref()
        .and_then(|status| status.load_balancer.as_ref())
        .and_then(|balancer| balancer.ingress.as_ref());
    // With mode Proxy the load balancer wants to see its own traffic.
    let load_balancer_ips: Vec<String> = ingress
        .into_iter()
        .flatten()
        .filter(|entry| entry.ip_mode.as_deref() != Some("Proxy"))
        .filter_map(|entry| entry.ip.clone())
        .collect();
    let affinity = (spec.session_affinity.as_deref() == Some("ClientIP")).then(|| {
        let seconds = spec
            .session_affinity_config
            .as_ref()
            .and_then(|config| config.client_ip.as_ref()?.timeout_seconds)
            .unwrap_or(DEFAULT_AFFINITY);
        Duration::from_secs(seconds.max(1) as u64)
    });
    Some(PortRules {
        id: PortId {
            namespace: service.metadata.namespace.clone().unwrap_or_default(),
            service: service.metadata.name.clone().unwrap_or_default(),
            port: name,
            protocol,
            ipv6,
        },
        port: u16::try_from(port.port).ok()?,
        cluster_ips: cluster_ips.iter().copied().filter(of_family).collect(),
        external_ips: parse(spec.external_ips.as_deref().unwrap_or_default()),
        load_balancer_ips: parse(&load_balancer_ips),
        source_ranges: spec
            .load_balancer_source_ranges
            .iter()
            .flatten()
            .filter_map(|range| range.trim().parse::<IpNet>().ok())
            .filter(|range| range.network().is_ipv6() == ipv6)
            .collect(),
        node_port: port.node_port.and_then(|port| u16::try_from(port).ok()).filter(|p| *p != 0),
        internal_local: spec.internal_traffic_policy.as_deref() == Some("Local"),
        external_local: spec.external_traffic_policy.as_deref() == Some("Local"),
        affinity,
        local_endpoints: node_local(&endpoints),
        ready_here: endpoints.iter().filter(|e| e.local && e.ready && !e.terminating).count(),
        endpoints: cluster_wide(&endpoints, node),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rules(service: serde_json::Value, slices: &[serde_json::Value]) -> Vec<PortRules> {
        let slices: Vec<_> = slices
            .iter()
            .map(|slice| Arc::new(serde_json::from_value(slice.clone()).unwrap()))
            .collect();
        let node = NodeTopology { name: "here".into(), zone: None };
        rules_of(&serde_json::from_value(service).unwrap(), &slices, &node)
    }

    #[test]
    fn a_node_port_service_becomes_rules() {
        let service = json!({
            "metadata": {"namespace": "ns", "name": "web"},
            "spec": {
                "type": "NodePort", "clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.7"],
                "ports": [{"name": "http", "port": 80, "nodePort": 30080, "protocol": "TCP"},
                          {"name": "dns", "port": 53, "protocol": "UDP"}],
                "externalIPs": ["192.0.2.9"], "sessionAffinity": "ClientIP",
                "externalTrafficPolicy": "Local"
            }
        });
        let slice = json!({
            "metadata": {"name": "s"}, "addressType": "IPv4",
            "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
            "endpoints": [
                {"addresses": ["10.1.0.1"], "nodeName": "here"},
                {"addresses": ["10.1.0.2"], "nodeName": "there", "conditions": {"ready": true}},
                {"addresses": ["10.1.0.3"], "conditions": {"ready": false}},
                {"addresses": ["10.1.0.4"], "nodeName": "here",
                 "conditions": {"ready": false, "serving": true, "terminating": true}}
            ]
        });
        let rules = rules(service, &[slice.clone(), slice]);
        assert_eq!(rules.len(), 2);
        let http = &rules[0];
        assert_eq!(http.id.to_string(), "ns/web/tcp/http");
        assert_eq!(http.endpoints.len(), 2);
        assert_eq!(http.local_endpoints, ["10.1.0.1:8080".parse().unwrap()]);
        assert_eq!(http.ready_here, 1);
        assert_eq!((http.node_port, http.external_local), (Some(30080), true));
        assert_eq!(http.affinity, Some(Duration::from_secs(10_800)));
        assert!(rules[1].endpoints.is_empty(), "the slice has no port of that name");
    }

    #[test]
    fn some_services_are_not_ours() {
        for spec in [
            json!({"clusterIP": "None", "ports": [{"port": 80}]}),
            json!({"type": "ExternalName", "externalName": "x.y"}),
            json!({"clusterIP": "", "ports": [{"port": 80}]}),
        ] {
            assert!(rules(json!({"metadata": {"name": "a"}, "spec": spec}), &[]).is_empty());
        }
        for label in NOT_OURS {
            let labelled = json!({
                "metadata": {"labels": {label: "other"}},
                "spec": {"clusterIP": "10.0.0.1", "ports": [{"port": 80}]}
            });
            assert!(rules(labelled, &[]).is_empty(), "{label}");
        }
    }
}

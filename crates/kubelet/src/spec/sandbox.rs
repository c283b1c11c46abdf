//! The sandbox a pod wants.

use k8s_openapi::api::core::v1::Pod;
use runtime::{LinuxSandboxConfig, PortMapping, Protocol, SandboxConfig, SandboxMetadata};

use super::{dns, hosts, labels, resources, security};
use crate::context::Context;
use crate::pod::{annotations, host_network, members, name, namespace, qos, spec, uid};

/// The node's resolver configuration.
pub(crate) const RESOLV_CONF: &str = "/etc/resolv.conf";

/// The configuration for the pod's `attempt`-th sandbox, and what had to be left out of its
/// resolver configuration.
pub(crate) fn config(context: &Context, pod: &Pod, attempt: u32) -> (SandboxConfig, Vec<String>) {
    let config = &context.config;
    // A node without that file has no resolvers to offer.
    let node = std::fs::read_to_string(RESOLV_CONF).unwrap_or_default();
    let (dns, omitted) = dns::config(pod, &config.cluster_dns, &config.cluster_domain, &node);
    let sysctls = spec(pod).security_context.iter().flat_map(|c| c.sysctls.iter().flatten());
    let sandbox = SandboxConfig {
        metadata: SandboxMetadata {
            name: name(pod).to_owned(),
            uid: uid(pod).to_owned(),
            namespace: namespace(pod).to_owned(),
            attempt,
        },
        hostname: if host_network(pod) {
            String::new()
        } else {
            hosts::kernel_hostname(pod, &config.cluster_domain)
        },
        log_directory: context.dirs.pod_logs(pod),
        dns_config: Some(dns),
        port_mappings: port_mappings(pod),
        labels: labels::of_sandbox(pod),
        annotations: annotations(pod).clone(),
        linux: LinuxSandboxConfig {
            cgroup_parent: qos::cgroup(pod),
            namespaces: security::namespaces(pod),
            privileged: security::any_privileged(pod),
            seccomp: security::pod_seccomp(pod, &context.dirs),
            sysctls: sysctls.map(|s| (s.name.clone(), s.value.clone())).collect(),
            resources: Some(resources::of_pod(pod)),
        },
    };
    (sandbox, omitted)
}

/// Host ports of all containers. In the node's network there is nothing to map.
pub(crate) fn port_mappings(pod: &Pod) -> Vec<PortMapping> {
    if host_network(pod) {
        return Vec::new();
    }
    host_ports(pod)
}

/// Every port of the node that the pod wants for itself.
pub(crate) fn host_ports(pod: &Pod) -> Vec<PortMapping> {
    let mut out = Vec::new();
    for member in members(pod) {
        for port in member.container.ports.iter().flatten() {
            let Some(host_port) = port.host_port.and_then(|p| u16::try_from(p).ok()) else {
                continue;
            };
            if host_port == 0 {
                continue;
            }
            out.push(PortMapping {
                protocol: match port.protocol.as_deref() {
                    Some("UDP") => Protocol::Udp,
                    Some("SCTP") => Protocol::Sctp,
                    _ => Protocol::Tcp,
                },
                container_port: u16::try_from(port.container_port).unwrap_or_default(),
                host_port,
                host_ip: port.host_ip.as_deref().and_then(|ip| ip.parse().ok()),
            });
        }
    }
    out
}

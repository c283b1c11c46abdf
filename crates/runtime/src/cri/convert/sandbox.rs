//! Sandboxes.

use super::{container, security, text, time};
use crate::cri::proto::{self, PodSandboxState as State};
use crate::{Protocol, SandboxConfig, SandboxFilter, SandboxMetadata, SandboxState, SandboxStatus};

/// On every sandbox: its whole configuration in JSON. CRI wants it again with every container,
/// also from a kubelet that has been restarted since.
const CONFIG_ANNOTATION: &str = "coxswain.io/sandbox-config";

pub(in crate::cri) fn sandbox_config(config: &SandboxConfig) -> proto::PodSandboxConfig {
    let linux = &config.linux;
    let mut annotations = config.annotations.clone();
    if let Ok(whole) = serde_json::to_string(config) {
        annotations.insert(CONFIG_ANNOTATION.to_owned(), whole);
    }
    proto::PodSandboxConfig {
        metadata: Some(proto::PodSandboxMetadata {
            name: config.metadata.name.clone(),
            uid: config.metadata.uid.clone(),
            namespace: config.metadata.namespace.clone(),
            attempt: config.metadata.attempt,
        }),
        hostname: config.hostname.clone(),
        log_directory: text(&config.log_directory),
        dns_config: config.dns_config.clone().map(|dns| proto::DnsConfig {
            servers: dns.servers,
            searches: dns.searches,
            options: dns.options,
        }),
        port_mappings: config.port_mappings.iter().map(port_mapping).collect(),
        labels: config.labels.clone(),
        annotations,
        linux: Some(proto::LinuxPodSandboxConfig {
            cgroup_parent: linux.cgroup_parent.clone(),
            security_context: Some(proto::LinuxSandboxSecurityContext {
                namespace_options: Some(security::namespaces(&linux.namespaces)),
                privileged: linux.privileged,
                seccomp: Some(security::seccomp(&linux.seccomp)),
                ..Default::default()
            }),
            sysctls: linux.sysctls.clone(),
            resources: linux.resources.as_ref().map(container::linux_resources),
            overhead: None,
        }),
        windows: None,
    }
}

fn port_mapping(mapping: &crate::PortMapping) -> proto::PortMapping {
    proto::PortMapping {
        protocol: match mapping.protocol {
            Protocol::Tcp => proto::Protocol::Tcp,
            Protocol::Udp => proto::Protocol::Udp,
            Protocol::Sctp => proto::Protocol::Sctp,
        }
        .into(),
        container_port: mapping.container_port.into(),
        host_port: mapping.host_port.into(),
        host_ip: mapping.host_ip.map(|ip| ip.to_string()).unwrap_or_default(),
    }
}

/// The status, and the configuration the sandbox was made with where this kubelet made it.
pub(in crate::cri) fn sandbox_status(
    status: proto::PodSandboxStatus,
) -> (SandboxStatus, Option<SandboxConfig>) {
    let mut annotations = status.annotations;
    let config = annotations
        .remove(CONFIG_ANNOTATION)
        .and_then(|config| serde_json::from_str::<SandboxConfig>(&config).ok());
    let network = status.network.unwrap_or_default();
    let further = network.additional_ips.into_iter().map(|further| further.ip);
    let ips = std::iter::once(network.ip).chain(further).filter_map(|ip| ip.parse().ok()).collect();
    let namespaces = status
        .linux
        .and_then(|linux| linux.namespaces)
        .and_then(|namespaces| namespaces.options)
        .map(security::namespaces_back);
    let metadata = status.metadata.unwrap_or_default();
    let status = SandboxStatus {
        id: status.id,
        metadata: SandboxMetadata {
            name: metadata.name,
            uid: metadata.uid,
            namespace: metadata.namespace,
            attempt: metadata.attempt,
        },
        state: sandbox_state(status.state),
        created_at: time(status.created_at).unwrap_or_default(),
        ips,
        namespaces: namespaces.unwrap_or_default(),
        labels: status.labels,
        annotations,
    };
    (status, config)
}

/// A state that is not known here is none in which a pod works.
pub(in crate::cri) fn sandbox_state(state: i32) -> SandboxState {
    match State::try_from(state) {
        Ok(State::SandboxReady) => SandboxState::Ready,
        Ok(State::SandboxNotready) | Err(_) => SandboxState::NotReady,
    }
}

pub(in crate::cri) fn sandbox_filter(filter: SandboxFilter) -> proto::PodSandboxFilter {
    proto::PodSandboxFilter {
        id: filter.id.unwrap_or_default(),
        state: filter.state.map(|state| proto::PodSandboxStateValue {
            state: match state {
                SandboxState::Ready => State::SandboxReady,
                SandboxState::NotReady => State::SandboxNotready,
            }
            .into(),
        }),
        label_selector: filter.labels,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LinuxSandboxConfig, NamespaceMode, NamespaceOptions, PortMapping, Resources};

    #[test]
    fn a_configuration_comes_back_with_the_status() {
        let config = SandboxConfig {
            metadata: SandboxMetadata {
                name: "n".into(),
                uid: "u".into(),
                namespace: "ns".into(),
                attempt: 2,
            },
            hostname: "n".into(),
            log_directory: "/var/log/pods/x".into(),
            port_mappings: vec![PortMapping {
                protocol: Protocol::Udp,
                container_port: 53,
                host_port: 5353,
                host_ip: None,
            }],
            annotations: [("a".to_owned(), "b".to_owned())].into(),
            linux: LinuxSandboxConfig {
                cgroup_parent: "/kubepods/podu".into(),
                namespaces: NamespaceOptions { pid: NamespaceMode::Pod, ..Default::default() },
                resources: Some(Resources { memory_limit: Some(5), ..Default::default() }),
                ..Default::default()
            },
            ..Default::default()
        };
        let sent = sandbox_config(&config);
        assert_eq!((sent.port_mappings[0].protocol, sent.port_mappings[0].host_port), (1, 5353));
        assert_eq!(
            sent.linux.as_ref().unwrap().resources.as_ref().unwrap().memory_limit_in_bytes,
            5
        );

        let (status, back) = sandbox_status(proto::PodSandboxStatus {
            id: "id".into(),
            metadata: sent.metadata,
            state: State::SandboxNotready.into(),
            created_at: 1_000_000_001,
            network: Some(proto::PodSandboxNetworkStatus {
                ip: "10.0.0.2".into(),
                additional_ips: vec![proto::PodIp { ip: "fd00::2".into() }],
            }),
            annotations: sent.annotations,
            ..Default::default()
        });
        assert_eq!(back.as_ref(), Some(&config));
        assert_eq!(
            (&status.annotations, &status.metadata),
            (&config.annotations, &config.metadata)
        );
        assert_eq!((status.state, status.ips.len()), (SandboxState::NotReady, 2));
        assert_eq!(status.created_at.as_nanosecond(), 1_000_000_001);
    }
}

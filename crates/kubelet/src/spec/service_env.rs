//! Environment variables that tell containers of the services in their namespace.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Service;

/// The variables for a pod: services of its own namespace (where `links`) and the API server's
/// service, in order of their names.
pub(crate) fn variables(
    services: &[Arc<Service>],
    namespace: &str,
    links: bool,
) -> Vec<(String, String)> {
    let mut chosen: Vec<_> = services
        .iter()
        .filter(|service| {
            let own = service.metadata.namespace.as_deref() == Some(namespace);
            has_address(service) && (own && links || is_master(service))
        })
        .collect();
    chosen.sort_by_key(|service| &service.metadata.name);
    chosen.into_iter().flat_map(|service| of(service)).collect()
}

fn is_master(service: &Service) -> bool {
    service.metadata.namespace.as_deref() == Some("default")
        && service.metadata.name.as_deref() == Some("kubernetes")
}

fn cluster_ip(service: &Service) -> &str {
    service.spec.as_ref().and_then(|spec| spec.cluster_ip.as_deref()).unwrap_or_default()
}

fn has_address(service: &Service) -> bool {
    !matches!(cluster_ip(service), "" | "None")
}

fn variable_name(text: &str) -> String {
    text.to_uppercase().replace('-', "_")
}

fn of(service: &Service) -> Vec<(String, String)> {
    let prefix = variable_name(service.metadata.name.as_deref().unwrap_or_default());
    let ip = cluster_ip(service);
    let ports = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
    let ports: Vec<_> = ports.collect();
    let mut out = vec![(format!("{prefix}_SERVICE_HOST"), ip.to_owned())];
    let Some(first) = ports.first() else { return out };
    out.push((format!("{prefix}_SERVICE_PORT"), first.port.to_string()));
    for port in &ports {
        if let Some(name) = port.name.as_deref().filter(|name| !name.is_empty()) {
            let name = variable_name(name);
            out.push((format!("{prefix}_SERVICE_PORT_{name}"), port.port.to_string()));
        }
    }
    let host = if ip.contains(':') { format!("[{ip}]") } else { ip.to_owned() };
    for (index, port) in ports.iter().enumerate() {
        let protocol = port.protocol.as_deref().unwrap_or("TCP");
        let url = format!("{}://{host}:{}", protocol.to_lowercase(), port.port);
        if index == 0 {
            out.push((format!("{prefix}_PORT"), url.clone()));
        }
        let base = format!("{prefix}_PORT_{}_{}", port.port, protocol.to_uppercase());
        out.push((base.clone(), url));
        out.push((format!("{base}_PROTO"), protocol.to_lowercase()));
        out.push((format!("{base}_PORT"), port.port.to_string()));
        out.push((format!("{base}_ADDR"), ip.to_owned()));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn service(namespace: &str, name: &str, ip: &str) -> Arc<Service> {
        let ports = json!([{"name": "p", "port": 80, "protocol": "TCP"}]);
        let value = json!({
            "metadata": {"namespace": namespace, "name": name},
            "spec": {"clusterIP": ip, "ports": ports},
        });
        Arc::new(serde_json::from_value(value).unwrap())
    }

    #[test]
    fn only_own_services_and_the_api_server() {
        let services = [
            service("default", "kubernetes", "10.96.0.1"),
            service("ns", "my-db", "10.96.0.9"),
            service("ns", "headless", "None"),
            service("other", "far", "10.96.0.8"),
        ];
        let hosts = |links| {
            variables(&services, "ns", links)
                .into_iter()
                .filter(|(key, _)| key.ends_with("_SERVICE_HOST"))
                .map(|(key, _)| key)
                .collect::<Vec<_>>()
        };
        assert_eq!(hosts(true), ["KUBERNETES_SERVICE_HOST", "MY_DB_SERVICE_HOST"]);
        assert_eq!(hosts(false), ["KUBERNETES_SERVICE_HOST"]);
        let all = variables(&services[1..2], "ns", true);
        let text: Vec<_> = all.iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(
            text,
            [
                "MY_DB_SERVICE_HOST=10.96.0.9",
                "MY_DB_SERVICE_PORT=80",
                "MY_DB_SERVICE_PORT_P=80",
                "MY_DB_PORT=tcp://10.96.0.9:80",
                "MY_DB_PORT_80_TCP=tcp://10.96.0.9:80",
                "MY_DB_PORT_80_TCP_PROTO=tcp",
                "MY_DB_PORT_80_TCP_PORT=80",
                "MY_DB_PORT_80_TCP_ADDR=10.96.0.9",
            ]
        );
    }
}

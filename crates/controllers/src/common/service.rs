//! The relation of Services to pods.

use k8s_openapi::api::core::v1::{Pod, Service, ServicePort};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use rules::container;

use super::{meta, pod};

/// Returns true if a Service has no address of its own.
pub(crate) fn is_headless(service: &Service) -> bool {
    service.spec.as_ref().and_then(|spec| spec.cluster_ip.as_deref()) == Some("None")
}

/// Returns true if a Service wants pods that are not ready.
pub(crate) fn publishes_not_ready(service: &Service) -> bool {
    service.spec.as_ref().is_some_and(|spec| spec.publish_not_ready_addresses == Some(true))
}

/// The number behind a Service's port on this pod; `None` if it names a port the pod lacks.
pub(crate) fn target_port(pod: &Pod, port: &ServicePort) -> Option<i32> {
    let name = match &port.target_port {
        None => return Some(port.port),
        Some(IntOrString::Int(0)) => return Some(port.port),
        Some(IntOrString::Int(number)) => return Some(*number),
        Some(IntOrString::String(name)) => name,
    };
    let protocol = port.protocol.as_deref().unwrap_or("TCP");
    let spec = pod.spec.as_ref()?;
    let ports = container::lasting(spec).flat_map(|c| c.ports.iter().flatten());
    let mut ports = ports.filter(|p| p.protocol.as_deref().unwrap_or("TCP") == protocol);
    ports.find(|p| p.name.as_ref() == Some(name)).map(|p| p.container_port)
}

/// Addresses of a pod.
pub(crate) fn addresses(pod: &Pod) -> impl Iterator<Item = &str> {
    let status = pod.status.as_ref();
    let many = status.into_iter().flat_map(|status| status.pod_ips.iter().flatten());
    let one = status.and_then(|status| status.pod_ip.as_deref());
    let one = one.filter(|_| status.is_some_and(|s| s.pod_ips.as_ref().is_none_or(Vec::is_empty)));
    many.map(|ip| ip.ip.as_str()).chain(one)
}

/// Returns true if a pod could serve: it has an address and has not ended.
pub(crate) fn may_serve(pod: &Pod) -> bool {
    !pod::is_terminal(pod) && addresses(pod).next().is_some()
}

/// The pod's host name below the Service's, if it has one there.
pub(crate) fn hostname<'a>(pod: &'a Pod, service: &Service) -> Option<&'a str> {
    let spec = pod.spec.as_ref()?;
    let here = spec.subdomain.as_deref() == service.metadata.name.as_deref();
    spec.hostname.as_deref().filter(|name| !name.is_empty() && here)
}

/// Labels that a Service hands on, without those that have a meaning there.
pub(crate) fn inherited_labels(service: &Service) -> std::collections::BTreeMap<String, String> {
    const RESERVED: [&str; 4] = [
        "kubernetes.io/service-name",
        "endpointslice.kubernetes.io/managed-by",
        "service.kubernetes.io/headless",
        "endpoints.kubernetes.io/managed-by",
    ];
    let mut labels = service.metadata.labels.clone().unwrap_or_default();
    labels.retain(|key, _| !RESERVED.contains(&key.as_str()));
    if is_headless(service) {
        labels.insert(RESERVED[2].to_owned(), String::new());
    }
    labels
}

/// A reference to a pod from an endpoint.
pub(crate) fn reference(pod: &Pod) -> k8s_openapi::api::core::v1::ObjectReference {
    k8s_openapi::api::core::v1::ObjectReference {
        kind: Some("Pod".into()),
        namespace: Some(meta::namespace(pod).into()),
        name: Some(meta::name(pod).into()),
        uid: Some(meta::uid(pod).into()),
        ..Default::default()
    }
}

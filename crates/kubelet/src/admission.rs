//! Admission by the node of pods that were bound to it.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod};
use runtime::PortMapping;

use crate::pod::qos::{pod_held, pod_request};
use crate::pod::spec;
use crate::spec::sandbox::host_ports;
use crate::status::Verdict;
use crate::sysctl::Allowlist;

/// The operating system, as the API names it.
const NODE_OS: &str = "linux";
const OS_LABEL: &str = "kubernetes.io/os";

/// Why a pod can never run here, whatever else does. `own_ports` are those that the node's own
/// processes serve.
pub(crate) fn refusal(pod: &Pod, sysctls: &Allowlist, own_ports: &[u16]) -> Option<Verdict> {
    if let Some(verdict) = sysctls.check(pod) {
        return Some(verdict);
    }
    if host_ports(pod).iter().any(|port| own_ports.contains(&port.host_port)) {
        return Some(ports_taken());
    }
    let other = |os: &String| os != NODE_OS;
    let (reason, message) =
        if spec(pod).node_selector.iter().flatten().any(|(k, v)| k == OS_LABEL && other(v)) {
            let message =
                "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label";
            ("PodOSSelectorNodeLabelDoesNotMatch", message)
        } else if spec(pod).os.as_ref().is_some_and(|wanted| other(&wanted.name)) {
            ("PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS")
        } else {
            return None;
        };
    Some(Verdict { reason: reason.to_owned(), message: message.to_owned() })
}

/// Checks a pod against the node and the other pods that are there, with what those were allocated;
/// `None` means that it fits. `allocatable` has milli-CPUs and bytes.
pub(crate) fn check(
    pod: &Pod,
    node: Option<&Node>,
    others: &[Arc<Pod>],
    allocatable: &BTreeMap<String, i64>,
    max_pods: u32,
) -> Option<Verdict> {
    let reject =
        |reason: &str, message: String| Some(Verdict { reason: reason.to_owned(), message });
    if others.len() >= max_pods as usize {
        let message = format!(
            "Node didn't have enough resource: pods, requested: 1, used: {}, capacity: {max_pods}",
            others.len()
        );
        return reject("OutOfpods", message);
    }
    for resource in ["cpu", "memory"] {
        let requested = pod_request(pod, resource);
        let used = others.iter().fold(0, |sum: i64, o| sum.saturating_add(pod_held(o, resource)));
        let capacity = allocatable.get(resource).copied().unwrap_or(i64::MAX);
        if requested > 0 && used.saturating_add(requested) > capacity {
            let message = format!(
                "Node didn't have enough resource: {resource}, requested: {requested}, used: \
                 {used}, capacity: {capacity}"
            );
            return reject(&format!("OutOf{resource}"), message);
        }
    }
    let labels = node.and_then(|node| node.metadata.labels.as_ref());
    let fits = |(key, value): (&String, &String)| {
        labels.is_some_and(|labels| labels.get(key) == Some(value))
    };
    if !spec(pod).node_selector.iter().flatten().all(fits) {
        let message = "Predicate NodeAffinity failed: node(s) didn't match Pod's node \
                       affinity/selector";
        return reject("NodeAffinity", message.to_owned());
    }
    let wanted = host_ports(pod);
    let taken: Vec<_> = others.iter().flat_map(|other| host_ports(other)).collect();
    if wanted.iter().any(|port| taken.iter().any(|other| collide(port, other))) {
        return Some(ports_taken());
    }
    None
}

fn ports_taken() -> Verdict {
    let message = "Predicate NodePorts failed: node(s) didn't have free ports for the requested \
                   pod ports";
    Verdict { reason: "NodePorts".to_owned(), message: message.to_owned() }
}

fn collide(a: &PortMapping, b: &PortMapping) -> bool {
    let any = |port: &PortMapping| port.host_ip.is_none_or(|ip| ip.is_unspecified());
    a.host_port == b.host_port
        && a.protocol == b.protocol
        && (any(a) || any(b) || a.host_ip == b.host_ip)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::pod;
    use serde_json::{Value, json};

    fn with_port(port: Value) -> Pod {
        pod(json!({"containers": [{"name": "a", "ports": [port]}]}))
    }

    #[test]
    fn rejections() {
        let cpu = |amount: &str| {
            pod(json!({"containers": [{"name": "a", "resources": {"requests": {"cpu": amount}}}]}))
        };
        let port = json!({"containerPort": 1, "hostPort": 80});
        let here = json!({"containerPort": 1, "hostPort": 80, "hostIP": "127.0.0.1"});
        let there = json!({"containerPort": 1, "hostPort": 80, "hostIP": "127.0.0.2"});
        let table = [
            (cpu("1"), vec![cpu("1")], None),
            (cpu("1500m"), vec![cpu("1")], Some("OutOfcpu")),
            (pod(json!({})), vec![pod(json!({})); 3], Some("OutOfpods")),
            (pod(json!({"nodeSelector": {"disk": "ssd"}})), vec![], None),
            (pod(json!({"nodeSelector": {"disk": "hdd"}})), vec![], Some("NodeAffinity")),
            (with_port(port.clone()), vec![with_port(here.clone())], Some("NodePorts")),
            (with_port(there), vec![with_port(here)], None),
            (with_port(json!({"containerPort": 1, "hostPort": 7700})), vec![], Some("NodePorts")),
            (
                with_port(json!({"containerPort": 1, "hostPort": 10250, "hostIP": "127.0.0.1"})),
                vec![],
                Some("NodePorts"),
            ),
            (with_port(json!({"containerPort": 10250})), vec![], None),
            (pod(json!({"os": {"name": "linux"}})), vec![], None),
            (pod(json!({"os": {"name": "windows"}})), vec![], Some("PodOSNotSupported")),
            (
                pod(json!({"nodeSelector": {"kubernetes.io/os": "windows"}})),
                vec![],
                Some("PodOSSelectorNodeLabelDoesNotMatch"),
            ),
            (
                pod(json!({"securityContext":
                    {"sysctls": [{"name": "kernel.core_pattern", "value": "|/x"}]}})),
                vec![],
                Some("SysctlForbidden"),
            ),
        ];
        let node: Node =
            serde_json::from_value(json!({"metadata": {"labels": {"disk": "ssd"}}})).unwrap();
        let allocatable = [("cpu".to_owned(), 2000)].into();
        for (pod, others, wanted) in table {
            let others: Vec<_> = others.into_iter().map(Arc::new).collect();
            let sysctls = Allowlist::new("6.1", &[]).unwrap();
            let got = refusal(&pod, &sysctls, &[7700, 10250])
                .or_else(|| check(&pod, Some(&node), &others, &allocatable, 3));
            assert_eq!(got.map(|verdict| verdict.reason).as_deref(), wanted);
        }
    }
}

//! NodeRestriction: a kubelet changes its own node and the pods bound to it, nothing else.

use apimachinery::{Object, ObjectExt, Status};
use async_trait::async_trait;
use serde_json::Value;

use super::{Operation, Plugin, Request};
use crate::registry::Sub;

/// Labels in the kubernetes.io space that a kubelet may set on its node.
const OWN_LABELS: &[&str] = &[
    "kubernetes.io/hostname",
    "kubernetes.io/arch",
    "kubernetes.io/os",
    "beta.kubernetes.io/arch",
    "beta.kubernetes.io/os",
    "beta.kubernetes.io/instance-type",
    "node.kubernetes.io/instance-type",
    "failure-domain.beta.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
];
const OWN_PREFIXES: &[&str] = &["kubelet.kubernetes.io/", "node.kubernetes.io/"];

pub(super) struct NodeRestriction;

#[async_trait]
impl Plugin for NodeRestriction {
    async fn validate(&self, request: &Request<'_>, object: Option<&Object>) -> Result<(), Status> {
        let Some(node) = request.user.node() else { return Ok(()) };
        match (request.kind.group, request.kind.resource) {
            ("", "nodes") => check_node(request, node, object),
            ("", "pods") => check_pod(request, node, object),
            ("", "serviceaccounts") if request.sub == Some(Sub::Token) => Ok(()),
            ("coordination.k8s.io", "leases") => {
                if request.namespace == "kube-node-lease" && request.name == node {
                    Ok(())
                } else {
                    Err(request.forbidden(format!(
                        "can only access node lease with the same name as the requesting node {node}"
                    )))
                }
            }
            ("storage.k8s.io", "csinodes") if request.name != node => Err(request
                .forbidden("can only access CSINode with the same name as the requesting node")),
            _ => Ok(()),
        }
    }
}

fn check_node(request: &Request<'_>, node: &str, object: Option<&Object>) -> Result<(), Status> {
    if request.name != node {
        return Err(request.forbidden(format!(
            "node {} is not allowed to modify node {}",
            apimachinery::text::quote(node),
            apimachinery::text::quote(request.name)
        )));
    }
    if request.operation == Operation::Delete {
        return Err(request.forbidden("is not allowed to delete itself"));
    }
    let (Some(object), Some(old)) = (object, request.old) else { return Ok(()) };
    if object["spec"]["taints"] != old["spec"]["taints"] {
        return Err(request.forbidden(format!(
            "node {} is not allowed to modify taints",
            apimachinery::text::quote(node)
        )));
    }
    let changed: Vec<&str> = object
        .labels()
        .filter(|(k, v)| old.label(k) != Some(v))
        .chain(old.labels().filter(|(k, _)| object.label(k).is_none()))
        .map(|(k, _)| k)
        .filter(|k| is_restricted(k))
        .collect();
    if changed.is_empty() {
        return Ok(());
    }
    Err(request.forbidden(format!("is not allowed to modify labels: {}", changed.join(", "))))
}

fn is_restricted(label: &str) -> bool {
    let space = label.split_once('/').map_or("", |(space, _)| space);
    let ours = ["kubernetes.io", "k8s.io"]
        .iter()
        .any(|root| space == *root || space.ends_with(&format!(".{root}")));
    ours && !OWN_LABELS.contains(&label) && !OWN_PREFIXES.iter().any(|p| label.starts_with(p))
}

fn check_pod(request: &Request<'_>, node: &str, object: Option<&Object>) -> Result<(), Status> {
    let bound_here =
        |pod: Option<&Value>| pod.is_some_and(|p| p.str_at(&["spec", "nodeName"]) == node);
    match (request.operation, request.sub) {
        (Operation::Create, None) => {
            let mirror =
                object.is_some_and(|p| p.annotation("kubernetes.io/config.mirror").is_some());
            if mirror && bound_here(object) {
                Ok(())
            } else {
                Err(request.forbidden("pod does not have \"kubernetes.io/config.mirror\" annotation, node can only create mirror pods"))
            }
        }
        (Operation::Delete | Operation::Update, _) if bound_here(request.old) => Ok(()),
        (Operation::Delete, _) => Err(request.forbidden(format!(
            "node {} can only delete pods with spec.nodeName set to itself",
            apimachinery::text::quote(node)
        ))),
        _ => Err(request.forbidden(format!(
            "node {} can only update pod status for pods with spec.nodeName set to itself",
            apimachinery::text::quote(node)
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_kubelets_own_labels_are_free() {
        for (label, restricted) in [
            ("kubernetes.io/hostname", false),
            ("node.kubernetes.io/x", false),
            ("node-restriction.kubernetes.io/x", true),
            ("node-role.kubernetes.io/master", true),
            ("example.com/x", false),
            ("plain", false),
        ] {
            assert_eq!(is_restricted(label), restricted, "{label}");
        }
    }
}

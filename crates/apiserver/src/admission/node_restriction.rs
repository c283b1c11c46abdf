//! NodeRestriction: a kubelet only changes its own node and the pods bound to it.

mod certificates;
mod pods;
mod tokens;

use apimachinery::text::quote;
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
/// Label domains, including their subdomains, that belong to kubelets.
const OWN_DOMAINS: &[&str] = &["kubelet.kubernetes.io", "node.kubernetes.io"];
/// The domain for labels that isolate workloads from nodes, which nodes may not set themselves.
const RESTRICTION: &str = "node-restriction.kubernetes.io";
const SIGNERS: &[&str] =
    &["kubernetes.io/kubelet-serving", "kubernetes.io/kube-apiserver-client-kubelet"];

pub(super) struct NodeRestriction;

/// Refused before any other plugin reports an error, as upstream does: the plugin counts as
/// mutating.
#[async_trait]
impl Plugin for NodeRestriction {
    async fn admit(&self, request: &Request<'_>, object: &mut Object) -> Result<(), Status> {
        check(request, Some(object)).await
    }

    async fn validate(&self, request: &Request<'_>, object: Option<&Object>) -> Result<(), Status> {
        if object.is_none() { check(request, None).await } else { Ok(()) }
    }
}

async fn check(request: &Request<'_>, object: Option<&Object>) -> Result<(), Status> {
    let Some(node) = request.user.node() else { return Ok(()) };
    // The name of the new object: a generated name is not the node's own.
    let named = object.map_or(request.name, ObjectExt::name);
    let request = &match request.operation {
        Operation::Create if request.sub.is_none() => Request { name: named, ..*request },
        _ => *request,
    };
    match (request.kind.group, request.kind.resource) {
        ("", "nodes") => check_node(request, node, object),
        ("", "pods") => pods::check(request, node, object),
        ("", "persistentvolumeclaims") => check_claim(request, node, object),
        ("", "serviceaccounts") => tokens::check(request, node, object).await,
        ("coordination.k8s.io", "leases") => {
            if request.namespace != "kube-node-lease" {
                let why = "can only access leases in the \"kube-node-lease\" system namespace";
                return Err(request.forbidden(why));
            }
            own_name(request, node, "node lease")
        }
        ("storage.k8s.io", "csinodes") => own_name(request, node, "CSINode"),
        ("resource.k8s.io", "resourceslices") => check_slice(request, node, object),
        ("certificates.k8s.io", "certificatesigningrequests") => {
            check_request(request, node, object)
        }
        ("certificates.k8s.io", "podcertificaterequests") => {
            certificates::check(request, node, object).await
        }
        _ => Ok(()),
    }
}

fn own_name(request: &Request<'_>, node: &str, what: &str) -> Result<(), Status> {
    if request.name == node {
        return Ok(());
    }
    Err(request
        .forbidden(format!("can only access {what} with the same name as the requesting node")))
}

fn check_node(request: &Request<'_>, node: &str, object: Option<&Object>) -> Result<(), Status> {
    let me = quote(node);
    if request.name != node {
        let other = quote(request.name);
        return Err(request.forbidden(format!("node {me} is not allowed to modify node {other}")));
    }
    let Some(object) = object else { return Ok(()) };
    let source = &object["spec"]["configSource"];
    let Some(old) = request.old else {
        if !source.is_null() {
            return Err(request.forbidden(format!(
                "node {me} is not allowed to create pods with a non-nil configSource"
            )));
        }
        let labels = restricted_changes(object, None);
        if !labels.is_empty() {
            return Err(request.forbidden(format!(
                "node {me} is not allowed to set the following labels: {}",
                labels.join(", ")
            )));
        }
        return Ok(());
    };
    if !source.is_null() && *source != old["spec"]["configSource"] {
        return Err(request.forbidden(format!(
            "node {me} is not allowed to update configSource to a new non-nil configSource"
        )));
    }
    if !same_list(&object["spec"]["taints"], &old["spec"]["taints"]) {
        return Err(request.forbidden(format!("node {me} is not allowed to modify taints")));
    }
    let owners = |o: &Object| o["metadata"]["ownerReferences"].clone();
    if !same_list(&owners(object), &owners(old)) {
        let why = format!("node {me} is not allowed to modify ownerReferences");
        return Err(request.forbidden(why));
    }
    let labels = restricted_changes(object, Some(old));
    if !labels.is_empty() {
        let why = format!("is not allowed to modify labels: {}", labels.join(", "));
        return Err(request.forbidden(why));
    }
    Ok(())
}

/// An absent list equals an empty one.
fn same_list(a: &Value, b: &Value) -> bool {
    let items = |v: &Value| v.as_array().cloned().unwrap_or_default();
    items(a) == items(b)
}

/// Changed labels that a kubelet may not set, in order.
fn restricted_changes(object: &Object, old: Option<&Object>) -> Vec<String> {
    let was = |key: &str| old.and_then(|old| old.label(key));
    let mut changed: Vec<String> = object
        .labels()
        .filter(|(key, value)| was(key) != Some(value))
        .map(|(key, _)| key)
        .chain(
            old.into_iter()
                .flat_map(ObjectExt::labels)
                .map(|(key, _)| key)
                .filter(|key| object.label(key).is_none()),
        )
        .filter(|key| is_restricted(key))
        .map(str::to_owned)
        .collect();
    changed.sort();
    changed
}

fn is_restricted(label: &str) -> bool {
    let domain = label.split_once('/').map_or("", |(domain, _)| domain);
    let within = |root: &str| {
        domain == root || domain.strip_suffix(root).is_some_and(|rest| rest.ends_with('.'))
    };
    let own = OWN_LABELS.contains(&label) || OWN_DOMAINS.iter().any(|d| within(d));
    within(RESTRICTION) || ((within("kubernetes.io") || within("k8s.io")) && !own)
}

/// A kubelet only reports how far a claim's volume has grown.
fn check_claim(request: &Request<'_>, node: &str, object: Option<&Object>) -> Result<(), Status> {
    let (Some(Sub::Status), Some(object), Some(old)) = (request.sub, object, request.old) else {
        return Err(request.forbidden("may only update PVC status"));
    };
    let rest = |claim: &Object| {
        let mut claim = claim.clone();
        claim.set_meta("resourceVersion", Value::Null);
        claim.set_meta("managedFields", Value::Null);
        for field in ["capacity", "conditions", "allocatedResourceStatuses", "allocatedResources"] {
            claim.remove_path(&["status", field]);
        }
        claim
    };
    if rest(object) == rest(old) {
        return Ok(());
    }
    Err(request.forbidden(format!(
        "node {} is not allowed to update fields other than status.quantity and status.conditions",
        quote(node)
    )))
}

fn check_slice(request: &Request<'_>, node: &str, object: Option<&Object>) -> Result<(), Status> {
    let (slice, verb) = match request.operation {
        Operation::Create => (object, "create"),
        Operation::Delete => (request.old, "delete"),
        Operation::Update | Operation::Connect => return Ok(()),
    };
    if slice.is_some_and(|s| s.str_at(&["spec", "nodeName"]) == node) {
        return Ok(());
    }
    Err(request.forbidden(format!(
        "can only {verb} ResourceSlice with the same NodeName as the requesting node"
    )))
}

/// A node only requests certificates for its own name.
fn check_request(request: &Request<'_>, node: &str, object: Option<&Object>) -> Result<(), Status> {
    let (Operation::Create, Some(csr)) = (request.operation, object) else { return Ok(()) };
    if !SIGNERS.contains(&csr.str_at(&["spec", "signerName"])) {
        return Ok(());
    }
    let asked = super::certificates::parse(csr)
        .map_err(|why| request.forbidden(format!("unable to parse csr: {why}")))?;
    if asked.user == format!("system:node:{node}") {
        return Ok(());
    }
    Err(request.forbidden(format!("can only create a node CSR with CN=system:node:{node}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_kubelets_own_labels_are_free() {
        for (label, restricted) in [
            ("kubernetes.io/hostname", false),
            ("node.kubernetes.io/x", false),
            ("zone.node.kubernetes.io/x", false),
            ("a.node-restriction.kubernetes.io/x", true),
            ("xkubernetes.io/x", false),
            ("node-restriction.kubernetes.io/x", true),
            ("node-role.kubernetes.io/master", true),
            ("example.com/x", false),
            ("plain", false),
        ] {
            assert_eq!(is_restricted(label), restricted, "{label}");
        }
    }
}

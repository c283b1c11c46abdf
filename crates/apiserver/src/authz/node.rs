//! The node authorizer: a kubelet reads objects that its pods refer to, and writes its own.
//!
//! The answers and their texts are those of upstream's `NodeAuthorizer`. The NodeRestriction
//! admission plugin decides which changes a node may make to an object that it can reach.

mod graph;

use std::sync::LazyLock;

use super::{Attributes, Opinion, Rule};
use crate::server::Server;

use graph::Node;
pub(crate) use graph::{POD_CONFIG_MAPS, POD_SECRETS, any_reference, claims_of};

/// All rules that a node may have (upstream's `NodeRules`); the authorizer narrows those on
/// resources that it knows.
const RULES: &[(&[&str], &[&str], &[&str])] = &[
    (&["authentication.k8s.io"], &["tokenreviews"], &["create"]),
    (
        &["authorization.k8s.io"],
        &["subjectaccessreviews", "localsubjectaccessreviews"],
        &["create"],
    ),
    (&[""], &["services"], &["get", "list", "watch"]),
    (&[""], &["nodes"], &["create", "get", "list", "watch"]),
    (&[""], &["nodes/status"], &["update", "patch"]),
    (&[""], &["nodes"], &["update", "patch"]),
    (&["", "events.k8s.io"], &["events"], &["create", "update", "patch"]),
    (&[""], &["pods"], &["get", "list", "watch"]),
    (&[""], &["pods"], &["create", "delete"]),
    (&[""], &["pods/status"], &["update", "patch"]),
    (&[""], &["pods/eviction"], &["create"]),
    (&[""], &["secrets", "configmaps"], &["get", "list", "watch"]),
    (&[""], &["persistentvolumeclaims", "persistentvolumes"], &["get"]),
    (&[""], &["endpoints"], &["get"]),
    (
        &["certificates.k8s.io"],
        &["certificatesigningrequests"],
        &["create", "get", "list", "watch"],
    ),
    (&["coordination.k8s.io"], &["leases"], &["get", "create", "update", "patch", "delete"]),
    (&["storage.k8s.io"], &["volumeattachments"], &["get"]),
    (&[""], &["serviceaccounts/token"], &["create"]),
    (&[""], &["persistentvolumeclaims/status"], &["get", "update", "patch"]),
    (&["storage.k8s.io"], &["csidrivers"], &["get", "watch", "list"]),
    (&["storage.k8s.io"], &["csinodes"], &["get", "create", "update", "patch", "delete"]),
    (&["node.k8s.io"], &["runtimeclasses"], &["get", "list", "watch"]),
    (&["resource.k8s.io"], &["resourceclaims"], &["get"]),
    (&["resource.k8s.io"], &["resourceslices"], &["deletecollection"]),
    (&["certificates.k8s.io"], &["clustertrustbundles"], &["get", "list", "watch"]),
    (&[""], &["serviceaccounts"], &["get"]),
    (&["certificates.k8s.io"], &["podcertificaterequests"], &["get", "list", "watch", "create"]),
];

fn deny(why: impl Into<String>) -> Opinion {
    Opinion::none(why)
}

fn allow() -> Opinion {
    Opinion::Allow(String::new())
}

pub(super) fn decide(server: &Server, a: &Attributes<'_>) -> Opinion {
    let Some(name) = a.user.node() else { return deny("") };
    let node = Node { server, name };
    let get = ["get"];
    let read = ["get", "list", "watch"];
    if a.is_resource {
        match (a.group, a.resource) {
            ("", "secrets" | "configmaps") => return namespaced(&node, a, &read),
            ("", "persistentvolumeclaims") if a.subresource == "status" => {
                return match a.verb {
                    "update" | "patch" => related(&node, a),
                    _ => deny("can only get/update/patch this type"),
                };
            }
            ("", "persistentvolumeclaims" | "persistentvolumes")
            | ("resource.k8s.io", "resourceclaims")
            | ("storage.k8s.io", "volumeattachments") => return individual(&node, a),
            ("", "serviceaccounts") if a.verb == "get" && a.subresource.is_empty() => {
                return namespaced(&node, a, &get);
            }
            ("", "serviceaccounts") => return token(&node, a),
            ("coordination.k8s.io", "leases") => return lease(&node, a),
            ("storage.k8s.io", "csinodes") => return csi_node(&node, a),
            ("resource.k8s.io", "resourceslices") => return resource_slice(&node, a),
            ("certificates.k8s.io", "podcertificaterequests") => return pod_request(&node, a),
            ("", "nodes") => return own_node(&node, a),
            ("", "pods") => return pod(&node, a),
            _ => {}
        }
    }
    if COMPILED.iter().any(|rule| rule.allows(a)) { allow() } else { deny("") }
}

/// Reads of single objects that the node's pods refer to.
fn individual(node: &Node<'_>, a: &Attributes<'_>) -> Opinion {
    if a.verb != "get" {
        return deny("can only get individual resources of this type");
    }
    if !a.subresource.is_empty() {
        return deny("cannot get subresource");
    }
    related(node, a)
}

/// The same for these verbs; a list or watch must select one object by a field selector.
fn namespaced(node: &Node<'_>, a: &Attributes<'_>, verbs: &[&str]) -> Opinion {
    if !verbs.contains(&a.verb) {
        return deny("can only read resources of this type");
    }
    if !a.subresource.is_empty() {
        return deny("cannot read subresource");
    }
    if a.namespace.is_empty() {
        return deny("can only read namespaced object of this type");
    }
    related(node, a)
}

fn related(node: &Node<'_>, a: &Attributes<'_>) -> Opinion {
    if a.name.is_empty() {
        return deny("No Object name found");
    }
    if node.reaches(a.resource, a.namespace, a.name) {
        return allow();
    }
    deny(format!("no relationship found between node '{}' and this object", node.name))
}

fn token(node: &Node<'_>, a: &Attributes<'_>) -> Opinion {
    if a.verb != "create" || a.name.is_empty() {
        return deny("can only create tokens for individual service accounts");
    }
    if a.subresource != "token" {
        return deny("can only create token subresource of serviceaccount");
    }
    related(node, a)
}

const OWN_VERBS: &[&str] = &["get", "create", "update", "patch", "delete"];

fn lease(node: &Node<'_>, a: &Attributes<'_>) -> Opinion {
    if !OWN_VERBS.contains(&a.verb) {
        return deny("can only get, create, update, patch, or delete a node lease");
    }
    if a.namespace != "kube-node-lease" {
        return deny("can only access leases in the \"kube-node-lease\" system namespace");
    }
    // Admission checks the name of a new lease.
    if a.verb != "create" && a.name != node.name {
        return deny("can only access node lease with the same name as the requesting node");
    }
    allow()
}

fn csi_node(node: &Node<'_>, a: &Attributes<'_>) -> Opinion {
    if a.subresource == "status" {
        return deny("CSINode status access requires CSIVolumeHealth feature");
    }
    if !OWN_VERBS.contains(&a.verb) {
        return deny("can only get, create, update, patch, or delete a CSINode");
    }
    if !a.subresource.is_empty() {
        return deny("cannot authorize CSINode subresources");
    }
    if a.verb != "create" && a.name != node.name {
        return deny("can only access CSINode with the same name as the requesting node");
    }
    allow()
}

fn resource_slice(node: &Node<'_>, a: &Attributes<'_>) -> Opinion {
    if !a.subresource.is_empty() {
        return deny("cannot authorize ResourceSlice subresources");
    }
    match a.verb {
        "create" => allow(),
        "get" | "update" | "patch" | "delete" => related(node, a),
        "watch" | "list" | "deletecollection" if a.selects_only("spec.nodeName", node.name) => {
            allow()
        }
        "watch" | "list" | "deletecollection" => {
            deny("can only list/watch/deletecollection resourceslices with nodeName field selector")
        }
        _ => deny(
            "only the following verbs are allowed for a ResourceSlice: get, watch, list, create, \
             update, patch, delete, deletecollection",
        ),
    }
}

fn pod_request(node: &Node<'_>, a: &Attributes<'_>) -> Opinion {
    if !a.subresource.is_empty() {
        return deny("nodes may not access the status subresource of PodCertificateRequests");
    }
    match a.verb {
        // Admission checks the request.
        "create" => allow(),
        "get" => related(node, a),
        "list" | "watch" if a.selects_only("spec.nodeName", node.name) => allow(),
        "list" | "watch" => {
            deny("can only list/watch podcertificaterequests with nodeName field selector")
        }
        verb => deny(format!("nodes may not {verb} podcertificaterequests")),
    }
}

fn own_node(node: &Node<'_>, a: &Attributes<'_>) -> Opinion {
    match (a.subresource, a.verb) {
        // Admission limits a node to its own object.
        ("", "create" | "update" | "patch") | ("status", "update" | "patch") => allow(),
        // By name alone, so that it can be read before it exists.
        ("", "get" | "list" | "watch") if a.name == node.name => allow(),
        ("", "get" | "list" | "watch") if a.name.is_empty() => {
            deny(format!("node '{}' cannot read all nodes, only its own Node object", node.name))
        }
        ("", "get" | "list" | "watch") => {
            deny(format!("node '{}' cannot read '{}', only its own Node object", node.name, a.name))
        }
        _ => deny(""),
    }
}

fn pod(node: &Node<'_>, a: &Attributes<'_>) -> Opinion {
    match (a.subresource, a.verb) {
        ("", "get") => individual(node, a),
        ("", "list" | "watch") if a.selects_only("spec.nodeName", node.name) => allow(),
        ("", "list" | "watch") if !a.name.is_empty() => related(node, a),
        ("", "list" | "watch") => {
            deny("can only list/watch pods with spec.nodeName field selector")
        }
        // Mirror pods, the status of the node's own pods and their eviction: admission checks the
        // pod.
        ("", "create" | "delete") | ("status", "update" | "patch") | ("eviction", "create") => {
            allow()
        }
        _ => deny(""),
    }
}

fn rule((groups, resources, verbs): &(&[&str], &[&str], &[&str])) -> Rule {
    let own = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect();
    Rule { verbs: own(verbs), groups: own(groups), resources: own(resources), ..Rule::default() }
}

static COMPILED: LazyLock<Vec<Rule>> = LazyLock::new(|| RULES.iter().map(rule).collect());

/// The same as a ClusterRole, for `system:node` in the bootstrap policy.
pub(crate) fn rules() -> &'static [Rule] {
    &COMPILED
}

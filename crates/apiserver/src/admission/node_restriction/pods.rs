//! The pods that a node may create, report on, evict and delete.

use apimachinery::text::quote;
use apimachinery::{Object, ObjectExt, Status};
use serde_json::Value;

use crate::admission::{Operation, Request};
use crate::authz::{POD_CONFIG_MAPS, POD_SECRETS, any_reference};
use crate::registry::{self, MIRROR_POD, Sub};

pub(super) fn check(
    request: &Request<'_>,
    node: &str,
    object: Option<&Object>,
) -> Result<(), Status> {
    let me = quote(node);
    let bound_here =
        |pod: Option<&Object>| pod.is_some_and(|p| p.str_at(&["spec", "nodeName"]) == node);
    match (request.sub, request.operation) {
        (None, Operation::Create) => match object {
            Some(pod) => check_mirror(request, node, pod),
            None => Ok(()),
        },
        (None, Operation::Delete) if bound_here(request.old) => Ok(()),
        (None, Operation::Delete) => Err(request
            .forbidden(format!("node {me} can only delete pods with spec.nodeName set to itself"))),
        (None, Operation::Connect) => Ok(()),
        (None, Operation::Update) => Err(request.forbidden(format!(
            "unexpected operation \"UPDATE\", node {me} can only create and delete mirror pods"
        ))),
        (Some(Sub::Status), _) => match (object, request.old) {
            (Some(pod), Some(old)) => check_status(request, node, pod, old),
            _ => Ok(()),
        },
        (Some(Sub::Eviction), _) if bound_here(request.old) => Ok(()),
        (Some(Sub::Eviction), _) => Err(request.forbidden(format!(
            "node {node} can only evict pods with spec.nodeName set to itself"
        ))),
        (Some(sub), _) => Err(request.forbidden(format!(
            "unexpected pod subresource {}, only 'status' and 'eviction' are allowed",
            quote(sub.name())
        ))),
    }
}

fn check_status(
    request: &Request<'_>,
    node: &str,
    pod: &Object,
    old: &Object,
) -> Result<(), Status> {
    let me = quote(node);
    if old.str_at(&["spec", "nodeName"]) != node {
        return Err(request.forbidden(format!(
            "node {me} can only update pod status for pods with spec.nodeName set to itself"
        )));
    }
    if pod.labels().ne(old.labels()) {
        let why = format!("node {me} cannot update labels through pod status");
        return Err(request.forbidden(why));
    }
    for (field, what) in [
        ("resourceClaimStatuses", "resource claim statues"),
        ("extendedResourceClaimStatus", "extended resource claim status"),
    ] {
        if pod["status"].get(field) != old["status"].get(field) {
            return Err(request.forbidden(format!("node {me} cannot update {what}")));
        }
    }
    Ok(())
}

/// A mirror pod is bound to its node, owned by it, and refers to no API objects.
fn check_mirror(request: &Request<'_>, node: &str, pod: &Object) -> Result<(), Status> {
    let me = quote(node);
    let refuse = |why: String| Err(request.forbidden(why));
    if pod.annotation(MIRROR_POD).is_none() {
        return refuse(format!(
            "pod does not have {} annotation, node {me} can only create mirror pods",
            quote(MIRROR_POD)
        ));
    }
    if pod.str_at(&["spec", "nodeName"]) != node {
        return refuse(format!("node {me} can only create pods with spec.nodeName set to itself"));
    }
    let owners = pod["metadata"]["ownerReferences"].as_array().map_or(&[][..], Vec::as_slice);
    let owner = match owners {
        [owner] => owner,
        [] => {
            return refuse(format!(
                "node {me} can only create pods with an owner reference set to itself"
            ));
        }
        _ => {
            return refuse(format!(
                "node {me} can only create pods with a single owner reference set to itself"
            ));
        }
    };
    if owner["apiVersion"] != "v1" || owner["kind"] != "Node" || owner["name"] != node {
        return refuse(format!(
            "node {me} can only create pods with an owner reference set to itself"
        ));
    }
    if owner["controller"] != true {
        return refuse(format!(
            "node {me} can only create pods with a controller owner reference set to itself"
        ));
    }
    if owner["blockOwnerDeletion"] == true {
        return refuse(format!("node {me} must not set blockOwnerDeletion on an owner reference"));
    }
    let kind = registry::find("", "v1", "nodes").ok_or_else(|| Status::internal("no nodes"))?;
    let own = request.server.entry(kind, "", node);
    let own = own.ok_or_else(|| Status::not_found("", "nodes", node))?.object();
    let (is, given) = (own.uid(), owner.str_at(&["uid"]));
    if is != given {
        return refuse(format!("node {node} UID mismatch: expected {given} got {is}"));
    }
    match referenced(pod) {
        Some(what) => refuse(format!("node {me} can not create pods that reference {what}")),
        None => Ok(()),
    }
}

/// Volume sources that refer to no API objects.
const FREE_VOLUMES: &[&str] = &[
    "awsElasticBlockStore",
    "azureDisk",
    "cephfs",
    "cinder",
    "downwardAPI",
    "emptyDir",
    "fc",
    "flexVolume",
    "flocker",
    "gcePersistentDisk",
    "gitRepo",
    "hostPath",
    "image",
    "iscsi",
    "nfs",
    "photonPersistentDisk",
    "portworxVolume",
    "quobyte",
    "rbd",
    "scaleIO",
    "storageos",
    "vsphereVolume",
];
/// Volume sources that do, and the objects they refer to.
const VOLUMES: &[(&str, &str)] = &[
    ("configMap", "configmaps (via configmap volumes)"),
    ("secret", "secrets (via secret volumes)"),
    ("csi", "csidrivers (via CSI volumes)"),
    ("glusterfs", "endpoints (via glusterFS volumes)"),
    ("persistentVolumeClaim", "persistentvolumeclaims"),
    ("ephemeral", "persistentvolumeclaims (via ephemeral volumes)"),
    ("azureFile", "secrets (via azureFile volumes)"),
];
const PROJECTED: &[(&str, &str)] = &[
    ("configMap", "configmaps (via projected volumes)"),
    ("secret", "secrets (via projected volumes)"),
    ("serviceAccountToken", "serviceaccounts (via projected volumes)"),
    ("clusterTrustBundle", "clustertrustbundles"),
    ("podCertificate", "podcertificates"),
];

/// The first kind of API object that a pod refers to (upstream's `HasAPIObjectReference`).
fn referenced(pod: &Object) -> Option<&'static str> {
    let spec = &pod["spec"];
    if !spec.str_at(&["serviceAccountName"]).is_empty() {
        return Some("serviceaccounts");
    }
    // Regardless of the name: a reference without one counts too.
    if any_reference(spec, POD_SECRETS, &|reference| !reference.is_null()) {
        return Some("secrets");
    }
    if any_reference(spec, POD_CONFIG_MAPS, &|reference| !reference.is_null()) {
        return Some("configmaps");
    }
    if spec["resourceClaims"].as_array().is_some_and(|claims| !claims.is_empty()) {
        return Some("resourceclaims");
    }
    let has = |source: &Value, known: &[(&str, &'static str)]| {
        known.iter().find(|(field, _)| !source[*field].is_null()).map(|(_, what)| *what)
    };
    spec["volumes"].as_array()?.iter().find_map(|volume| {
        if let Some(what) = has(volume, VOLUMES) {
            return Some(what);
        }
        if let Some(sources) = volume["projected"]["sources"].as_array() {
            return sources.iter().find_map(|source| {
                has(source, PROJECTED).or_else(|| {
                    source["downwardAPI"].is_null().then_some("an unknown projected source")
                })
            });
        }
        let free = !volume["projected"].is_null()
            || FREE_VOLUMES.iter().any(|field| !volume[*field].is_null());
        (!free).then_some("an unknown volume type")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_reference_to_the_api_is_found() {
        for (spec, want) in [
            (json!({"containers": [{"image": "x"}]}), None),
            (json!({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}), None),
            (json!({"volumes": [{"name": "v", "emptyDir": {}}]}), None),
            (
                json!({"volumes": [{"name": "v", "projected": {"sources": [{"downwardAPI": {}}]}}]}),
                None,
            ),
            (json!({"serviceAccountName": "default"}), Some("serviceaccounts")),
            (json!({"imagePullSecrets": [{"name": "x"}]}), Some("secrets")),
            (json!({"containers": [{"envFrom": [{"secretRef": {"name": "x"}}]}]}), Some("secrets")),
            (json!({"volumes": [{"name": "v", "secret": {"secretName": "x"}}]}), Some("secrets")),
            (
                json!({"initContainers": [{"env": [
                    {"name": "a", "valueFrom": {"configMapKeyRef": {"name": "x", "key": "k"}}},
                ]}]}),
                Some("configmaps"),
            ),
            (json!({"resourceClaims": [{"name": "x"}]}), Some("resourceclaims")),
            (
                json!({"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "x"}}]}),
                Some("persistentvolumeclaims"),
            ),
            (
                json!({"volumes": [
                    {"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}},
                ]}),
                Some("serviceaccounts (via projected volumes)"),
            ),
            (json!({"volumes": [{"name": "v"}]}), Some("an unknown volume type")),
        ] {
            assert_eq!(referenced(&json!({ "spec": spec })), want, "{spec}");
        }
    }
}

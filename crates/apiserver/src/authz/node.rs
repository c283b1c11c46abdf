//! The node authorizer: a kubelet reads what its pods refer to, and writes what is its own.

use apimachinery::ObjectExt;
use serde_json::Value;

use super::{Attributes, Decision, Rule};
use crate::registry;
use crate::server::Server;

/// What every kubelet may do (upstream's `NodeRules`), besides what depends on its pods.
const RULES: &[(&str, &[&str], &[&str])] = &[
    ("authentication.k8s.io", &["tokenreviews"], &["create"]),
    ("authorization.k8s.io", &["subjectaccessreviews", "localsubjectaccessreviews"], &["create"]),
    ("", &["services"], &["get", "list", "watch"]),
    ("", &["nodes"], &["create", "get", "list", "watch", "update", "patch"]),
    ("", &["nodes/status"], &["update", "patch"]),
    ("", &["events"], &["create", "update", "patch"]),
    ("", &["pods"], &["get", "list", "watch", "create", "delete"]),
    ("", &["pods/status"], &["update", "patch"]),
    ("", &["pods/eviction"], &["create"]),
    ("certificates.k8s.io", &["certificatesigningrequests"], &["create", "get", "list", "watch"]),
    ("coordination.k8s.io", &["leases"], &["get", "create", "update", "patch", "delete"]),
    ("storage.k8s.io", &["csinodes"], &["get", "create", "update", "patch", "delete"]),
    ("storage.k8s.io", &["csidrivers"], &["get", "list", "watch"]),
    ("storage.k8s.io", &["volumeattachments"], &["get"]),
    ("node.k8s.io", &["runtimeclasses"], &["get", "list", "watch"]),
    ("", &["persistentvolumeclaims/status"], &["get", "update", "patch"]),
    (
        "resource.k8s.io",
        &["resourceslices"],
        &["get", "list", "watch", "create", "update", "patch", "delete"],
    ),
];

pub(super) fn decide(server: &Server, a: &Attributes<'_>) -> Decision {
    let Some(node) = a.user.node() else { return Decision::Deny(String::new()) };
    if !a.is_resource {
        return Decision::Deny(String::new());
    }
    let related = match (a.group, a.resource) {
        ("", "secrets" | "configmaps" | "persistentvolumeclaims") if a.subresource.is_empty() => {
            true
        }
        ("", "persistentvolumes") => true,
        ("", "serviceaccounts") => a.subresource == "token" && a.verb == "create",
        _ => false,
    };
    if related {
        let reads = matches!(a.verb, "get" | "list" | "watch") || a.subresource == "token";
        if reads && !a.name.is_empty() && refers(server, node, a) {
            return Decision::Allow(String::new());
        }
        return Decision::Deny(format!(
            "no relationship found between node '{node}' and this object"
        ));
    }
    let resource = match a.subresource {
        "" => a.resource.to_owned(),
        sub => format!("{}/{sub}", a.resource),
    };
    let allowed = RULES.iter().any(|(group, resources, verbs)| {
        *group == a.group && resources.contains(&resource.as_str()) && verbs.contains(&a.verb)
    });
    if allowed { Decision::Allow(String::new()) } else { Decision::Deny(String::new()) }
}

/// Whether a pod on the node refers to the object.
fn refers(server: &Server, node: &str, a: &Attributes<'_>) -> bool {
    let Some(pods) = registry::find("", "v1", "pods") else { return false };
    let Ok((snapshot, _)) = server.present(pods) else { return false };
    let namespace = if a.resource == "persistentvolumes" { "" } else { a.namespace };
    snapshot
        .range(namespace, "")
        .filter(|entry| entry.field("spec.nodeName") == Some(node))
        .any(|entry| pod_refers(server, &entry.object(), a))
}

fn pod_refers(server: &Server, pod: &Value, a: &Attributes<'_>) -> bool {
    match a.resource {
        "serviceaccounts" => pod.str_at(&["spec", "serviceAccountName"]) == a.name,
        "secrets" => mentions(
            &pod["spec"],
            a.name,
            &["secret", "secretRef", "secretKeyRef", "imagePullSecrets"],
        ),
        "configmaps" => {
            mentions(&pod["spec"], a.name, &["configMap", "configMapRef", "configMapKeyRef"])
        }
        "persistentvolumeclaims" => claims(pod).any(|claim| claim == a.name),
        _ => {
            let Some(kind) = registry::find("", "v1", "persistentvolumeclaims") else {
                return false;
            };
            claims(pod).any(|claim| {
                server
                    .entry(kind, pod.namespace(), claim)
                    .is_some_and(|e| e.object().str_at(&["spec", "volumeName"]) == a.name)
            })
        }
    }
}

fn claims(pod: &Value) -> impl Iterator<Item = &str> {
    let volumes = pod["spec"]["volumes"].as_array().into_iter().flatten();
    volumes.map(|v| v.str_at(&["persistentVolumeClaim", "claimName"])).filter(|c| !c.is_empty())
}

/// Whether a reference of one of these fields, anywhere in the spec, names the object.
fn mentions(value: &Value, name: &str, fields: &[&str]) -> bool {
    let names = |reference: &Value| match reference {
        Value::Array(items) => items.iter().any(|i| i["name"] == name),
        other => other["name"] == name || other["secretName"] == name,
    };
    match value {
        Value::Object(map) => map.iter().any(|(key, v)| {
            (fields.contains(&key.as_str()) && names(v)) || mentions(v, name, fields)
        }),
        Value::Array(items) => items.iter().any(|v| mentions(v, name, fields)),
        _ => false,
    }
}

/// The same as a ClusterRole, for `system:node` in the bootstrap policy.
pub(crate) fn rules() -> Vec<Rule> {
    let own = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect();
    RULES
        .iter()
        .map(|(group, resources, verbs)| Rule {
            verbs: own(verbs),
            groups: vec![(*group).to_owned()],
            resources: own(resources),
            ..Rule::default()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn references_are_found_wherever_they_stand() {
        let spec = json!({
            "imagePullSecrets": [{"name": "pull"}],
            "containers": [{"env": [{"valueFrom": {"secretKeyRef": {"name": "env", "key": "k"}}}]}],
            "volumes": [
                {"secret": {"secretName": "vol"}},
                {"projected": {"sources": [{"secret": {"name": "proj"}}]}},
                {"configMap": {"name": "conf"}},
            ],
        });
        let secret = ["secret", "secretRef", "secretKeyRef", "imagePullSecrets"];
        for name in ["pull", "env", "vol", "proj"] {
            assert!(mentions(&spec, name, &secret), "{name}");
        }
        assert!(!mentions(&spec, "conf", &secret));
        assert!(mentions(&spec, "conf", &["configMap"]));
    }
}

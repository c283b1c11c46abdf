//! Paths from an object to a node: upstream's authorization graph, walked over the caches.
//!
//! A secret belongs to a node if a pod bound to it refers to the secret, or a volume of such a pod
//! does. Walking from the few pods of one node needs no index that writes must maintain.

use std::sync::Arc;

use apimachinery::{Object, ObjectExt};
use serde_json::Value;

use crate::cache::Entry;
use crate::registry;
use crate::server::Server;

/// Fields by which a pod's spec names secrets.
pub(crate) const POD_SECRETS: &[&str] = &[
    "secret",
    "secretRef",
    "secretKeyRef",
    "imagePullSecrets",
    "azureFile",
    "nodePublishSecretRef",
];
/// Fields by which a pod's spec names config maps.
pub(crate) const POD_CONFIG_MAPS: &[&str] = &["configMap", "configMapRef", "configMapKeyRef"];
/// Fields of a persistent volume's source that name secrets a kubelet needs; a CSI driver's
/// controller uses others.
const VOLUME_SECRETS: &[&str] =
    &["secretRef", "nodePublishSecretRef", "nodeStageSecretRef", "nodeExpandSecretRef"];

/// A node that sends a request.
pub(super) struct Node<'a> {
    pub(super) server: &'a Server,
    pub(super) name: &'a str,
}

impl Node<'_> {
    /// Returns true if a path leads from the object to this node.
    pub(super) fn reaches(&self, resource: &str, namespace: &str, name: &str) -> bool {
        match resource {
            "pods" => self.pod(namespace, name),
            "serviceaccounts" => {
                self.pods(namespace).any(|pod| pod.str_at(&["spec", "serviceAccountName"]) == name)
            }
            "configmaps" => {
                self.pods(namespace).any(|pod| mentions(&pod["spec"], name, POD_CONFIG_MAPS))
            }
            "secrets" => {
                self.pods(namespace).any(|pod| mentions(&pod["spec"], name, POD_SECRETS))
                    || self.volumes().any(|volume| volume_mentions(&volume, namespace, name))
            }
            "persistentvolumeclaims" => self.claims(namespace).any(|(_, claim)| claim == name),
            "persistentvolumes" => self.volumes().any(|volume| volume.name() == name),
            "resourceclaims" => self.pods(namespace).any(|pod| has_resource_claim(&pod, name)),
            "volumeattachments" => self.says_node("storage.k8s.io", resource, "", name),
            "resourceslices" => self.says_node("resource.k8s.io", resource, "", name),
            "podcertificaterequests" => {
                self.says_node("certificates.k8s.io", resource, namespace, name)
            }
            _ => false,
        }
    }

    fn pod(&self, namespace: &str, name: &str) -> bool {
        let kind = registry::find("", "v1", "pods");
        let entry = kind.and_then(|kind| self.server.entry(kind, namespace, name));
        entry.is_some_and(|entry| self.has(&entry))
    }

    fn has(&self, pod: &Entry) -> bool {
        pod.field("spec.nodeName") == Some(self.name)
    }

    /// The node's pods in a namespace, or in all of them, without mirror pods: the node creates
    /// those itself and must not gain access through them.
    fn pods(&self, namespace: &str) -> impl Iterator<Item = Object> {
        let kind = registry::find("", "v1", "pods");
        let present = kind.and_then(|kind| self.server.present(kind).ok());
        let entries: Vec<Arc<Entry>> = present
            .into_iter()
            .flat_map(|(snapshot, _)| {
                snapshot.range(namespace, "").filter(|e| self.has(e)).cloned().collect::<Vec<_>>()
            })
            .collect();
        entries
            .into_iter()
            .map(|entry| entry.object())
            .filter(|pod| pod.annotation(registry::MIRROR_POD).is_none())
    }

    /// Namespaces and names of the claims of the node's pods.
    fn claims(&self, namespace: &str) -> impl Iterator<Item = (String, String)> {
        self.pods(namespace).flat_map(|pod| {
            let own = pod.namespace().to_owned();
            let names: Vec<String> = claims_of(&pod).collect();
            names.into_iter().map(move |name| (own.clone(), name))
        })
    }

    /// The volumes bound to those claims, according to the volumes.
    fn volumes(&self) -> impl Iterator<Item = Object> {
        let server = self.server;
        self.claims("").filter_map(move |(namespace, name)| {
            let claims = registry::find("", "v1", "persistentvolumeclaims")?;
            let claim = server.entry(claims, &namespace, &name)?.object();
            let volumes = registry::find("", "v1", "persistentvolumes")?;
            let volume = claim.str_at(&["spec", "volumeName"]);
            let volume = server.entry(volumes, "", volume)?.object();
            let back = &volume["spec"]["claimRef"];
            let bound = back["namespace"] == namespace.as_str() && back["name"] == name.as_str();
            bound.then_some(volume)
        })
    }

    fn says_node(&self, group: &str, resource: &str, namespace: &str, name: &str) -> bool {
        let kind = registry::find(group, "v1", resource);
        let entry = kind.and_then(|kind| self.server.entry(kind, namespace, name));
        entry.is_some_and(|e| e.object().str_at(&["spec", "nodeName"]) == self.name)
    }
}

/// Names of the claims of a pod's volumes; an ephemeral one is named after pod and volume.
pub(crate) fn claims_of(pod: &Object) -> impl Iterator<Item = String> {
    let volumes = pod["spec"]["volumes"].as_array().into_iter().flatten();
    volumes.filter_map(|volume| {
        let claim = volume.str_at(&["persistentVolumeClaim", "claimName"]);
        if !claim.is_empty() {
            Some(claim.to_owned())
        } else if volume["ephemeral"].is_object() {
            Some(format!("{}-{}", pod.name(), volume.str_at(&["name"])))
        } else {
            None
        }
    })
}

fn has_resource_claim(pod: &Object, name: &str) -> bool {
    let named = |list: &Value, field: &str| {
        list.as_array().into_iter().flatten().any(|claim| claim[field] == name)
    };
    named(&pod["spec"]["resourceClaims"], "resourceClaimName")
        || named(&pod["status"]["resourceClaimStatuses"], "resourceClaimName")
        || pod["status"]["extendedResourceClaimStatus"]["resourceClaimName"] == name
}

/// Returns true if a reference in one of these fields, anywhere in the spec, names the object.
fn mentions(value: &Value, name: &str, fields: &[&str]) -> bool {
    any_reference(value, fields, &|reference| {
        reference["name"] == name || reference["secretName"] == name
    })
}

/// Returns true if a reference in one of these fields, anywhere in the value, is `wanted`.
pub(crate) fn any_reference(
    value: &Value,
    fields: &[&str],
    wanted: &dyn Fn(&Value) -> bool,
) -> bool {
    let holds = |reference: &Value| match reference {
        Value::Array(items) => items.iter().any(wanted),
        other => wanted(other),
    };
    match value {
        Value::Object(map) => map.iter().any(|(key, v)| {
            (fields.contains(&key.as_str()) && holds(v)) || any_reference(v, fields, wanted)
        }),
        Value::Array(items) => items.iter().any(|v| any_reference(v, fields, wanted)),
        _ => false,
    }
}

/// Returns true if a volume's source names the secret; the default namespace is the claim's.
fn volume_mentions(volume: &Object, namespace: &str, name: &str) -> bool {
    let spec = &volume["spec"];
    let of_claim = spec.str_at(&["claimRef", "namespace"]);
    let here =
        |given: &str| if given.is_empty() { of_claim == namespace } else { given == namespace };
    let azure = &spec["azureFile"];
    any_reference(spec, VOLUME_SECRETS, &|reference| {
        reference["name"] == name && here(reference.str_at(&["namespace"]))
    }) || (azure["secretName"] == name && here(azure.str_at(&["secretNamespace"])))
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
            "ephemeralContainers": [{"envFrom": [{"secretRef": {"name": "debug"}}]}],
            "volumes": [
                {"secret": {"secretName": "vol"}},
                {"projected": {"sources": [{"secret": {"name": "proj"}}]}},
                {"csi": {"nodePublishSecretRef": {"name": "csi"}}},
                {"azureFile": {"secretName": "azure"}},
                {"configMap": {"name": "conf"}},
            ],
            "nodeSelector": {"secretRef": "label"},
        });
        for name in ["pull", "env", "debug", "vol", "proj", "csi", "azure"] {
            assert!(mentions(&spec, name, POD_SECRETS), "{name}");
        }
        for name in ["conf", "label"] {
            assert!(!mentions(&spec, name, POD_SECRETS), "{name}");
        }
        assert!(mentions(&spec, "conf", POD_CONFIG_MAPS));
    }

    #[test]
    fn a_volume_leads_to_the_secrets_that_the_node_needs() {
        let volume = json!({"spec": {
            "claimRef": {"namespace": "a", "name": "data"},
            "csi": {
                "nodeStageSecretRef": {"namespace": "a", "name": "stage"},
                "controllerPublishSecretRef": {"namespace": "a", "name": "publish"},
            },
            "cephfs": {"secretRef": {"name": "ceph"}},
        }});
        assert!(volume_mentions(&volume, "a", "stage"));
        assert!(volume_mentions(&volume, "a", "ceph"));
        assert!(!volume_mentions(&volume, "b", "ceph"));
        assert!(!volume_mentions(&volume, "a", "publish"));
    }
}

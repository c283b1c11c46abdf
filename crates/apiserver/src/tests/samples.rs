//! A valid object of every kind.

use serde_json::{Value, json};

use crate::registry::Kind;

fn template() -> Value {
    json!({
        "metadata": {"labels": {"app": "x"}},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    })
}

/// Two names that a kind takes.
pub(super) fn names_of(kind: &Kind) -> (&'static str, &'static str) {
    if kind.kind == "IPAddress" { ("10.9.8.7", "2001:db8::1") } else { ("a", "binary") }
}

/// What a kind needs besides metadata.
fn body(kind: &Kind) -> Value {
    let selector = json!({"matchLabels": {"app": "x"}});
    match (kind.group, kind.kind) {
        ("", "Pod") => json!({"spec": template()["spec"]}),
        ("", "PodTemplate") => json!({"template": template()}),
        ("", "Service") => json!({"spec": {"ports": [{"port": 80}]}}),
        ("", "ReplicationController") => {
            json!({"spec": {"template": template(), "selector": {"app": "x"}}})
        }
        ("", "PersistentVolumeClaim") => json!({"spec": {
            "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}},
        }}),
        ("", "PersistentVolume") => json!({"spec": {
            "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, "hostPath": {"path": "/x"},
        }}),
        (_, "Event") => json!({
            "involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"},
            "regarding": {"kind": "Pod", "name": "p", "namespace": "default"},
        }),
        ("networking.k8s.io", "IPAddress") => json!({"spec": {
            "parentRef": {"resource": "services", "namespace": "default", "name": "s"},
        }}),
        ("apps", "ControllerRevision") => json!({"revision": 1}),
        ("apps", "StatefulSet") => {
            json!({"spec": {"selector": selector, "template": template(), "serviceName": "s"}})
        }
        ("apps", _) => json!({"spec": {"selector": selector, "template": template()}}),
        ("batch", of) => {
            let mut template = template();
            template["spec"]["restartPolicy"] = "Never".into();
            let job = json!({"template": template});
            if of == "Job" {
                json!({"spec": job})
            } else {
                json!({"spec": {"schedule": "* * * * *", "jobTemplate": {"spec": job}}})
            }
        }
        ("autoscaling", _) => json!({"spec": {
            "maxReplicas": 3, "scaleTargetRef": {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"},
        }}),
        ("networking.k8s.io", "Ingress") => json!({"spec": {
            "defaultBackend": {"service": {"name": "s", "port": {"number": 80}}},
        }}),
        ("networking.k8s.io", "IngressClass") => json!({"spec": {"controller": "example.com/c"}}),
        ("networking.k8s.io", "NetworkPolicy") => json!({"spec": {"podSelector": {}}}),
        ("rbac.authorization.k8s.io", of) if of.ends_with("Binding") => json!({
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        }),
        ("storage.k8s.io", "StorageClass") => json!({"provisioner": "example.com/x"}),
        ("storage.k8s.io", "CSIStorageCapacity") => json!({"storageClassName": "s"}),
        ("discovery.k8s.io", _) => json!({
            "addressType": "IPv4", "endpoints": [{"addresses": ["10.1.2.3"], "conditions": {}}],
            "ports": [{"name": "http", "port": 80, "protocol": "TCP"}],
        }),
        ("node.k8s.io", _) => json!({"handler": "h"}),
        ("scheduling.k8s.io", _) => json!({"value": 5}),
        _ => json!({}),
    }
}

/// An object of the kind named `name`.
pub(super) fn sample(kind: &Kind, name: &str) -> Value {
    let mut object = body(kind);
    if kind.kind == "Event" {
        // Each version knows one of the two names.
        let other = if kind.group.is_empty() { "regarding" } else { "involvedObject" };
        if let Some(map) = object.as_object_mut() {
            map.remove(other);
        }
    }
    object["apiVersion"] = kind.api_version().into();
    object["kind"] = kind.kind.into();
    object["metadata"] = json!({"name": name, "labels": {"suite": "conformance"}});
    object
}

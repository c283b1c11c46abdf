//! All input is read or refused, and input that is read can be written and read again.

mod codecs;
mod objects;
mod texts;

use serde_json::{Value, json};

/// Objects with every feature of schemas: keyed and plain lists, maps, times, quantities, bytes.
fn objects() -> Vec<Value> {
    vec![
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {
                "name": "web", "namespace": "default", "labels": {"a": "b", "c": ""},
                "creationTimestamp": "2024-01-01T00:00:00Z", "finalizers": ["x", "y"],
                "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "o", "uid": "u"}],
                "managedFields": [{
                    "manager": "me", "operation": "Apply", "apiVersion": "apps/v1",
                    "time": "2024-01-01T00:00:00Z", "fieldsType": "FieldsV1",
                    "fieldsV1": {"f:spec": {"f:replicas": {}, "f:template": {"f:spec": {
                        "f:containers": {"k:{\"name\":\"c\"}": {".": {}, "f:image": {}}}}}}},
                }],
            },
            "spec": {
                "replicas": 3, "selector": {"matchLabels": {"a": "b"}},
                "strategy": {"rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 1}},
                "template": {"metadata": {"labels": {"a": "b"}}, "spec": {
                    "containers": [
                        {"name": "c", "image": "x", "args": ["1", "2"],
                         "ports": [{"containerPort": 80, "protocol": "TCP"}, {"containerPort": 53}],
                         "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
                         "resources": {"requests": {"cpu": "100m", "memory": "1Gi"}}},
                        {"name": "d", "image": "y", "volumeMounts": [{"mountPath": "/m", "name": "v"}]},
                    ],
                    "volumes": [{"name": "v", "emptyDir": {"sizeLimit": "1G"}}],
                    "tolerations": [{"key": "k", "operator": "Exists", "tolerationSeconds": 3}],
                }},
            },
            "status": {"conditions": [{"type": "Available", "status": "True",
                "lastUpdateTime": "2024-01-01T00:00:00Z"}]},
        }),
        json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"},
            "data": {"k": "aGk="}, "stringData": {"t": "x"}, "type": "Opaque", "immutable": true,
        }),
        json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l"},
            "spec": {"holderIdentity": "h", "leaseDurationSeconds": 15,
                     "renewTime": "2024-01-01T00:00:00.000001Z"},
        }),
        json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": "a.b"},
            "spec": {"group": "b", "scope": "Namespaced", "names": {"kind": "A", "plural": "a"},
                "versions": [{"name": "v1", "served": true, "storage": true, "schema": {
                    "openAPIV3Schema": {"type": "object", "default": {"x": 1.5}, "properties": {
                        "x": {"type": "number", "maximum": 3.25},
                        "y": {"type": "array", "items": {"type": "string"}}}}}}]},
        }),
    ]
}

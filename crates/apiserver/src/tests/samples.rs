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
    match kind.kind {
        "IPAddress" => ("10.9.8.7", "2001:db8::1"),
        "APIService" => ("v1.a.example", "v1.binary.example"),
        "CustomResourceDefinition" => ("as.a.example", "as.binary.example"),
        _ => ("a", "binary"),
    }
}

/// A name of one of several, where names cannot be generated.
pub(super) fn name_of(kind: &Kind, n: usize) -> Option<String> {
    match kind.kind {
        "IPAddress" => Some(format!("10.9.9.{n}")),
        "APIService" => Some(format!("v1.g{n}.example")),
        "CustomResourceDefinition" => Some(format!("as.g{n}.example")),
        _ => None,
    }
}

/// A signing request in PEM, in base64.
const REQUEST: &str = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUlIVE1Ib0NBUUF3R0RFS01BZ0dBMVVFQXd3QmRURUtNQWdHQTFVRUNnd0JaekJaTUJNR0J5cUdTTTQ5QWdFRwpDQ3FHU000OUF3RUhBMElBQkRycnQ4dGs4cms2QXZ5S2RpSEVGaVp5eVlmTzBQek9MMkE5bjhDVklyL2NTL2FoCmJTWnRTK3pGdTIzb01KWllyeVhzSUVibkFpNFJ6THNUWGs2Ry81R2dBREFLQmdncWhrak9QUVFEQWdOSkFEQkcKQWlFQXNNbVo4cXViYS9mb1JuKzJ0ZUJsMjJoU1VTRFRUcWFHd21WenFYSjJzajRDSVFDOVkwMGpIcWhFK1llbApXVWFKUmU4OEZXNXovbERpeUwwQWNjQU1oUzFTWnc9PQotLS0tLUVORCBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0K";

/// What a webhook or policy is asked about.
fn rule() -> Value {
    json!({
        "operations": ["CREATE"], "apiGroups": ["a.example"], "apiVersions": ["v1"],
        "resources": ["none"],
    })
}

fn hook(client: Value) -> Value {
    json!({"webhooks": [{
        "name": "a.example.com", "sideEffects": "None", "admissionReviewVersions": ["v1"],
        "clientConfig": client, "rules": [rule()],
    }]})
}

/// What a kind of these groups needs besides metadata, where the name says a part.
fn named(kind: &Kind, name: &str) -> Option<Value> {
    let (first, group) = name.split_once('.').unwrap_or((name, "a.example"));
    let claim = json!({
        "devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": "c"}}]},
    });
    Some(match kind.kind {
        "APIService" => json!({"spec": {
            "group": group, "version": first, "groupPriorityMinimum": 100, "versionPriority": 10,
            "insecureSkipTLSVerify": true, "service": {"namespace": "default", "name": "s", "port": 443},
        }}),
        "CustomResourceDefinition" => json!({"spec": {
            "group": group, "scope": "Namespaced", "names": {"plural": first, "kind": "A"},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object"}},
            }],
        }}),
        "CSINode" => json!({"spec": {
            "drivers": [{"name": "d", "nodeID": "n", "topologyKeys": ["a"]}],
        }}),
        "CSIDriver" => json!({"spec": {"attachRequired": true}}),
        "VolumeAttachment" => json!({"spec": {
            "attacher": "a", "nodeName": "n", "source": {"persistentVolumeName": "p"},
        }}),
        "VolumeAttributesClass" => json!({"driverName": "d", "parameters": {"a": "b"}}),
        "FlowSchema" => json!({"spec": {
            "priorityLevelConfiguration": {"name": "global-default"}, "matchingPrecedence": 5000,
            "rules": [{
                "subjects": [{"kind": "Group", "group": {"name": "g"}}],
                "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/a"]}],
            }],
        }}),
        "PriorityLevelConfiguration" => json!({"spec": {
            "type": "Limited",
            "limited": {"nominalConcurrencyShares": 10, "limitResponse": {"type": "Reject"}},
        }}),
        "CertificateSigningRequest" => json!({"spec": {
            "request": REQUEST, "signerName": "example.com/s", "usages": ["client auth"],
        }}),
        "ValidatingWebhookConfiguration" => hook(json!({"url": "https://127.0.0.1:1/a"})),
        "MutatingWebhookConfiguration" => {
            hook(json!({"service": {"namespace": "default", "name": "s"}}))
        }
        "ValidatingAdmissionPolicy" => json!({"spec": {
            "matchConstraints": {"resourceRules": [rule()]}, "validations": [{"expression": "true"}],
        }}),
        "ValidatingAdmissionPolicyBinding" => json!({"spec": {
            "policyName": "p", "validationActions": ["Deny"],
        }}),
        "ResourceClaim" => json!({ "spec": claim }),
        "ResourceClaimTemplate" => json!({"spec": {"spec": claim}}),
        "ResourceSlice" => json!({"spec": {
            "driver": "d.example", "nodeName": "n",
            "pool": {"name": "p", "generation": 1, "resourceSliceCount": 1},
            "devices": [{"name": "d0"}],
        }}),
        "ServiceCIDR" => json!({"spec": {"cidrs": ["10.98.0.0/24"]}}),
        _ => return None,
    })
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
        ("apps", "ControllerRevision") => json!({"revision": 1, "data": {"a": "b"}}),
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
    let mut object = named(kind, name).unwrap_or_else(|| body(kind));
    if kind.kind == "Event" {
        // Each version knows one of the two names.
        let other = if kind.group.is_empty() { "regarding" } else { "involvedObject" };
        if let Some(map) = object.as_object_mut() {
            map.remove(other);
        }
    }
    if kind.group == "events.k8s.io" {
        object["eventTime"] = "2024-01-01T00:00:00.000000Z".into();
        for (field, value) in [
            ("type", "Normal"),
            ("reason", "R"),
            ("note", "n"),
            ("action", "A"),
            ("reportingController", "a.example/c"),
            ("reportingInstance", "i"),
        ] {
            object[field] = value.into();
        }
    }
    object["apiVersion"] = kind.api_version().into();
    object["kind"] = kind.kind.into();
    object["metadata"] = json!({"name": name, "labels": {"suite": "conformance"}});
    object
}

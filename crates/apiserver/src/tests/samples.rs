//! A valid object of every kind.

use serde_json::{Value, json};

use crate::registry::Kind;

fn template() -> Value {
    json!({
        "metadata": {"labels": {"app": "x"}},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    })
}

/// Two valid names of a kind.
pub(super) fn names_of(kind: &Kind) -> (&'static str, &'static str) {
    match kind.kind {
        "IPAddress" => ("10.9.8.7", "2001:db8::1"),
        "APIService" => ("v1.a.example.com", "v1.b.example.com"),
        "CustomResourceDefinition" => ("foos.example.com", "bars.example.com"),
        _ => ("a", "binary"),
    }
}

/// The `n`th further name of a kind whose names cannot be generated.
pub(super) fn further_name(kind: &Kind, n: usize) -> Option<String> {
    match kind.kind {
        "IPAddress" => Some(format!("10.9.9.{n}")),
        "APIService" => Some(format!("v1.g{n}.example.com")),
        "CustomResourceDefinition" => Some(format!("g{n}s.example.com")),
        _ => None,
    }
}

/// The fields of a kind besides metadata.
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
        ("", "Event") => json!({
            "involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"},
        }),
        ("events.k8s.io", _) => json!({
            "regarding": {"kind": "Pod", "name": "p", "namespace": "default"},
            "type": "Normal", "reason": "R", "action": "A", "reportingController": "a.b/c",
            "reportingInstance": "i", "eventTime": "2024-01-01T00:00:00.000000Z",
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
        ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy") => json!({"spec": {
            "matchConstraints": {"resourceRules": [{"operations": ["CREATE"],
                "apiGroups": ["none.example"], "apiVersions": ["v1"], "resources": ["none"]}]},
            "validations": [{"expression": "true"}],
        }}),
        ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding") => {
            json!({"spec": {"policyName": "p", "validationActions": ["Deny"]}})
        }
        ("apiextensions.k8s.io", _) => json!({"spec": {
            "scope": "Namespaced", "versions": [{"name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object"}}}],
        }}),
        ("apiregistration.k8s.io", _) => json!({"spec": {
            "groupPriorityMinimum": 100, "versionPriority": 10, "insecureSkipTLSVerify": true,
            "service": {"namespace": "default", "name": "s", "port": 443},
        }}),
        ("admissionregistration.k8s.io", "MutatingAdmissionPolicy") => json!({"spec": {
            "matchConstraints": {"resourceRules": [{"operations": ["CREATE"],
                "apiGroups": ["none.example"], "apiVersions": ["v1"], "resources": ["none"]}]},
            "reinvocationPolicy": "Never",
            "mutations": [{"patchType": "JSONPatch", "jsonPatch": {
                "expression": "[JSONPatch{op: \"test\", path: \"/kind\", value: \"A\"}]",
            }}],
        }}),
        ("admissionregistration.k8s.io", "MutatingAdmissionPolicyBinding") => {
            json!({"spec": {"policyName": "p"}})
        }
        ("certificates.k8s.io", "ClusterTrustBundle") => json!({"spec": {
            "trustBundle": authority(),
        }}),
        ("certificates.k8s.io", "PodCertificateRequest") => json!({"spec": {
            "signerName": "example.com/s", "podName": "p", "podUID": "1",
            "serviceAccountName": "s", "serviceAccountUID": "2", "nodeName": "n", "nodeUID": "3",
            "maxExpirationSeconds": 86400,
            "stubPKCS10Request": stub_request(),
        }}),
        ("certificates.k8s.io", _) => json!({"spec": {
            "request": certificate_request(), "signerName": "example.com/s",
            "usages": ["client auth"],
        }}),
        ("flowcontrol.apiserver.k8s.io", "FlowSchema") => json!({"spec": {
            "priorityLevelConfiguration": {"name": "global-default"}, "matchingPrecedence": 5000,
            "rules": [{"subjects": [{"kind": "Group", "group": {"name": "g"}}],
                "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/a"]}]}],
        }}),
        ("flowcontrol.apiserver.k8s.io", _) => json!({"spec": {"type": "Limited", "limited": {
            "nominalConcurrencyShares": 10, "limitResponse": {"type": "Reject"},
        }}}),
        ("networking.k8s.io", "ServiceCIDR") => json!({"spec": {"cidrs": ["10.98.0.0/24"]}}),
        ("storagemigration.k8s.io", _) => {
            json!({"spec": {"resource": {"group": "apps", "resource": "deployments"}}})
        }
        ("resource.k8s.io", "DeviceTaintRule") => json!({"spec": {
            "deviceSelector": {"driver": "d.example"},
            "taint": {"key": "k", "effect": "NoSchedule"},
        }}),
        ("resource.k8s.io", "ResourceClaim") => json!({"spec": devices()}),
        ("resource.k8s.io", "ResourceClaimTemplate") => json!({"spec": {"spec": devices()}}),
        ("resource.k8s.io", "ResourceSlice") => json!({"spec": {
            "driver": "d.example", "nodeName": "n",
            "pool": {"name": "p", "generation": 1, "resourceSliceCount": 1},
            "devices": [{"name": "d0"}],
        }}),
        ("storage.k8s.io", "CSIDriver") => json!({"spec": {"attachRequired": true}}),
        ("storage.k8s.io", "CSINode") => {
            json!({"spec": {"drivers": [{"name": "d", "nodeID": "n"}]}})
        }
        ("storage.k8s.io", "VolumeAttachment") => json!({"spec": {
            "attacher": "a", "nodeName": "n", "source": {"persistentVolumeName": "p"},
        }}),
        ("storage.k8s.io", "VolumeAttributesClass") => {
            json!({"driverName": "d", "parameters": {"a": "b"}})
        }
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

fn devices() -> Value {
    json!({"devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": "c"}}]}})
}

/// Always the same one, because tests compare objects.
/// A trust anchor, as PEM; always the same one.
fn authority() -> String {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
    static MADE: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    let made = MADE.get_or_init(|| {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
    });
    made.clone()
}

/// The certificate request of a pod, which only has a key; always the same one.
fn stub_request() -> String {
    use base64::Engine as _;
    use rcgen::{CertificateParams, KeyPair};
    static MADE: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    let made = MADE.get_or_init(|| {
        let key = KeyPair::generate().unwrap();
        let request = CertificateParams::default().serialize_request(&key).unwrap();
        base64::engine::general_purpose::STANDARD.encode(request.der())
    });
    made.clone()
}

fn certificate_request() -> String {
    use base64::Engine;
    static MADE: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    let made = MADE.get_or_init(|| {
        let key = rcgen::KeyPair::generate().unwrap();
        let request = rcgen::CertificateParams::default().serialize_request(&key).unwrap();
        base64::engine::general_purpose::STANDARD.encode(request.pem().unwrap())
    });
    made.clone()
}

/// An object of the kind named `name`.
pub(super) fn sample(kind: &Kind, name: &str) -> Value {
    let mut object = body(kind);
    // Some names repeat values of the spec.
    match (kind.kind, name.split_once('.')) {
        ("APIService", Some((version, group))) => {
            object["spec"]["version"] = version.into();
            object["spec"]["group"] = group.into();
        }
        ("CustomResourceDefinition", Some((plural, group))) => {
            object["spec"]["group"] = group.into();
            object["spec"]["names"] = json!({"plural": plural, "kind": plural.to_uppercase()});
        }
        _ => {}
    }
    object["apiVersion"] = kind.api_version().into();
    object["kind"] = kind.kind.into();
    object["metadata"] = json!({"name": name, "labels": {"suite": "conformance"}});
    object
}

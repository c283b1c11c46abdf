//! Table tests of the smaller kinds of the core group.

use serde_json::{Value, json};

use super::super::testing::{Subject, subject};
use crate::registry::Sub;

fn of(kind: &str, base: Value) -> Subject {
    subject("", "v1", kind, base)
}

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric \
                         characters, '-' or '.', and must start and end with an alphanumeric \
                         character (e.g. 'example.com', regex used for validation is \
                         '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

#[test]
fn config_maps() {
    let map = of("ConfigMap", json!({}));
    map.creates(&[
        (json!({"data": {"a": "b"}}), &[]),
        (
            json!({"data": {"a/b": "", "..": "", "k": ""}, "binaryData": {"k": ""}}),
            &[
                "data[..]: Invalid value: \"..\": must not be '..'",
                "data[a/b]: Invalid value: \"a/b\": a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')",
                "data[k]: Invalid value: \"k\": duplicate of key present in binaryData",
            ],
        ),
        (
            json!({"data": {"k": "x".repeat((1 << 20) + 1)}}),
            &["[]: Too long: may not be more than 1048576 bytes"],
        ),
    ]);
    map.updates(&[(
        json!({"immutable": true, "data": {"a": "b"}}),
        json!({"immutable": false, "data": {"a": "c"}}),
        &[
            "immutable: Forbidden: field is immutable when `immutable` is set",
            "data: Forbidden: field is immutable when `immutable` is set",
        ],
    )]);
}

#[test]
fn secrets() {
    let typed = |of: &str| json!({"type": format!("kubernetes.io/{of}")});
    let secret = of("Secret", json!({}));
    secret.creates(&[
        (json!({"stringData": {"a": "b"}}), &[]),
        (typed("tls"), &["data[tls.crt]: Required value", "data[tls.key]: Required value"]),
        (
            typed("basic-auth"),
            &["data[username]: Required value", "data[password]: Required value"],
        ),
        (typed("ssh-auth"), &["data[ssh-privatekey]: Required value"]),
        (typed("dockerconfigjson"), &["data[.dockerconfigjson]: Required value"]),
        (
            json!({"type": "kubernetes.io/dockercfg", "data": {".dockercfg": ""}}),
            &[
                "data[.dockercfg]: Invalid value: \"<secret contents redacted>\": unexpected end of JSON input",
            ],
        ),
        (
            typed("service-account-token"),
            &["metadata.annotations[kubernetes.io/service-account.name]: Required value"],
        ),
    ]);
    secret.updates(&[(
        json!({}),
        json!({"type": "other"}),
        &["type: Invalid value: \"other\": field is immutable"],
    )]);
}

#[test]
fn namespaces() {
    let namespace = of("Namespace", json!({"status": {"phase": "Active"}}));
    namespace.creates(&[(
        json!({"spec": {"finalizers": ["kubernetes", "mine"]}}),
        &[
            "spec.finalizers: Invalid value: \"mine\": name is neither a standard finalizer name nor is it fully qualified",
        ],
    )]);
    assert_eq!(
        namespace.change(
            Some(Sub::Status),
            &json!({}),
            &json!({"status": {"phase": "Terminating"}})
        ),
        [
            "status.Phase: Invalid value: \"Terminating\": may only be 'Active' if `deletionTimestamp` is empty"
        ]
    );
    assert_eq!(
        namespace.change(Some(Sub::Finalize), &json!({}), &json!({"spec": {"finalizers": ["x"]}})),
        [
            "spec.finalizers[0]: Invalid value: \"x\": name is neither a standard finalizer name nor is it fully qualified"
        ]
    );
}

#[test]
fn quotas() {
    let quota = of("ResourceQuota", json!({"spec": {"hard": {"pods": "1"}}}));
    quota.creates(&[
        (json!({}), &[]),
        (
            json!({"spec": {"hard": {"pods": "1500m", "storage": "1", "memory": "-1"}}}),
            &[
                "spec.hard[memory]: Invalid value: \"-1\": must be greater than or equal to 0",
                "spec.hard[pods]: Invalid value: \"1500m\": must be an integer",
                "spec.hard[storage]: Invalid value: \"storage\": must be a standard resource for quota",
            ],
        ),
        (
            json!({"spec": {"hard": {"services": "1"}, "scopes": ["BestEffort", "NotBestEffort", "Odd"]}}),
            &[
                "spec.scopes: Invalid value: [\"BestEffort\",\"NotBestEffort\",\"Odd\"]: unsupported scope applied to resource",
                "spec.scopes: Invalid value: [\"BestEffort\",\"NotBestEffort\",\"Odd\"]: unsupported scope applied to resource",
                "spec.scopes: Invalid value: [\"BestEffort\",\"NotBestEffort\",\"Odd\"]: unsupported scope",
                "spec.scopes: Invalid value: [\"BestEffort\",\"NotBestEffort\",\"Odd\"]: conflicting scopes",
            ],
        ),
        (
            json!({"spec": {"scopeSelector": {"matchExpressions": [{"scopeName": "BestEffort", "operator": "In"}, {"scopeName": "PriorityClass", "operator": "Exists", "values": ["a"]}]}}}),
            &[
                "spec.scopeSelector.matchExpressions.operator: Invalid value: \"In\": must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity",
                "spec.scopeSelector.matchExpressions.values: Required value: must be at least one value when `operator` is 'In' or 'NotIn' for scope selector",
                "spec.scopeSelector.matchExpressions.values: Invalid value: [\"a\"]: must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector",
            ],
        ),
    ]);
    quota.updates(&[(
        json!({}),
        json!({"spec": {"scopes": ["BestEffort"]}}),
        &["spec.scopes: Invalid value: [\"BestEffort\"]: field is immutable"],
    )]);
}

#[test]
fn limit_ranges() {
    let limit = |limit: Value| json!({"spec": {"limits": [limit]}});
    of("LimitRange", json!({})).creates(&[
        (limit(json!({"type": "Container", "max": {"cpu": "1"}, "min": {"cpu": "100m"}})), &[]),
        (
            limit(json!({"type": "Bus", "max": {"cpus": "1"}})),
            &[
                "spec.limits[0].type: Invalid value: \"Bus\": must be a standard limit type or fully qualified",
                "spec.limits[0].max[cpus]: Invalid value: \"cpus\": must be a standard resource type or fully qualified",
            ],
        ),
        (
            limit(json!({"type": "Pod", "default": {"cpu": "1"}, "max": {"cpu": "1"}, "min": {"cpu": "2"}})),
            &[
                "spec.limits[0].default: Forbidden: may not be specified when `type` is 'Pod'",
                "spec.limits[0].min[cpu]: Invalid value: \"2\": min value 2 is greater than max value 1",
            ],
        ),
        (
            limit(json!({"type": "Container", "max": {"cpu": "1"}, "default": {"cpu": "2"}, "defaultRequest": {"cpu": "3"}})),
            &[
                "spec.limits[0].defaultRequest[cpu]: Invalid value: \"3\": default request value 3 is greater than max value 1",
                "spec.limits[0].defaultRequest[cpu]: Invalid value: \"3\": default request value 3 is greater than default limit value 2",
                "spec.limits[0].default[cpu]: Invalid value: \"1\": default value 2 is greater than max value 1",
            ],
        ),
        (
            limit(json!({"type": "Pod", "max": {"cpu": "4"}, "min": {"cpu": "2"}, "maxLimitRequestRatio": {"cpu": "3"}})),
            &[
                "spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: \"3\": ratio 3 is greater than max/min = 2.000000",
            ],
        ),
        (
            limit(json!({"type": "PersistentVolumeClaim"})),
            &[
                "spec.limits[0].limits: Required value: either minimum or maximum storage value is required, but neither was provided",
            ],
        ),
    ]);
}

#[test]
fn claims() {
    let base = json!({"spec": {
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}},
    }});
    let claim = of("PersistentVolumeClaim", base);
    let bad_class = format!("spec.storageClassName: Invalid value: \"A\": {SUBDOMAIN}");
    claim.creates(&[
        (json!({}), &[]),
        (
            json!({"spec": {"accessModes": ["ReadWriteOnce", "ReadWriteOncePod"], "storageClassName": "A", "volumeMode": "Tape", "resources": {"requests": {"storage": "0"}}}}),
            &[
                "spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes",
                "spec.resources[storage]: Invalid value: \"0\": must be greater than zero",
                &bad_class,
                "spec.volumeMode: Unsupported value: \"Tape\": supported values: \"Block\", \"Filesystem\"",
            ],
        ),
        (
            json!({"spec": {"dataSource": {"kind": "Pod", "name": ""}, "dataSourceRef": {"kind": "PersistentVolumeClaim", "name": "x"}}}),
            &[
                "spec.dataSource.name: Required value",
                "spec.dataSource: Invalid value: \"Pod\": must be 'PersistentVolumeClaim' when referencing the default apiGroup",
                "spec: Invalid value: {}: must match dataSourceRef",
            ],
        ),
    ]);
    let bound = json!({"spec": {"volumeName": "v"}, "status": {"phase": "Bound", "capacity": {"storage": "1Gi"}}});
    let size = |size: &str| json!({"spec": {"resources": {"requests": {"storage": size}}}});
    claim.updates(&[
        (bound.clone(), size("2Gi"), &[]),
        (
            bound,
            size("500Mi"),
            &[
                "spec.resources.requests.storage: Forbidden: field can not be less than status.capacity",
            ],
        ),
        (json!({}), json!({"spec": {"volumeName": "v", "storageClassName": "c"}}), &[]),
    ]);
    let changed = claim.update(&json!({}), &json!({"spec": {"volumeMode": "Block"}}));
    assert_eq!(changed.len(), 2, "{changed:?}");
    assert!(changed[0].starts_with("spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims\n@@ "), "{changed:?}");
    assert_eq!(changed[1], "volumeMode: Invalid value: \"Block\": field is immutable");
}

#[test]
fn volumes() {
    let base = json!({"spec": {
        "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, "hostPath": {"path": "/x"},
    }});
    let volume = of("PersistentVolume", base);
    volume.creates(&[
        (json!({}), &[]),
        (
            json!({"spec": {"accessModes": null, "capacity": {"storage": "-1", "cpu": "1"}, "persistentVolumeReclaimPolicy": "Keep", "hostPath": null}}),
            &[
                "spec.accessModes: Required value",
                "spec.capacity: Unsupported value: {\"cpu\":\"1\",\"storage\":\"-1\"}: supported values: \"storage\"",
                "spec.capacity[storage]: Invalid value: -1: must be a valid resource quantity",
                "spec.capacity[storage]: Invalid value: \"-1\": must be greater than zero",
                "spec.persistentVolumeReclaimPolicy: Unsupported value: \"Keep\": supported values: \"Delete\", \"Recycle\", \"Retain\"",
                "spec: Required value: must specify a volume type",
            ],
        ),
        (
            json!({"spec": {"hostPath": null, "local": {"path": "/a/.."}}}),
            &[
                "spec.local.path: Invalid value: \"/a/..\": must not contain '..'",
                "spec.nodeAffinity: Required value: Local volume requires node affinity",
            ],
        ),
        (
            json!({"spec": {"nfs": {"server": "s", "path": "/"}, "hostPath": {"path": "/"}, "persistentVolumeReclaimPolicy": "Recycle", "volumeAttributesClassName": ""}}),
            &[
                "spec.nfs: Forbidden: may not specify more than 1 volume type",
                "spec.persistentVolumeReclaimPolicy: Forbidden: may not be 'recycle' for a hostPath mount of '/'",
                "spec.volumeAttributesClassName: Required value: an empty string is disallowed",
                "spec.csi: Required value: has to be specified when using volumeAttributesClassName",
            ],
        ),
        (
            json!({"spec": {"hostPath": null, "csi": {"driver": "d", "nodePublishSecretRef": {"name": "A"}}}}),
            &[
                "spec.csi.volumeHandle: Required value",
                &format!("spec.csi.nodePublishSecretRef.name: Invalid value: \"A\": {SUBDOMAIN}"),
                "spec.csi.nodePublishSecretRef.namespace: Required value",
            ],
        ),
    ]);
    let changed = volume.update(&json!({}), &json!({"spec": {"hostPath": {"path": "/y"}}}));
    assert_eq!(changed.len(), 1);
    assert!(changed[0].starts_with("spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation\n@@ "), "{changed:?}");
}

#[test]
fn nodes() {
    let taint = |value: &str| json!({"key": "a", "value": value, "effect": "NoSchedule"});
    let node = of("Node", json!({}));
    node.creates(&[
        (json!({"spec": {"taints": [taint("")]}}), &[]),
        (
            json!({"spec": {"taints": [taint("b"), taint("c"), {"key": "a", "effect": "Go"}], "podCIDRs": ["x", "10.0.0.0/8"]}, "status": {"capacity": {"cpu": "-1"}}}),
            &[
                "metadata.taints[1]: Duplicate value: {\"Key\":\"a\",\"Value\":\"c\",\"Effect\":\"NoSchedule\",\"TimeAdded\":null}: taints must be unique by key and effect pair",
                "metadata.taints[2].effect: Unsupported value: \"Go\": supported values: \"NoSchedule\", \"PreferNoSchedule\", \"NoExecute\"",
                "status.capacity.cpu: Invalid value: \"-1\": must be greater than or equal to 0",
                "status.allocatable.cpu: Invalid value: \"-1\": must be greater than or equal to 0",
                "spec.podCIDRs[0]: Invalid value: \"x\": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)",
                "spec.podCIDRs: Internal error: invalid PodCIDRs. failed to check with dual stack with error:invalid CIDR[0]: <nil> (invalid CIDR address: x)",
                "spec.podCIDRs: Invalid value: [\"x\",\"10.0.0.0/8\"]: may specify no more than one CIDR for each IP family",
            ],
        ),
    ]);
    node.updates(&[(
        json!({"spec": {"podCIDRs": ["10.0.0.0/24"], "providerID": "a"}}),
        json!({"spec": {"podCIDR": "10.0.1.0/24", "podCIDRs": ["10.0.1.0/24"], "providerID": "b"}, "status": {"addresses": [{"type": "InternalIP", "address": "1"}, {"type": "InternalIP", "address": "1"}]}}),
        &[
            "status.addresses[1]: Duplicate value: {\"Type\":\"InternalIP\",\"Address\":\"1\"}",
            "spec.podCIDRs: Forbidden: node updates may not change podCIDR except from \"\" to valid",
            "spec.providerID: Forbidden: node updates may not change providerID except from \"\" to valid",
        ],
    )]);
}

#[test]
fn endpoints() {
    of("Endpoints", json!({})).creates(&[
        (json!({"subsets": [{"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 1}]}]}), &[]),
        (
            json!({"subsets": [{}, {"addresses": [{"ip": "127.0.0.1", "hostname": "a.b"}], "ports": [{"port": 0}, {"name": "b", "port": 1, "protocol": "x"}]}]}),
            &[
                "subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`",
                "subsets[1].addresses[0].hostname: Invalid value: \"a.b\": must not contain dots",
                "subsets[1].addresses[0].ip: Invalid value: \"127.0.0.1\": may not be in the loopback range (127.0.0.0/8, ::1/128)",
                "subsets[1].ports[0].name: Required value",
                "subsets[1].ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive",
                "subsets[1].ports[1].protocol: Unsupported value: \"x\": supported values: \"SCTP\", \"TCP\", \"UDP\"",
            ],
        ),
    ]);
}

#[test]
fn replication_controllers() {
    let base =
        json!({"spec": {"selector": {"app": "x"}, "template": super::super::testing::template()}});
    of("ReplicationController", base).creates(&[
        (json!({}), &[]),
        (
            json!({"spec": {"replicas": -1, "selector": {"app": "y"}, "template": {"spec": {"restartPolicy": "Never"}}}}),
            &[
                "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
                "spec.template.metadata.labels: Invalid value: {\"app\":\"x\"}: `selector` does not match template `labels`",
                "spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\"",
            ],
        ),
        (
            json!({"spec": {"selector": null, "template": null}}),
            &["spec.selector: Required value", "spec.template: Required value"],
        ),
    ]);
}

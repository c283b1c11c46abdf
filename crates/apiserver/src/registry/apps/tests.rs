//! Table tests of the workloads.

use serde_json::{Value, json};

use super::super::testing::{Subject, subject, template};
use crate::registry::Sub;

fn workload(kind: &str) -> Subject {
    let spec = json!({"selector": {"matchLabels": {"app": "x"}}, "template": template()});
    subject("apps", "v1", kind, json!({"spec": spec}))
}

fn spec(fragment: Value) -> Value {
    json!({"spec": fragment})
}

#[test]
fn deployments() {
    workload("Deployment").creates(&[
        (json!({}), &[]),
        (
            spec(json!({"replicas": -1, "minReadySeconds": 700})),
            &[
                "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
                "spec.progressDeadlineSeconds: Invalid value: 600: must be greater than minReadySeconds",
            ],
        ),
        (
            spec(json!({"selector": null})),
            &[
                "spec.selector: Required value",
                "spec.template.metadata.labels: Invalid value: {\"app\":\"x\"}: `selector` does not match template `labels`",
            ],
        ),
        (
            spec(json!({"selector": {"matchLabels": null}})),
            &["spec.selector: Invalid value: {}: empty selector is invalid for deployment"],
        ),
        (
            spec(json!({"selector": {"matchLabels": {"app": "y"}}})),
            &[
                "spec.template.metadata.labels: Invalid value: {\"app\":\"x\"}: `selector` does not match template `labels`",
            ],
        ),
        (
            spec(json!({"selector": {"matchExpressions": [{"key": "app", "operator": "Is"}]}})),
            &[
                "spec.selector.matchExpressions[0].operator: Invalid value: \"Is\": not a valid selector operator",
                "spec.selector: Invalid value: {\"matchLabels\":{\"app\":\"x\"},\"matchExpressions\":[{\"key\":\"app\",\"operator\":\"Is\"}]}: invalid label selector",
            ],
        ),
        (
            spec(json!({"strategy": {"type": "Recreate", "rollingUpdate": {}}})),
            &[
                "spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'",
            ],
        ),
        (
            spec(json!({"strategy": {"type": "Slow"}})),
            &[
                "spec.strategy: Unsupported value: {\"Type\":\"Slow\",\"RollingUpdate\":null}: supported values: \"Recreate\", \"RollingUpdate\"",
            ],
        ),
        (
            spec(json!({"strategy": {"rollingUpdate": {"maxUnavailable": "0%", "maxSurge": 0}}})),
            &[
                "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: \"0%\": may not be 0 when `maxSurge` is 0",
            ],
        ),
        (
            spec(json!({"strategy": {"rollingUpdate": {"maxUnavailable": "150%", "maxSurge": "x"}}})),
            &[
                "spec.strategy.rollingUpdate.maxSurge: Invalid value: \"x\": a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')",
                "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: \"150%\": must not be greater than 100%",
            ],
        ),
        (
            spec(json!({"template": {"metadata": {"labels": {"b_": "c"}}, "spec": {"restartPolicy": "Never", "activeDeadlineSeconds": 3, "containers": [{"name": "c"}]}}})),
            &[
                "spec.template.labels: Invalid value: \"b_\": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
                "spec.template.spec.containers[0].image: Required value",
                "spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\"",
                "spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in ReplicaSet is not Supported",
            ],
        ),
    ]);
    workload("Deployment").updates(&[
        (json!({}), spec(json!({"replicas": 5})), &[]),
        (
            spec(json!({"template": {"metadata": {"labels": {"b": "c"}}}})),
            spec(json!({"selector": {"matchLabels": {"b": "c"}}})),
            &[
                "spec.selector: Invalid value: {\"matchLabels\":{\"app\":\"x\",\"b\":\"c\"}}: field is immutable",
            ],
        ),
    ]);
}

#[test]
fn statuses_add_up() {
    let status = |kind: &str, old: Value, new: Value| {
        workload(kind).change(Some(Sub::Status), &json!({"status": old}), &json!({"status": new}))
    };
    assert_eq!(
        status(
            "Deployment",
            json!({"collisionCount": 3}),
            json!({"replicas": 1, "readyReplicas": 2, "availableReplicas": 3, "collisionCount": 2})
        ),
        [
            "status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas",
            "status.availableReplicas: Invalid value: 3: cannot be greater than status.replicas",
            "status.availableReplicas: Invalid value: 3: cannot be greater than readyReplicas",
            "status.collisionCount: Invalid value: 2: cannot be decremented",
        ]
    );
    assert_eq!(
        status("ReplicaSet", json!({}), json!({"replicas": 1, "fullyLabeledReplicas": -1})),
        ["status.fullyLabeledReplicas: Invalid value: -1: must be greater than or equal to 0"]
    );
    assert_eq!(
        status("StatefulSet", json!({}), json!({"replicas": 1, "currentReplicas": 2})),
        ["status.currentReplicas: Invalid value: 2: cannot be greater than status.replicas"]
    );
    assert_eq!(
        status("DaemonSet", json!({}), json!({"numberReady": -2})),
        ["status.numberReady: Invalid value: -2: must be greater than or equal to 0"]
    );
}

#[test]
fn daemon_sets() {
    workload("DaemonSet").creates(&[
        (json!({}), &[]),
        (
            spec(json!({"selector": {"matchLabels": null}})),
            &["spec.selector: Invalid value: {}: empty selector is invalid for daemonset"],
        ),
        (
            spec(json!({"updateStrategy": {"rollingUpdate": {"maxUnavailable": 0}}})),
            &[
                "spec.updateStrategy.rollingUpdate.maxUnavailable: Required value: cannot be 0 when maxSurge is 0",
            ],
        ),
        (
            spec(json!({"updateStrategy": {"rollingUpdate": {"maxSurge": "20%"}}})),
            &[
                "spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: \"20%\": may not be set when maxUnavailable is non-zero",
            ],
        ),
        (
            spec(json!({"updateStrategy": {"type": "Never"}})),
            &[
                "spec.updateStrategy: Unsupported value: {\"Type\":\"Never\",\"RollingUpdate\":null}: supported values: \"RollingUpdate\", \"OnDelete\"",
            ],
        ),
    ]);
}

#[test]
fn stateful_sets() {
    let claim = json!({"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
    let mounting = json!({"spec": {"containers": [{"name": "c", "image": "i", "volumeMounts": [{"name": "data", "mountPath": "/d"}]}]}});
    workload("StatefulSet").creates(&[
        (json!({}), &[]),
        (spec(json!({"volumeClaimTemplates": [claim], "template": mounting})), &[]),
        (
            spec(json!({"template": mounting})),
            &["spec.template.spec.containers[0].volumeMounts[0].name: Not found: \"data\""],
        ),
        (
            spec(json!({"podManagementPolicy": "Any", "serviceName": "A", "ordinals": {"start": -1}, "volumeClaimTemplates": [{"metadata": {"name": "x"}, "spec": {}}]})),
            &[
                "spec.podManagementPolicy: Invalid value: \"Any\": must be 'OrderedReady' or 'Parallel'",
                "spec.volumeClaimTemplates[0].spec.accessModes: Required value: at least 1 access mode is required",
                "spec.volumeClaimTemplates[0].spec.resources[storage]: Required value",
                "spec.ordinals.start: Invalid value: -1: must be greater than or equal to 0",
                "spec.serviceName: Invalid value: \"A\": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
            ],
        ),
        (
            spec(json!({"updateStrategy": {"type": "OnDelete", "rollingUpdate": {"partition": 1}}})),
            &[
                "spec.updateStrategy.rollingUpdate: Invalid value: {\"Partition\":1,\"MaxUnavailable\":null}: only allowed for updateStrategy 'RollingUpdate'",
            ],
        ),
        (
            spec(json!({"updateStrategy": {"type": "x"}, "persistentVolumeClaimRetentionPolicy": {"whenScaled": "Keep"}})),
            &[
                "spec.updateStrategy: Invalid value: {\"Type\":\"x\",\"RollingUpdate\":null}: must be 'RollingUpdate' or 'OnDelete'",
                "spec.persistentVolumeClaimRetentionPolicy.whenScaled: Unsupported value: \"Keep\": supported values: \"Retain\", \"Delete\"",
            ],
        ),
        (
            spec(json!({"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": -1, "maxUnavailable": 0}}})),
            &[
                "spec.updateStrategy.rollingUpdate.partition: Invalid value: -1: must be greater than or equal to 0",
                "spec.updateStrategy.rollingUpdate.maxUnavailable: Invalid value: 0: cannot be 0",
            ],
        ),
    ]);
    workload("StatefulSet").updates(&[
        (json!({}), spec(json!({"replicas": 3, "minReadySeconds": 1})), &[]),
        (
            json!({}),
            spec(json!({"serviceName": "other"})),
            &["spec.serviceName: Invalid value: \"other\": field is immutable"],
        ),
    ]);
}

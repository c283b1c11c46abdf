//! Updates of a pod and of its subresources.

use apimachinery::patch::merge_patch;
use serde_json::{Value, json};

use super::super::{
    validate_ephemeral_update, validate_resize, validate_status_update, validate_update,
};
use super::{messages, pod};

const OTHERS: &str = "spec: Forbidden: pod updates may not change fields other than \
                      `spec.containers[*].image`,`spec.initContainers[*].image`,\
                      `spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing \
                      tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 \
                      if it was previously negative)\n";

fn updates(old: Value, change: Value) -> Vec<String> {
    let old = pod(&old);
    let mut new = old.clone();
    merge_patch(&mut new["spec"], &change);
    messages(&validate_update(&new, &old))
}

#[test]
fn a_pod_hardly_changes() {
    let none: [&str; 0] = [];
    let image = |image: &str| {
        let mut p = pod(&json!({}));
        p["spec"]["containers"][0]["image"] = image.into();
        json!({"containers": p["spec"]["containers"]})
    };
    assert_eq!(updates(json!({}), image("j")), none);
    assert_eq!(
        updates(json!({}), image("")),
        ["spec.containers[0].image: Required value", "spec.containers[0].image: Required value"]
    );
    assert_eq!(
        updates(
            json!({}),
            json!({"containers": [{"name": "a", "image": "i", "imagePullPolicy": "Never", "terminationMessagePolicy": "File"}, {"name": "b", "image": "i", "imagePullPolicy": "Never", "terminationMessagePolicy": "File"}]})
        ),
        ["spec.containers: Forbidden: pod updates may not add or remove containers"]
    );
    let changed = updates(json!({}), json!({"dnsPolicy": "Default"}));
    assert_eq!(
        changed,
        [format!(
            "{OTHERS}@@ -38,7 +38,7 @@\n  \"RestartPolicy\": \"Always\",\n  \"TerminationGracePeriodSeconds\": 30,\n  \"ActiveDeadlineSeconds\": null,\n- \"DNSPolicy\": \"ClusterFirst\",\n+ \"DNSPolicy\": \"Default\",\n  \"NodeSelector\": null,\n  \"ServiceAccountName\": \"\",\n  \"DeprecatedServiceAccount\": \"\",\n"
        )]
    );
}

#[test]
fn deadlines_tolerations_and_gates() {
    let none: [&str; 0] = [];
    let deadline = |old: Value, new: Value| {
        updates(json!({"activeDeadlineSeconds": old}), json!({"activeDeadlineSeconds": new}))
    };
    assert_eq!(deadline(json!(20), json!(10)), none);
    assert_eq!(deadline(json!(null), json!(10)), none);
    assert_eq!(
        deadline(json!(10), json!(20)),
        [
            "spec.activeDeadlineSeconds: Invalid value: 20: must be less than or equal to previous value"
        ]
    );
    assert_eq!(
        deadline(json!(10), json!(null)),
        [
            "spec.activeDeadlineSeconds: Invalid value: null: must not update from a positive integer to nil value"
        ]
    );
    let a = json!({"key": "a", "operator": "Exists", "effect": "NoExecute"});
    let longer =
        json!({"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 9});
    let b = json!({"key": "b", "operator": "Exists"});
    let tolerations =
        |old: Value, new: Value| updates(json!({"tolerations": old}), json!({"tolerations": new}));
    assert_eq!(tolerations(json!([a]), json!([longer, b])), none);
    assert_eq!(
        tolerations(json!([a]), json!([b])),
        [
            "spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds"
        ]
    );
    let gates = |old: Value, new: Value| {
        updates(json!({"schedulingGates": old}), json!({"schedulingGates": new}))
    };
    assert_eq!(gates(json!([{"name": "a"}, {"name": "b"}]), json!([{"name": "b"}])), none);
    assert_eq!(
        gates(json!([{"name": "a"}]), json!([{"name": "c"}])),
        [
            "spec.schedulingGates[0].name: Forbidden: only deletion is allowed, but found new scheduling gate 'c'"
        ]
    );
    // A pod that still has a gate may be restricted further.
    let gated = json!({"schedulingGates": [{"name": "a"}], "nodeSelector": {"x": "1"}});
    assert_eq!(updates(gated.clone(), json!({"nodeSelector": {"y": "2"}})), none);
    assert_eq!(
        updates(gated, json!({"nodeSelector": {"x": "2"}})),
        [
            "spec.nodeSelector: Invalid value: {\"x\":\"2\"}: only additions to spec.nodeSelector are allowed (no mutations or deletions)"
        ]
    );
}

#[test]
fn ephemeral_containers_only_come() {
    let e = json!({"name": "e", "image": "i"});
    let old = pod(&json!({"ephemeralContainers": [e]}));
    let with = |list: Value| pod(&json!({"ephemeralContainers": list}));
    let check = |new: &Value| messages(&validate_ephemeral_update(new, &old));
    assert_eq!(check(&with(json!([e, {"name": "f", "image": "i"}]))), [""; 0]);
    assert_eq!(
        check(&with(json!([]))),
        [
            "spec.ephemeralContainers: Forbidden: existing ephemeral containers \"e\" may not be removed\n"
        ]
    );
    let changed = check(&with(json!([{"name": "e", "image": "j"}])));
    assert_eq!(changed.len(), 1);
    assert!(changed[0].starts_with(
        "spec.ephemeralContainers: Forbidden: existing ephemeral containers \"e\" may not be changed\n@@ -1,6 +1,6 @@\n {\n  \"Name\": \"e\",\n- \"Image\": \"i\",\n+ \"Image\": \"j\",\n"
    ), "{changed:?}");
}

#[test]
fn resizes_change_compute_only() {
    let with = |resources: Value| {
        let mut p =
            pod(&json!({"containers": [{"name": "c", "image": "i", "resources": resources}]}));
        p["status"] = json!({"qosClass": "Burstable"});
        p
    };
    let old = with(json!({"requests": {"cpu": "1", "memory": "1Gi"}}));
    let check = |new: &Value| messages(&validate_resize(new, &old));
    assert_eq!(check(&with(json!({"requests": {"cpu": "2", "memory": "1Gi"}}))), [""; 0]);
    assert_eq!(
        check(&with(json!({"requests": {"cpu": "2"}}))),
        ["spec.containers[0].resources.requests: Forbidden: resource requests cannot be removed"]
    );
    assert_eq!(
        check(&with(
            json!({"requests": {"cpu": "1", "memory": "1Gi", "ephemeral-storage": "1Gi"}})
        )),
        ["spec: Forbidden: only cpu and memory resources are mutable"]
    );
    assert_eq!(
        check(&with(
            json!({"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "1", "memory": "1Gi"}})
        )),
        [
            "spec: Invalid value: \"Burstable\": Pod QOS Class may not change as a result of resizing"
        ]
    );
}

#[test]
fn statuses_do_not_go_back() {
    let with = |status: Value| {
        let mut p = pod(&json!({"restartPolicy": "OnFailure"}));
        p["status"] = status;
        p
    };
    let ended = |code: i64| {
        with(
            json!({"containerStatuses": [{"name": "c", "state": {"terminated": {"exitCode": code}}}]}),
        )
    };
    let running = with(json!({"containerStatuses": [{"name": "c", "state": {"running": {}}}]}));
    assert_eq!(messages(&validate_status_update(&running, &ended(1))), [""; 0]);
    assert_eq!(
        messages(&validate_status_update(&running, &ended(0))),
        [
            "status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state"
        ]
    );
    let devices = |name: &str, devices: Value| {
        with(json!({"containerStatuses": [{"name": "c", "allocatedResourcesStatus": [
            {"name": name, "resources": devices}]}]}))
    };
    let none = with(json!({}));
    assert_eq!(
        messages(&validate_status_update(
            &devices(
                "claim:a/b",
                json!([{"resourceID": "x", "health": "Ill"}, {"resourceID": "x", "health": "Healthy", "message": ""}])
            ),
            &none
        )),
        [
            "status.containerStatuses[0].allocatedResourcesStatus[0].name: Invalid value: \"claim:a/b\": must match one of the container's resource claims as 'claim:<claimName>/<requestName>' when container.resources.claims[*].request is set or 'claim:<claimName>' when it is empty",
            "status.containerStatuses[0].allocatedResourcesStatus[0].resources[0].health: Unsupported value: \"Ill\": supported values: \"Healthy\", \"Unhealthy\", \"Unknown\"",
            "status.containerStatuses[0].allocatedResourcesStatus[0].resources[1].message: Required value: must be non-empty if specified",
            "status.containerStatuses[0].allocatedResourcesStatus[0].resources[1].resourceID: Duplicate value: \"x\"",
        ]
    );
    assert_eq!(
        messages(&validate_status_update(&devices("example.com/gpu", json!([])), &none)),
        [
            "status.containerStatuses[0].allocatedResourcesStatus[0].name: Invalid value: \"example.com/gpu\": must match one of the container's resource requests"
        ]
    );
    let new = with(
        json!({"qosClass": "Guaranteed", "podIPs": [{"ip": "1.2.3.4"}, {"ip": "1.2.3.5"}], "hostIP": "1.1.1.1", "hostIPs": [{"ip": "1.1.1.2"}]}),
    );
    assert_eq!(
        messages(&validate_status_update(&new, &with(json!({"qosClass": "Burstable"})))),
        [
            "status.qosClass: Invalid value: \"Guaranteed\": field is immutable",
            "status.podIPs: Invalid value: [{\"IP\":\"1.2.3.4\"},{\"IP\":\"1.2.3.5\"}]: may specify no more than one IP for each IP family",
            "status.podIPs: Invalid value: [{\"IP\":\"1.2.3.4\"},{\"IP\":\"1.2.3.5\"}]: podIP and podIPs must either both be set or both be unset",
            "status.hostIPs[0].ip: Invalid value: \"1.1.1.2\": must be equal to `hostIP`",
        ]
    );
}

//! Individual rules of upstream.

use http::Method;
use serde_json::{Value, json};

use super::harness::{Answer, Api};

const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const PODS: &str = "/api/v1/namespaces/default/pods";
const SERVICES: &str = "/api/v1/namespaces/default/services";

fn pod(name: &str, spec: Value) -> Value {
    let mut pod = json!({"metadata": {"name": name},
        "spec": {"automountServiceAccountToken": false, "containers": [{"name": "c", "image": "i"}]}});
    for (field, value) in spec.as_object().unwrap() {
        pod["spec"][field] = value.clone();
    }
    pod
}

/// Fields and messages of a refusal, in order.
fn causes(answer: &Answer) -> Vec<String> {
    let status = answer.fails(422);
    let causes = status["details"]["causes"].as_array().unwrap().iter();
    let text = |cause: &Value, field: &str| cause[field].as_str().unwrap_or_default().to_owned();
    causes.map(|cause| format!("{}: {}", text(cause, "field"), text(cause, "message"))).collect()
}

#[tokio::test]
async fn empty_maps_are_told_from_none_until_they_are_stored() {
    let api = Api::start().await;
    let answer = api.post(PODS, &pod("p", json!({"overhead": {}}))).await.fails(403);
    let why = "Pod Overhead set without corresponding RuntimeClass defined Overhead";
    assert!(answer["message"].as_str().unwrap().ends_with(why), "{answer}");
    let answer = api.post(PODS, &pod("p", json!({"runtimeClassName": ""}))).await.fails(500);
    assert_eq!(answer["message"], "resource name may not be empty");

    for field in ["limits", "requests"] {
        let resources = json!({field: {}});
        let debug = json!([{"name": "e", "image": "i", "resources": resources}]);
        let refused =
            causes(&api.post(PODS, &pod("p", json!({"ephemeralContainers": debug}))).await);
        let why = "spec.ephemeralContainers[0].resources: Forbidden: cannot be set for an Ephemeral \
                   Container";
        assert_eq!(refused[0], why, "{refused:?}");

        let containers = json!([{"name": "c", "image": "i", "resources": resources}]);
        let made = api.post(PODS, &pod(field, json!({"containers": containers}))).await.ok();
        assert_eq!(made["spec"]["containers"][0]["resources"], json!({}));
        let managers = made["metadata"]["managedFields"].to_string();
        assert!(!managers.contains(&format!("f:{field}")), "{managers}");
        let one = format!("{PODS}/{field}");
        let same = json!({"spec": {"containers": [{"name": "c", "resources": resources}]}});
        assert_eq!(api.patch(&one, STRATEGIC, &same).await.ok(), made);
    }
}

#[tokio::test]
async fn whoever_resizes_owns_the_whole_wish() {
    let api = Api::start().await;
    let requests = json!([{"name": "c", "image": "i", "resources": {"requests": {"cpu": "1"}}}]);
    api.post(PODS, &pod("p", json!({"containers": requests}))).await.ok();
    let wish = json!({"spec": {"containers": [{"name": "c", "image": "other"}]}});
    let resize = format!("{PODS}/p/resize?fieldManager=resizer");
    let after = api.patch(&resize, STRATEGIC, &wish).await.ok();
    assert_eq!(after["spec"]["containers"][0]["image"], "i");
    let managers = after["metadata"]["managedFields"].as_array().unwrap();
    let owner = managers.iter().find(|entry| entry["manager"] == "resizer").unwrap();
    assert_eq!(owner["subresource"], "resize");
    let fields = json!({"f:spec": {"f:containers": {"k:{\"name\":\"c\"}": {"f:image": {}}}}});
    assert_eq!(owner["fieldsV1"], fields);
}

#[tokio::test]
async fn managers_that_own_nothing_are_forgotten() {
    let api = Api::start().await;
    let idle = json!({"manager": "idle", "operation": "Update", "apiVersion": "v1",
        "fieldsType": "FieldsV1"});
    let map = json!({"metadata": {"name": "m", "managedFields": [idle]}, "data": {"a": "b"}});
    let made = api.post("/api/v1/namespaces/default/configmaps", &map).await.ok();
    let managers = made["metadata"]["managedFields"].as_array().unwrap();
    assert_eq!(managers.len(), 1, "{managers:?}");
    assert_ne!(managers[0]["manager"], "idle");
}

#[tokio::test]
async fn a_dry_run_holds_no_address() {
    let api = Api::start().await;
    let service = |name: &str, ip: &str| json!({"metadata": {"name": name}, "spec": {"clusterIP": ip, "ports": [{"port": 80}]}});
    let dry = format!("{SERVICES}?dryRun=All");
    let taken = "10.96.77.7";
    api.post(SERVICES, &service("a", taken)).await.ok();
    // A dry run may take another service's address, which keeps it.
    api.post(&dry, &service("b", taken)).await.ok();
    let refused = causes(&api.post(SERVICES, &service("b", taken)).await);
    assert!(refused[0].ends_with("provided IP is already allocated"), "{refused:?}");
    for (path, why) in [
        (
            &*dry,
            "the provided IP (10.1.1.1) is not in the valid range. The range of valid IPs is \
                 10.96.0.0/16",
        ),
        (SERVICES, "the provided network does not match the current range"),
    ] {
        let refused = causes(&api.post(path, &service("b", "10.1.1.1")).await);
        assert!(refused[0].ends_with(why), "{refused:?}");
    }
    let free = "10.96.77.8";
    api.post(&dry, &service("b", free)).await.ok();
    api.post(SERVICES, &service("b", free)).await.ok();
    let six = causes(&api.post(SERVICES, &service("c", "fd00::1")).await);
    let why =
        "spec.clusterIPs[0]: Invalid value: [\"fd00::1\"]: IPv6 is not configured on this cluster";
    assert_eq!(six, [why]);
}

#[tokio::test]
async fn complaints_come_in_the_order_of_the_validation() {
    let api = Api::start().await;
    let finalizers = json!({"metadata": {"finalizers": [""]}});
    let claims = "/api/v1/namespaces/default/persistentvolumeclaims";
    let claim = json!({"metadata": {"name": "c"}, "spec": {"accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}}}});
    api.post(claims, &claim).await.ok();
    let refused = causes(&api.patch(&format!("{claims}/c"), MERGE, &finalizers).await);
    let is_known = |cause: &String| cause.starts_with("metadata.finalizers[0]");
    let places: Vec<usize> =
        refused.iter().enumerate().filter(|(_, c)| is_known(c)).map(|(i, _)| i).collect();
    assert_eq!(places, [2], "{refused:#?}");

    let jobs = "/apis/batch/v1/namespaces/default/jobs";
    let job = json!({"metadata": {"name": "j"}, "spec": {"template": {"spec": {
        "restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}});
    api.post(jobs, &job).await.ok();
    let uid = json!({"metadata": {"uid": "other"}, "spec": {"completionMode": "Other"}});
    let refused = causes(&api.patch(&format!("{jobs}/j"), MERGE, &uid).await);
    let fields: Vec<&str> = refused.iter().filter_map(|c| c.split(": ").next()).collect();
    assert_eq!(fields, ["metadata.uid", "spec.completionMode", "spec.completionMode"]);
    let status = json!({"status": {"active": -1}});
    let refused = causes(&api.patch(&format!("{jobs}/j/status"), MERGE, &status).await);
    assert_eq!(refused.len(), 1, "{refused:?}");
}

#[tokio::test]
async fn names_are_generated_and_judged_by_the_rules_of_their_kind() {
    let api = Api::start().await;
    let address = json!({"metadata": {"generateName": "ok-"},
        "spec": {"parentRef": {"resource": "services", "name": "s"}}});
    let refused = api.post("/apis/networking.k8s.io/v1/ipaddresses", &address).await;
    assert_eq!(refused.fails(422)["details"]["name"], "ok-");
    // The base of a generated name may be one character longer than a name.
    let generated = |base: &str| json!({"metadata": {"generateName": base}});
    let maps = "/api/v1/namespaces/default/configmaps";
    api.post(maps, &generated(&format!("{}-", "a".repeat(253)))).await.ok();
    let refused = causes(&api.post(maps, &generated("-")).await);
    assert_eq!(refused.len(), 2, "{refused:?}");
    let refused = causes(&api.post(maps, &generated("foo_-")).await);
    assert!(refused.len() == 1 && refused[0].starts_with("metadata.name: "), "{refused:?}");
    let long = "a".repeat(254);
    let class = json!({"metadata": {"name": long}, "spec": {}});
    let refused = causes(&api.post("/apis/resource.k8s.io/v1/deviceclasses", &class).await);
    assert!(refused[0].ends_with("must be no more than 253 bytes"), "{refused:?}");
    // An update only requires a base that is valid in a path.
    api.post(PODS, &pod("p", json!({}))).await.ok();
    let generated = json!({"metadata": {"generateName": "Bad_"}});
    let refused = causes(&api.patch(&format!("{PODS}/p"), MERGE, &generated).await);
    assert_eq!(refused.len(), 1, "{refused:?}");

    let version = json!({"name": "v1", "served": true, "storage": true,
        "schema": {"openAPIV3Schema": {"type": "object"}}});
    let definition = |meta: Value, versions: Value| {
        json!({"metadata": meta, "spec": {"group": "example.com", "scope": "Cluster",
            "names": {"plural": "foos", "kind": "Foo"}, "versions": versions}})
    };
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let bad = definition(json!({"generateName": "Bad_"}), json!([version]));
    let refused = causes(&api.post(definitions, &bad).await);
    let fields: Vec<&str> = refused.iter().filter_map(|c| c.split(": ").next()).collect();
    let (stem, name) = ("metadata.generateName", "metadata.name");
    assert_eq!(fields, [stem, stem, name, name]);
    let twice = definition(json!({"name": "foos.example.com"}), json!([version, version]));
    let refused = causes(&api.post(definitions, &twice).await);
    let why = "status.storedVersions: Invalid value: [\"v1\"]: must have the storage version v1";
    assert_eq!(refused.last().map(String::as_str), Some(why));
}

#[tokio::test]
async fn what_is_dropped_from_a_slice_was_a_change_of_it() {
    let api = Api::start().await;
    let slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
    let slice = json!({"metadata": {"name": "s"}, "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.1.2.3"]}], "ports": []});
    let mut made = api.post(slices, &slice).await.ok();
    assert_eq!(made["metadata"]["generation"], 1);
    made["endpoints"][0]["deprecatedTopology"] = json!({"a": "b"});
    let after = api.put(&format!("{slices}/s"), &made).await.ok();
    assert_eq!(after["metadata"]["generation"], 2);
    assert_eq!(after["endpoints"][0]["deprecatedTopology"], Value::Null);
}

#[tokio::test]
async fn an_envelope_without_a_body_is_unrecognized() {
    let api = Api::start().await;
    let ask = api.ask(Method::POST, "/api/v1/namespaces/default/configmaps");
    let ask = ask.header("content-type", "application/vnd.kubernetes.protobuf").body(*b"k8s\0");
    let message = "the object provided is unrecognized (must be of type ConfigMap): empty body \
                   (6b387300)";
    assert_eq!(ask.send().await.fails(400)["message"], message);
}

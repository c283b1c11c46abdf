//! The resize subresource of pods.

use apimachinery::ObjectExt;
use serde_json::{Value, json};

use super::harness::Api;

const PODS: &str = "/api/v1/namespaces/default/pods";
const STRATEGIC: &str = "application/strategic-merge-patch+json";

fn container(name: &str, resources: Value) -> Value {
    json!({"name": name, "image": "i", "resources": resources})
}

fn pod(name: &str, containers: Value, init: Value) -> Value {
    json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": name, "labels": {"a": "b"}},
           "spec": {"containers": containers, "initContainers": init}})
}

#[tokio::test]
async fn only_this_way_resources_change() {
    let api = Api::start().await;
    let resources = |cpu: &str| json!({"requests": {"cpu": cpu, "memory": "20Mi"}});
    let object = pod("p", json!([container("c", resources("20m"))]), json!([]));
    let created = api.post(PODS, &object).await.ok();
    assert_eq!(created.generation(), 1);
    let (one, path) = (format!("{PODS}/p"), format!("{PODS}/p/resize"));

    let mut wanted = created.clone();
    wanted["spec"]["containers"][0]["resources"] = resources("25m");
    let refused = api.put(&one, &wanted).await.fails(422);
    let text = refused["message"].as_str().unwrap();
    assert!(text.contains("pod updates may not change fields other than"), "{text}");

    // Other fields of the request are ignored.
    wanted["metadata"]["labels"] = json!({"x": "y"});
    wanted["spec"]["containers"][0]["image"] = "other".into();
    let put = api.put(&path, &wanted).await.ok();
    assert_eq!((put.generation(), &put["metadata"]["labels"]), (2, &json!({"a": "b"})));
    let container = &put["spec"]["containers"][0];
    assert_eq!((&container["image"], &container["resources"]), (&json!("i"), &resources("25m")));
    assert_eq!(api.get(&path).await.ok(), api.get(&one).await.ok());

    let change = json!({"spec": {"containers": [
        {"name": "c", "resources": {"limits": {"cpu": "35m"}, "requests": {"cpu": "15m"}}}]}});
    let patched = api.patch(&path, STRATEGIC, &change).await.ok();
    assert_eq!(patched.generation(), 3);
    assert_eq!(
        patched["spec"]["containers"][0]["resources"],
        json!({"limits": {"cpu": "35m"}, "requests": {"cpu": "15m", "memory": "20Mi"}})
    );
}

#[tokio::test]
async fn what_a_resize_may_not() {
    let api = Api::start().await;
    let all = json!({"limits": {"cpu": "20m", "memory": "20Mi"},
                     "requests": {"cpu": "20m", "memory": "20Mi"}});
    let some = json!({"requests": {"cpu": "20m", "memory": "20Mi", "ephemeral-storage": "1"}});
    let pair = json!([container("c1", some.clone()), container("c2", some.clone())]);
    let plain = json!([container("c1", json!({}))]);
    let of = |resources: Value| json!({"containers": [{"name": "c1", "resources": resources}]});
    let table = [
        (
            pod("best", plain.clone(), json!([])),
            of(json!({"requests": {"cpu": "20m"}})),
            "Pod QOS Class may not change as a result of resizing",
        ),
        (
            pod("guaranteed", json!([container("c1", all)]), json!([])),
            of(json!({"limits": null})),
            "resource limits cannot be removed",
        ),
        (
            pod("removed", json!([container("c1", some.clone())]), json!([])),
            of(json!({"requests": {"cpu": null}})),
            "resource requests cannot be removed",
        ),
        (
            pod("storage", json!([container("c1", some.clone())]), json!([])),
            of(json!({"requests": {"ephemeral-storage": "3"}})),
            "only cpu and memory resources are mutable",
        ),
        (
            pod("order", pair, json!([])),
            json!({"$setElementOrder/containers": [{"name": "c2"}, {"name": "c1"}],
                   "containers": [{"name": "c2"}, {"name": "c1"}]}),
            "spec.containers[0].name: Forbidden: containers may not be renamed or reordered on \
             resize, spec.containers[1].name: Forbidden: containers may not be renamed or \
             reordered on resize",
        ),
        (
            pod("rename", json!([container("c1", some.clone())]), json!([])),
            json!({"$setElementOrder/containers": [{"name": "new"}],
                   "containers": [container("new", some.clone()),
                                  {"$patch": "delete", "name": "c1"}]}),
            "spec.containers[0].name: Forbidden: containers may not be renamed or reordered on",
        ),
        (
            pod("init", plain, json!([container("i", some)])),
            json!({"initContainers": [{"name": "i", "resources": {"requests": {"cpu": "25m"}}}]}),
            "resources for non-sidecar init containers are immutable",
        ),
    ];
    for (object, change, message) in table {
        let created = api.post(PODS, &object).await.ok();
        let path = format!("{PODS}/{}/resize", object.name());
        let refused = api.patch(&path, STRATEGIC, &json!({"spec": change})).await.fails(422);
        let text = refused["message"].as_str().unwrap();
        assert!(text.contains(message), "{}: {text}", object.name());
        let left = api.get(&format!("{PODS}/{}", object.name())).await.ok();
        assert_eq!(left["spec"], created["spec"]);
    }
}

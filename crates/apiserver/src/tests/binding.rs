//! Bindings and status reports, which do not change the desired state.

use serde_json::json;

use super::harness::Api;

const PODS: &str = "/api/v1/namespaces/default/pods";
const MERGE: &str = "application/merge-patch+json";
const ZONE: &str = "topology.kubernetes.io/zone";

#[tokio::test]
async fn a_bound_pod_says_where_its_node_is_and_belongs_to_nobody_else() {
    let api = Api::start().await;
    let labels = json!({ZONE: "z1", "topology.kubernetes.io/region": "r", "disk": "ssd"});
    api.post("/api/v1/nodes", &json!({"metadata": {"name": "n", "labels": labels}})).await.ok();
    let pod = |name: &str, node: &str| {
        json!({"metadata": {"name": name, "labels": {ZONE: "mine"}},
            "spec": {"nodeName": node, "containers": [{"name": "c", "image": "i"}]}})
    };
    let bound = api.post(PODS, &pod("made", "n")).await.ok();
    assert_eq!(bound["metadata"]["labels"][ZONE], "z1");
    let free = api.post(PODS, &pod("free", "")).await.ok();
    assert_eq!(free["metadata"]["labels"], json!({ZONE: "mine"}));

    let binding = json!({"metadata": {"name": "free"}, "target": {"kind": "Node", "name": "n"}});
    api.post(&format!("{PODS}/free/binding"), &binding).await.ok();
    let pod = api.get(&format!("{PODS}/free")).await.ok();
    let labels = json!({ZONE: "z1", "topology.kubernetes.io/region": "r"});
    assert_eq!(pod["metadata"]["labels"], labels);
    assert_eq!(pod["metadata"]["managedFields"], free["metadata"]["managedFields"]);
    assert_eq!(pod["metadata"]["generation"], 1);

    let unknown = json!({"metadata": {"name": "u"}, "spec": {"nodeName": "unknown",
        "containers": [{"name": "c", "image": "i"}]}});
    assert_eq!(api.post(PODS, &unknown).await.ok()["metadata"].get("labels"), None);
}

#[tokio::test]
async fn a_status_is_no_new_generation() {
    let api = Api::start().await;
    let deployments = "/apis/apps/v1/namespaces/default/deployments";
    let deployment = json!({"metadata": {"name": "d"}, "spec": {
        "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}},
            "spec": {"containers": [{"name": "c", "image": "i"}]}}}});
    api.post(deployments, &deployment).await.ok();
    let revision = json!({"metadata": {"annotations": {"deployment.kubernetes.io/revision": "1"}}});
    let status = format!("{deployments}/d/status");
    let told = api.patch(&status, MERGE, &revision).await.ok();
    assert_eq!(told["metadata"]["annotations"], revision["metadata"]["annotations"]);
    assert_eq!(told["metadata"]["generation"], 1);
    let wish = json!({"metadata": {"annotations": {"a": "b"}}});
    let wished = api.patch(&format!("{deployments}/d"), MERGE, &wish).await.ok();
    assert_eq!(wished["metadata"]["generation"], 2);
}

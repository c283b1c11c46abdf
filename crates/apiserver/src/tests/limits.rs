//! Limit ranges.

use apimachinery::ObjectExt;
use serde_json::{Value, json};

use super::harness::Api;

const RANGES: &str = "/api/v1/namespaces/default/limitranges";
const PODS: &str = "/api/v1/namespaces/default/pods";

async fn ranged(limits: Value) -> Api {
    let api = Api::start().await;
    let range = json!({"metadata": {"name": "r"}, "spec": {"limits": limits}});
    api.post(RANGES, &range).await.ok();
    api
}

fn pod(name: &str, resources: Value) -> Value {
    json!({"metadata": {"name": name},
        "spec": {"containers": [{"name": "c", "image": "i", "resources": resources}]}})
}

#[tokio::test]
async fn pods_get_defaults_and_say_so() {
    let api = ranged(json!([{"type": "Container", "defaultRequest": {"cpu": "100m"},
        "default": {"cpu": "500m", "memory": "1Gi"}, "max": {"cpu": "1"}}]))
    .await;
    let made = api.post(PODS, &pod("a", json!({}))).await.ok();
    assert_eq!(
        made["spec"]["containers"][0]["resources"],
        json!({"requests": {"cpu": "100m", "memory": "1Gi"}, "limits": {"cpu": "500m", "memory": "1Gi"}})
    );
    assert_eq!(
        made.annotation("kubernetes.io/limit-ranger"),
        Some(
            "LimitRanger plugin set: cpu, memory request for container c; cpu, memory limit for container c"
        )
    );
    assert_eq!(made["status"]["qosClass"], "Burstable");
    let refused = api.post(PODS, &pod("b", json!({"limits": {"cpu": "2"}}))).await.fails(403);
    assert_eq!(
        refused["message"],
        "pods \"b\" is forbidden: maximum cpu usage per Container is 1, but limit is 2"
    );
    let resize =
        json!({"spec": {"containers": [{"name": "c", "resources": {"limits": {"cpu": "3"}}}]}});
    let strategic = "application/strategic-merge-patch+json";
    let refused = api.patch(&format!("{PODS}/a/resize"), strategic, &resize).await.fails(403);
    assert_eq!(
        refused["message"],
        "pods \"a\" is forbidden: maximum cpu usage per Container is 1, but limit is 3"
    );
    // A pod from a template is identified by its future name.
    let mut generated = pod("", json!({"limits": {"cpu": "2"}}));
    generated["metadata"] = json!({"generateName": "g-"});
    api.post(PODS, &generated).await.fails(403);
}

#[tokio::test]
async fn claims_keep_to_their_size() {
    let api = ranged(json!([{"type": "PersistentVolumeClaim", "min": {"storage": "1Gi"}}])).await;
    let claim = json!({"metadata": {"name": "c"}, "spec": {
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}});
    let claims = "/api/v1/namespaces/default/persistentvolumeclaims";
    assert_eq!(
        api.post(claims, &claim).await.fails(403)["message"],
        "persistentvolumeclaims \"c\" is forbidden: minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 1Mi"
    );
}

#[tokio::test]
async fn a_range_needs_no_name() {
    let api = Api::start().await;
    let made = api.post(RANGES, &json!({"spec": {"limits": []}})).await.ok();
    assert_eq!(made.name().len(), 36);
}

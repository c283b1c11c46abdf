//! Resource quotas, as admission charges them. No controller runs here: tests write the status.

use std::sync::Arc;

use apimachinery::ObjectExt;
use serde_json::{Value, json};

use super::harness::Api;

const QUOTAS: &str = "/api/v1/namespaces/default/resourcequotas";
const PODS: &str = "/api/v1/namespaces/default/pods";
const CLAIMS: &str = "/api/v1/namespaces/default/persistentvolumeclaims";
const SERVICES: &str = "/api/v1/namespaces/default/services";
const MERGE: &str = "application/merge-patch+json";

/// A server with an unused quota `q`.
async fn limited_to(spec: Value) -> Api {
    let api = Api::start().await;
    let quota = json!({"metadata": {"name": "q"}, "spec": spec, "status": {"used": {"pods": "7"}}});
    let made = api.post(QUOTAS, &quota).await.ok();
    assert_eq!(made["status"], json!({}), "only the controller writes the status");
    let used: serde_json::Map<String, Value> =
        spec["hard"].as_object().unwrap().keys().map(|name| (name.clone(), "0".into())).collect();
    let status = json!({"status": {"hard": spec["hard"], "used": used}});
    api.patch(&format!("{QUOTAS}/q/status"), MERGE, &status).await.ok();
    api
}

async fn used(api: &Api) -> Value {
    api.get(&format!("{QUOTAS}/q")).await.ok()["status"]["used"].clone()
}

fn pod(name: &str, resources: Value) -> Value {
    json!({"metadata": {"name": name},
        "spec": {"containers": [{"name": "c", "image": "i", "resources": resources}]}})
}

#[track_caller]
fn refused(answer: &super::harness::Answer, message: &str) {
    assert_eq!(answer.fails(403)["message"], message);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_creates_at_once_exactly_as_many_get_through_as_there_is_room_for() {
    let api = Arc::new(limited_to(json!({"hard": {"pods": "10", "count/pods": "100"}})).await);
    let creates = (0..50).map(|i| {
        let api = api.clone();
        tokio::spawn(async move { api.post(PODS, &pod(&format!("p{i}"), json!({}))).await })
    });
    let mut made = 0;
    for create in creates.collect::<Vec<_>>() {
        let answer = create.await.unwrap();
        if answer.code.is_success() {
            made += 1;
            continue;
        }
        let message = answer.fails(403)["message"].as_str().unwrap().to_owned();
        let why =
            "is forbidden: exceeded quota: q, requested: pods=1, used: pods=10, limited: pods=10";
        assert!(message.ends_with(why), "{message}");
    }
    assert_eq!(made, 10);
    assert_eq!(api.get(PODS).await.ok()["items"].as_array().unwrap().len(), 10);
    assert_eq!(used(&api).await, json!({"pods": "10", "count/pods": "10"}));
}

#[tokio::test]
async fn pods_are_charged_what_they_ask_for() {
    let api =
        limited_to(json!({"hard": {"requests.cpu": "1", "limits.memory": "1Gi", "pods": "5"}}))
            .await;
    let ask = |cpu: &str| json!({"requests": {"cpu": cpu}, "limits": {"memory": "400Mi"}});
    refused(
        &api.post(PODS, &pod("a", json!({"requests": {"cpu": "1"}}))).await,
        "pods \"a\" is forbidden: failed quota: q: must specify limits.memory for: c",
    );
    api.post(&format!("{PODS}?dryRun=All"), &pod("a", ask("600m"))).await.ok();
    api.post(PODS, &pod("a", ask("600m"))).await.ok();
    assert_eq!(
        used(&api).await,
        json!({"requests.cpu": "600m", "limits.memory": "400Mi", "pods": "1"})
    );
    refused(
        &api.post(PODS, &pod("b", ask("600m"))).await,
        "pods \"b\" is forbidden: exceeded quota: q, requested: requests.cpu=600m, used: requests.cpu=600m, limited: requests.cpu=1",
    );
    // A resize is charged for its increase.
    let resize =
        |cpu: &str| json!({"spec": {"containers": [{"name": "c", "resources": ask(cpu)}]}});
    let strategic = "application/strategic-merge-patch+json";
    let path = format!("{PODS}/a/resize");
    refused(
        &api.patch(&path, strategic, &resize("1100m")).await,
        "pods \"a\" is forbidden: exceeded quota: q, requested: requests.cpu=500m, used: requests.cpu=600m, limited: requests.cpu=1",
    );
    api.patch(&path, strategic, &resize("900m")).await.ok();
    assert_eq!(used(&api).await["requests.cpu"], "900m");
}

#[tokio::test]
async fn services_and_claims_are_charged_their_growth() {
    let api = limited_to(json!({"hard": {
        "services.nodeports": "1", "services.loadbalancers": "0", "requests.storage": "3Gi",
        "gold.storageclass.storage.k8s.io/persistentvolumeclaims": "0",
    }}))
    .await;
    let service = json!({"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}});
    api.post(SERVICES, &service).await.ok();
    let patch = |of: &str| json!({"spec": {"type": of}});
    let path = format!("{SERVICES}/s");
    refused(
        &api.patch(&path, MERGE, &patch("LoadBalancer")).await,
        "services \"s\" is forbidden: exceeded quota: q, requested: services.loadbalancers=1, used: services.loadbalancers=0, limited: services.loadbalancers=0",
    );
    api.patch(&path, MERGE, &patch("NodePort")).await.ok();
    assert_eq!(used(&api).await["services.nodeports"], "1");
    // A refused or dry-run update allocates no node port.
    let with_port = |name: &str| json!({"metadata": {"name": name}, "spec": {"ports": [{"port": 80, "nodePort": 30123}]}});
    let change = json!({"spec": {"type": "NodePort", "ports": [{"port": 80, "nodePort": 30123}]}});
    api.post(SERVICES, &json!({"metadata": {"name": "t"}, "spec": service["spec"]})).await.ok();
    let other = format!("{SERVICES}/t");
    for _ in 0..2 {
        let answer = api.patch(&other, MERGE, &change).await.fails(403);
        assert!(answer["message"].as_str().unwrap().contains("services.nodeports=1"), "{answer}");
    }
    api.patch(&path, MERGE, &change).await.ok();
    let mut taken = with_port("u");
    taken["spec"]["type"] = "NodePort".into();
    for _ in 0..2 {
        let answer = api.post(SERVICES, &taken).await.fails(422);
        assert!(answer["message"].as_str().unwrap().contains("already allocated"), "{answer}");
    }

    let claim = |class: &str| {
        json!({"metadata": {"name": "c"}, "spec": {"storageClassName": class,
            "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}}}})
    };
    refused(
        &api.post(CLAIMS, &claim("gold")).await,
        "persistentvolumeclaims \"c\" is forbidden: exceeded quota: q, requested: gold.storageclass.storage.k8s.io/persistentvolumeclaims=1, used: gold.storageclass.storage.k8s.io/persistentvolumeclaims=0, limited: gold.storageclass.storage.k8s.io/persistentvolumeclaims=0",
    );
    api.post(CLAIMS, &claim("silver")).await.ok();
    assert_eq!(used(&api).await["requests.storage"], "2Gi");
}

#[tokio::test]
async fn every_kind_can_be_counted() {
    let api = limited_to(json!({"hard": {
        "count/deployments.apps": "0", "count/configmaps": "1", "secrets": "0",
    }}))
    .await;
    let named = |name: &str| json!({"metadata": {"name": name}});
    let maps = "/api/v1/namespaces/default/configmaps";
    api.post(maps, &named("a")).await.ok();
    refused(
        &api.post(maps, &named("b")).await,
        "configmaps \"b\" is forbidden: exceeded quota: q, requested: count/configmaps=1, used: count/configmaps=1, limited: count/configmaps=1",
    );
    refused(
        &api.post("/api/v1/namespaces/default/secrets", &named("s")).await,
        "secrets \"s\" is forbidden: exceeded quota: q, requested: secrets=1, used: secrets=0, limited: secrets=0",
    );
    let deployment = json!({"metadata": {"name": "d"}, "spec": {
        "selector": {"matchLabels": {"app": "d"}},
        "template": {"metadata": {"labels": {"app": "d"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
    }});
    refused(
        &api.post("/apis/apps/v1/namespaces/default/deployments", &deployment).await,
        "deployments.apps \"d\" is forbidden: exceeded quota: q, requested: count/deployments.apps=1, used: count/deployments.apps=0, limited: count/deployments.apps=0",
    );
    // Another namespace is not affected.
    api.post("/api/v1/namespaces", &named("other")).await.ok();
    api.post("/api/v1/namespaces/other/secrets", &named("s")).await.ok();
}

#[tokio::test]
async fn what_a_quota_does_not_know_yet_is_refused_and_what_it_does_not_cover_is_free() {
    let api = Api::start().await;
    let scoped = json!({"metadata": {"name": "q"},
        "spec": {"hard": {"pods": "0"}, "scopes": ["BestEffort"]}});
    let made = api.post(QUOTAS, &scoped).await.ok();
    // A quota without a status does not limit, as in upstream.
    api.post(PODS, &pod("early", json!({}))).await.ok();
    let mut unknown = made.clone();
    unknown["status"] = json!({"hard": {"pods": "0"}});
    api.put(&format!("{QUOTAS}/q/status"), &unknown).await.ok();
    refused(
        &api.post(PODS, &pod("a", json!({}))).await,
        "pods \"a\" is forbidden: status unknown for quota: q, resources: pods",
    );
    let burstable = api.post(PODS, &pod("b", json!({"requests": {"cpu": "1"}}))).await.ok();
    assert_eq!(burstable.name(), "b");
}

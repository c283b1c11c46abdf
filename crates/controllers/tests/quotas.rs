//! The usage of resource quotas, against a real API server.

#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;

use client::kube::ResourceExt;
use client::kube::api::{DeleteParams, ListParams, PostParams};
use k8s_openapi::api::core::v1::{
    ConfigMap, PersistentVolumeClaim, Pod, ResourceQuota, Secret, Service,
};
use k8s_openapi::api::node::v1::RuntimeClass;
use serde_json::{Value, json};
use support::{Cluster, end};

async fn quota(cluster: &Cluster, name: &str, spec: Value) {
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": name}, "spec": spec});
    cluster.create::<ResourceQuota>("default", quota).await;
}

/// Waits until the quota says it has counted exactly this.
async fn used(cluster: &Cluster, name: &str, wanted: Value) {
    let what = format!("{name} with {wanted}");
    let holds = |quota: &Arc<ResourceQuota>| {
        let status = serde_json::to_value(&quota.status).unwrap();
        let hard = serde_json::to_value(&quota.spec).unwrap()["hard"].clone();
        quota.name_any() == name && status["used"] == wanted && status["hard"] == hard
    };
    cluster.until::<ResourceQuota>(&what, |all| all.iter().any(holds)).await;
}

fn pod(name: &str, cpu: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": [
        {"name": "c", "image": "v1", "resources": {"requests": {"cpu": cpu}}}]}})
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_is_given_back() {
    let cluster = Cluster::start().await;
    // Objects from before the quota count too.
    let early: Pod = cluster.create("default", pod("early", "1")).await;
    quota(&cluster, "all", json!({"hard": {"pods": "5", "requests.cpu": "4", "count/pods": "9"}}))
        .await;
    quota(&cluster, "short", json!({"hard": {"pods": "5"}, "scopes": ["Terminating"]})).await;
    used(&cluster, "all", json!({"pods": "1", "requests.cpu": "1", "count/pods": "1"})).await;
    used(&cluster, "short", json!({"pods": "0"})).await;

    let mut short = pod("short", "500m");
    short["spec"]["activeDeadlineSeconds"] = json!(3600);
    let mut class = json!({"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "heavy"}, "handler": "h"});
    class["overhead"] = json!({"podFixed": {"cpu": "250m"}});
    let class: RuntimeClass = serde_json::from_value(class).unwrap();
    let classes = client::kube::Api::<RuntimeClass>::all(cluster.client.clone());
    classes.create(&PostParams::default(), &class).await.unwrap();
    short["spec"]["runtimeClassName"] = json!("heavy");
    cluster.create::<Pod>("default", short).await;
    used(&cluster, "all", json!({"pods": "2", "requests.cpu": "1750m", "count/pods": "2"})).await;
    used(&cluster, "short", json!({"pods": "1"})).await;

    // A finished pod counts by its name alone, until it is gone.
    end(&cluster, &early, "Succeeded", 0).await;
    used(&cluster, "all", json!({"pods": "1", "requests.cpu": "750m", "count/pods": "2"})).await;
    let pods = cluster.api::<Pod>("default");
    for name in ["early", "short"] {
        pods.delete(name, &DeleteParams::default()).await.unwrap();
    }
    used(&cluster, "all", json!({"pods": "0", "requests.cpu": "0", "count/pods": "0"})).await;
    used(&cluster, "short", json!({"pods": "0"})).await;

    // A changed limit shows at once, with what is used of it.
    let more = json!({"spec": {"hard": {"pods": "6", "requests.cpu": null, "configmaps": "3"}}});
    cluster.merge::<ResourceQuota>("default", "all", more).await;
    used(&cluster, "all", json!({"pods": "0", "count/pods": "0", "configmaps": "1"})).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_is_counted() {
    let mut cluster = Cluster::start().await;
    let hard = json!({"hard": {
        "count/configmaps": "9", "secrets": "9", "services.nodeports": "9", "requests.storage": "9Gi",
        "gold.storageclass.storage.k8s.io/persistentvolumeclaims": "9", "count/deployments.apps": "9",
    }});
    quota(&cluster, "q", hard).await;
    let counts = |maps: &str, secrets: &str, ports: &str, storage: &str, gold: &str| {
        json!({"count/configmaps": maps, "secrets": secrets, "services.nodeports": ports,
            "requests.storage": storage, "count/deployments.apps": "0",
            "gold.storageclass.storage.k8s.io/persistentvolumeclaims": gold})
    };
    // The cluster's certificate authority is published in every namespace.
    used(&cluster, "q", counts("1", "0", "0", "0", "0")).await;
    let named = |kind: &str, more: Value| {
        let mut object = json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": "x"}});
        object.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        object
    };
    cluster.create::<ConfigMap>("default", named("ConfigMap", json!({}))).await;
    cluster.create::<Secret>("default", named("Secret", json!({}))).await;
    let ports = json!({"spec": {"type": "NodePort", "ports": [{"port": 80, "name": "a"}, {"port": 81, "name": "b"}]}});
    cluster.create::<Service>("default", named("Service", ports)).await;
    let storage = json!({"spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "gold",
        "resources": {"requests": {"storage": "2Gi"}}}});
    cluster
        .create::<PersistentVolumeClaim>("default", named("PersistentVolumeClaim", storage))
        .await;
    used(&cluster, "q", counts("2", "1", "2", "2Gi", "1")).await;

    // Nobody tells the next controllers what was counted.
    cluster.crash_controllers().await;
    let plain = json!({"spec": {"type": "ClusterIP", "ports": [
        {"port": 80, "name": "a", "nodePort": null}, {"port": 81, "name": "b", "nodePort": null}]}});
    cluster.merge::<Service>("default", "x", plain).await;
    let gone = DeleteParams::default();
    cluster.api::<ConfigMap>("default").delete("x", &gone).await.unwrap();
    cluster.api::<Secret>("default").delete("x", &gone).await.unwrap();
    cluster.api::<PersistentVolumeClaim>("default").delete("x", &gone).await.unwrap();
    used(&cluster, "q", counts("1", "0", "0", "0", "0")).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_charge_for_what_was_not_made_is_taken_back() {
    let cluster = Cluster::start().await;
    quota(&cluster, "q", json!({"hard": {"secrets": "2"}})).await;
    used(&cluster, "q", json!({"secrets": "0"})).await;
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}});
    cluster.create::<Secret>("default", secret.clone()).await;
    let again: Secret = serde_json::from_value(secret).unwrap();
    let secrets = cluster.api::<Secret>("default");
    assert!(secrets.create(&PostParams::default(), &again).await.is_err());
    used(&cluster, "q", json!({"secrets": "1"})).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_holds_while_pods_come_and_go() {
    const ROOM: usize = 5;
    let cluster = Arc::new(Cluster::start().await);
    quota(&cluster, "q", json!({"hard": {"pods": ROOM.to_string()}})).await;
    used(&cluster, "q", json!({"pods": "0"})).await;
    let tasks = (0..10).map(|task| {
        let cluster = cluster.clone();
        tokio::spawn(async move {
            let pods = cluster.api::<Pod>("default");
            let mut made = 0;
            for round in 0..12 {
                let name = format!("p{task}-{round}");
                let pod: Pod = serde_json::from_value(pod(&name, "1m")).unwrap();
                if pods.create(&PostParams::default(), &pod).await.is_ok() {
                    made += 1;
                    let _ = pods.delete(&name, &DeleteParams::default()).await;
                }
                let all = pods.list(&ListParams::default()).await.unwrap().items;
                let phase = |pod: &Pod| pod.status.as_ref().and_then(|s| s.phase.clone());
                let live = all
                    .iter()
                    .filter(|p| !matches!(phase(p).as_deref(), Some("Failed" | "Succeeded")));
                assert!(live.count() <= ROOM);
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
            made
        })
    });
    let mut made = 0;
    for task in tasks.collect::<Vec<_>>() {
        made += task.await.unwrap();
    }
    assert!(made > ROOM, "nothing was given back");
    used(&cluster, "q", json!({"pods": "0"})).await;
}

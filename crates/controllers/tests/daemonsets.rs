//! A DaemonSet from birth to death, against a real API server.

#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;

use client::kube::api::{Patch, PatchParams, PostParams};
use client::kube::{Api, ResourceExt};
use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet};
use k8s_openapi::api::core::v1::{Node, Pod};
use serde_json::{Value, json};
use support::{Cluster, pod_template};

async fn node(cluster: &Cluster, name: &str) {
    let api: Api<Node> = Api::all(cluster.client.clone());
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}});
    api.create(&PostParams::default(), &serde_json::from_value(node).unwrap()).await.unwrap();
    let now = client::helpers::now();
    let ready = json!({"status": {"conditions": [{"type": "Ready", "status": "True",
        "reason": "KubeletReady", "lastHeartbeatTime": now, "lastTransitionTime": now}]}});
    api.patch_status(name, &PatchParams::default(), &Patch::Merge(ready)).await.unwrap();
}

fn daemon(image: &str, strategy: Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "d"},
        "spec": {"selector": {"matchLabels": {"app": "d"}}, "updateStrategy": strategy,
            "template": pod_template("d", image)}})
}

fn image(pod: &Pod) -> String {
    pod.spec.as_ref().unwrap().containers[0].image.clone().unwrap()
}

fn target(pod: &Pod) -> String {
    let value = serde_json::to_value(&pod.spec).unwrap();
    let terms = "/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution\
                 /nodeSelectorTerms/0/matchFields/0/values/0";
    value.pointer(terms).unwrap().as_str().unwrap().to_owned()
}

/// Waits until these nodes have one pod each, of this image, and the status says so.
async fn settled(cluster: &Cluster, nodes: &[&str], wanted: &str) {
    cluster
        .until::<Pod>("one pod a node", |pods| {
            let on: BTreeMap<String, String> =
                pods.iter().map(|pod| (target(pod), image(pod))).collect();
            pods.len() == nodes.len()
                && nodes.iter().all(|node| on.get(*node).is_some_and(|image| image == wanted))
        })
        .await;
    let count = i32::try_from(nodes.len()).unwrap();
    cluster
        .until::<DaemonSet>("the status", |sets| {
            let set = &sets[0];
            set.status.as_ref().is_some_and(|status| {
                status.observed_generation == set.metadata.generation
                    && status.desired_number_scheduled == count
                    && status.current_number_scheduled == count
                    && status.number_available == Some(count)
                    && status.updated_number_scheduled == Some(count)
                    && status.number_misscheduled == 0
                    && status.number_unavailable.unwrap_or(0) == 0
            })
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_node_has_the_newest_pod() {
    let cluster = Cluster::start().await;
    node(&cluster, "n1").await;
    node(&cluster, "n2").await;
    cluster.create::<DaemonSet>("default", daemon("v1", json!({}))).await;
    settled(&cluster, &["n1", "n2"], "v1").await;
    node(&cluster, "n3").await;
    settled(&cluster, &["n1", "n2", "n3"], "v1").await;

    let image = |image: &str| json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": image}]}}}});
    cluster.merge::<DaemonSet>("default", "d", image("v2")).await;
    settled(&cluster, &["n1", "n2", "n3"], "v2").await;
    let mut surge = image("v3");
    surge["spec"]["updateStrategy"] = json!({"rollingUpdate":
        {"maxSurge": 1, "maxUnavailable": 0}});
    surge["spec"]["revisionHistoryLimit"] = 1.into();
    cluster.merge::<DaemonSet>("default", "d", surge).await;
    settled(&cluster, &["n1", "n2", "n3"], "v3").await;
    cluster
        .until::<ControllerRevision>("a short history", |all| {
            let mut numbers: Vec<i64> =
                all.iter().filter_map(|revision| revision.revision).collect();
            numbers.sort_unstable();
            numbers == [2, 3]
        })
        .await;

    // Back to what there was: its revision is used again, with a new number.
    cluster.merge::<DaemonSet>("default", "d", image("v2")).await;
    settled(&cluster, &["n1", "n2", "n3"], "v2").await;
    cluster
        .until::<ControllerRevision>("a revision used again", |all| {
            all.len() == 2 && all.iter().any(|revision| revision.revision == Some(4))
        })
        .await;

    // A node that no longer matches loses its pod.
    let labels = json!({"metadata": {"labels": {"role": "worker"}}});
    let api: Api<Node> = Api::all(cluster.client.clone());
    api.patch("n2", &PatchParams::default(), &Patch::Merge(labels)).await.unwrap();
    let mut chosen = image("v2");
    chosen["spec"]["template"]["spec"]["nodeSelector"] = json!({"role": "worker"});
    cluster.merge::<DaemonSet>("default", "d", chosen).await;
    settled(&cluster, &["n2"], "v2").await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_delete_waits_for_hands() {
    let cluster = Cluster::start().await;
    node(&cluster, "n1").await;
    cluster.create::<DaemonSet>("default", daemon("v1", json!({"type": "OnDelete"}))).await;
    settled(&cluster, &["n1"], "v1").await;
    let update = json!({"spec": {"template": {"spec": {
        "containers": [{"name": "c", "image": "v2"}]}}}});
    cluster.merge::<DaemonSet>("default", "d", update).await;
    cluster
        .until::<DaemonSet>("an outdated pod", |sets| {
            sets[0].status.as_ref().is_some_and(|status| {
                status.observed_generation == sets[0].metadata.generation
                    && status.updated_number_scheduled.unwrap_or(0) == 0
            })
        })
        .await;
    let pods = cluster.api::<Pod>("default");
    let old = pods.list(&Default::default()).await.unwrap().items.remove(0);
    assert_eq!(image(&old), "v1");
    pods.delete(&old.name_any(), &Default::default()).await.unwrap();
    settled(&cluster, &["n1"], "v2").await;
    cluster.stop().await;
}

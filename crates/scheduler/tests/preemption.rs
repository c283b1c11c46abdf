//! Making room, against a real API server.

#![allow(clippy::unwrap_used)]

mod support;

use client::kube::ResourceExt;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::scheduling::v1::PriorityClass;
use serde_json::{Value, json};
use support::{Cluster, node};

async fn with_classes(nodes: &[(&str, &str)]) -> Cluster {
    let cluster = Cluster::start(nodes).await;
    for (name, value) in [("low", 1), ("middle", 100), ("high", 1000)] {
        let class = json!({"metadata": {"name": name}, "value": value});
        cluster.create_global::<PriorityClass>(class).await;
    }
    cluster
}

fn of_class(class: &str) -> Value {
    json!({"priorityClassName": class})
}

#[tokio::test(flavor = "multi_thread")]
async fn the_least_important_pod_makes_room() {
    let cluster = with_classes(&[("a", "1"), ("b", "1")]).await;
    for (name, class) in [("low", "low"), ("middle", "middle")] {
        cluster.pod(name, "1500m", of_class(class)).await;
        cluster.node_of(name).await;
    }
    let room = node(&*cluster.until_pod("low", "a node", |_| true).await);
    // Keeps the victim in sight after its deletion.
    let held = json!({"metadata": {"finalizers": ["example.com/hold"]}});
    let patch = client::kube::api::Patch::Merge(held);
    let api = cluster.api::<Pod>();
    api.patch("low", &Default::default(), &patch).await.unwrap();

    cluster.pod("high", "1500m", of_class("high")).await;
    let victim =
        cluster.until_pod("low", "deletion", |pod| pod.metadata.deletion_timestamp.is_some()).await;
    let conditions = victim.status.as_ref().unwrap().conditions.as_ref().unwrap();
    let target = conditions.iter().find(|c| c.type_ == "DisruptionTarget").unwrap();
    assert_eq!(target.reason.as_deref(), Some("PreemptionByScheduler"));
    assert_eq!(
        target.message.as_deref(),
        Some("default-scheduler: preempting to accommodate a higher priority pod")
    );
    let nominated = cluster
        .until_pod("high", "a nomination", |pod| {
            pod.status.as_ref().is_some_and(|s| s.nominated_node_name.is_some())
        })
        .await;
    assert_eq!(nominated.status.as_ref().unwrap().nominated_node_name, room);
    let uid = nominated.metadata.uid.clone().unwrap();
    assert_eq!(
        cluster.event("low", "Preempted").await,
        format!("Preempted by pod {uid} on node {}", room.clone().unwrap())
    );

    assert!(node(&nominated).is_none(), "the victim has not left");
    let released = client::kube::api::Patch::Merge(json!({"metadata": {"finalizers": null}}));
    api.patch("low", &Default::default(), &released).await.unwrap();
    assert_eq!(Some(cluster.node_of("high").await), room);
    assert!(node(&*cluster.until_pod("middle", "it stays", |_| true).await).is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_never_preempts_waits_for_room() {
    let cluster = with_classes(&[("a", "1")]).await;
    cluster.pod("low", "1500m", of_class("low")).await;
    cluster.node_of("low").await;
    // A pod may not say otherwise than its class.
    let class =
        json!({"metadata": {"name": "patient"}, "value": 1000, "preemptionPolicy": "Never"});
    cluster.create_global::<PriorityClass>(class).await;
    cluster.pod("patient", "1", of_class("patient")).await;
    assert_eq!(
        cluster.why("patient", "Unschedulable").await,
        "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: \
         not eligible due to preemptionPolicy=Never."
    );
    cluster.api::<Pod>().delete("low", &Default::default()).await.unwrap();
    assert_eq!(cluster.node_of("patient").await, "a");
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_that_a_budget_protects_go_last() {
    let cluster = with_classes(&[("a", "1"), ("b", "1")]).await;
    let budget = json!({"metadata": {"name": "b"}, "spec": {
        "minAvailable": 1, "selector": {"matchLabels": {"app": "protected"}}}});
    cluster.create::<PodDisruptionBudget>(budget).await;
    let mut protected = of_class("low");
    protected["labels"] = json!({"app": "protected"});
    cluster.pod("protected", "1500m", protected).await;
    cluster.node_of("protected").await;
    let mut other = of_class("middle");
    other["labels"] = json!({"app": "other"});
    cluster.pod("other", "1500m", other).await;
    let at = cluster.node_of("other").await;
    cluster.pod("high", "1500m", of_class("high")).await;
    assert_eq!(cluster.node_of("high").await, at);
    let pods = cluster.until::<Pod>("one less", |pods| pods.len() == 2).await;
    assert!(pods.iter().any(|pod| pod.name_any() == "protected"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_takes_the_place_of_a_crowd() {
    let cluster = with_classes(&[("a", "1"), ("b", "1"), ("c", "2")]).await;
    let placed = |pods: &[std::sync::Arc<Pod>], prefix: &str| {
        let named = pods.iter().filter(|pod| pod.name_any().starts_with(prefix));
        named.filter(|pod| node(pod).is_some()).count()
    };
    for i in 0..12 {
        cluster.pod(&format!("low-{i}"), "500m", of_class("low")).await;
    }
    cluster.until::<Pod>("all low ones", |pods| placed(pods, "low") == 12).await;
    for i in 0..9 {
        cluster.pod(&format!("high-{i}"), "500m", of_class("high")).await;
    }
    let pods = cluster.until::<Pod>("all high ones", |pods| placed(pods, "high") == 9).await;
    // Nobody has left in vain.
    assert_eq!(placed(&pods, "low"), 3);
}

//! Where pods go and why they wait, against a real API server.

#![allow(clippy::unwrap_used)]

mod support;

use client::kube::api::{Patch, PatchParams};
use client::kube::{Api, ResourceExt};
use k8s_openapi::api::core::v1::{Namespace, PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::StorageClass;
use serde_json::{Value, json};
use support::Cluster;

async fn patch<K>(api: Api<K>, name: &str, patch: Value)
where
    K: Clone + serde::de::DeserializeOwned + std::fmt::Debug,
{
    api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_that_repel_each_other_wait_for_another_node() {
    let cluster = Cluster::start(&[("a", "1")]).await;
    let apart = json!({"labels": {"app": "web"}, "affinity": {"podAntiAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "kubernetes.io/hostname",
            "labelSelector": {"matchLabels": {"app": "web"}}}]}}});
    cluster.pod("first", "100m", apart.clone()).await;
    assert_eq!(cluster.node_of("first").await, "a");
    cluster.pod("second", "100m", apart).await;
    let message = "0/1 nodes are available: 1 node(s) didn't match pod anti-affinity rules. no new \
        claims to deallocate, preemption: 0/1 nodes are available: 1 No preemption victims found \
        for incoming pod.";
    assert_eq!(cluster.why("second", "Unschedulable").await, message);
    assert_eq!(cluster.event("second", "FailedScheduling").await, message);
    cluster.told(r#"scheduler_pending_pods{queue="unschedulable"} 1"#).await;
    cluster.add_node("b", "1").await;
    assert_eq!(cluster.node_of("second").await, "b");
    for line in [
        r#"scheduler_pending_pods{queue="unschedulable"} 0"#,
        r#"scheduler_schedule_attempts_total{profile="default-scheduler",result="scheduled"} 2"#,
        r#"scheduler_scheduling_attempt_duration_seconds_count{profile="default-scheduler",result="scheduled"} 2"#,
        r#"scheduler_pod_scheduling_sli_duration_seconds_count{attempts="1"} 1"#,
        r#"scheduler_queue_incoming_pods_total{event="UnschedulablePodAdd",queue="active"} 2"#,
        r#"scheduler_framework_extension_point_duration_seconds_count{extension_point="Bind",profile="default-scheduler",status="Success"} 2"#,
        r#"scheduler_cache_size{type="nodes"} 2"#,
        "scheduler_pod_scheduling_attempts_count 2",
    ] {
        cluster.told(line).await;
    }
    let text = cluster.metrics.encode(telemetry::metrics::Format::Text);
    let failed = r#"scheduler_queue_incoming_pods_total{event="ScheduleAttemptFailure",queue="unschedulable"}"#;
    assert!(text.contains(failed), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_are_spread_over_zones() {
    let cluster = Cluster::start(&[("a", "1"), ("b", "1"), ("c", "2")]).await;
    let spread = json!({"labels": {"app": "web"}, "topologySpreadConstraints": [{
        "topologyKey": "zone", "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "web"}}}]});
    let mut nodes = Vec::new();
    for name in ["1", "2", "3", "4"] {
        cluster.pod(name, "100m", spread.clone()).await;
        nodes.push(cluster.node_of(name).await);
    }
    assert_eq!(nodes.iter().filter(|node| *node == "c").count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gated_pod_waits_for_its_gates_to_go() {
    let cluster = Cluster::start(&[("a", "1")]).await;
    cluster.pod("gated", "1", json!({"schedulingGates": [{"name": "example.com/g"}]})).await;
    assert_eq!(
        cluster.why("gated", "SchedulingGated").await,
        "Scheduling is blocked due to non-empty scheduling gates"
    );
    patch(cluster.api::<Pod>(), "gated", json!({"spec": {"schedulingGates": []}})).await;
    assert_eq!(cluster.node_of("gated").await, "a");
}

/// A pod with a claim named like it.
fn with_claim(claim: &str) -> Value {
    json!({"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": claim}}]})
}

fn claim(name: &str, class: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"storageClassName": class,
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}})
}

/// A volume that only node `b` reaches.
fn volume(name: &str, class: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {
        "storageClassName": class, "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"},
        "hostPath": {"path": "/tmp"}, "nodeAffinity": {"required": {"nodeSelectorTerms": [
            {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["b"]}]}]}}}})
}

fn class(name: &str, provisioner: &str, mode: &str) -> Value {
    json!({"metadata": {"name": name}, "provisioner": provisioner, "volumeBindingMode": mode})
}

/// Finishes a binding as the volume controller does.
async fn complete(cluster: &Cluster, claim: &str, volume: &str) {
    let bound = json!({"metadata": {"annotations": {"pv.kubernetes.io/bind-completed": "yes"}},
        "spec": {"volumeName": volume}});
    patch(cluster.api::<PersistentVolumeClaim>(), claim, bound).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_go_where_their_bound_volumes_are() {
    let cluster = Cluster::start(&[("a", "1"), ("b", "1")]).await;
    let tail = "no new claims to deallocate, preemption: 0/2 nodes are available: 2 Preemption is \
        not helpful for scheduling.";
    cluster.pod("p", "1", with_claim("c")).await;
    assert_eq!(
        cluster.why("p", "Unschedulable").await,
        format!("0/2 nodes are available: persistentvolumeclaim \"c\" not found. {tail}")
    );
    cluster.create::<PersistentVolumeClaim>(claim("c", "")).await;
    let unbound = format!(
        "0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims. {tail}"
    );
    let says = |pod: &Pod| {
        let conditions = pod.status.as_ref().and_then(|s| s.conditions.clone()).unwrap_or_default();
        conditions.iter().any(|c| c.message.as_ref() == Some(&unbound))
    };
    cluster.until_pod("p", &unbound, says).await;
    cluster.create_global::<PersistentVolume>(volume("v", "")).await;
    complete(&cluster, "c", "v").await;
    assert_eq!(cluster.node_of("p").await, "b");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_claim_gets_a_volume_on_the_pods_node() {
    let cluster = Cluster::start(&[("a", "1"), ("b", "1")]).await;
    let class = class("local", "kubernetes.io/no-provisioner", "WaitForFirstConsumer");
    cluster.create_global::<StorageClass>(class).await;
    cluster.create::<PersistentVolumeClaim>(claim("c", "local")).await;
    cluster.pod("p", "1", with_claim("c")).await;
    assert!(
        cluster
            .why("p", "Unschedulable")
            .await
            .contains("2 node(s) didn't find available persistent volumes to bind")
    );
    cluster.create_global::<PersistentVolume>(volume("v", "local")).await;
    let status = Patch::Merge(json!({"status": {"phase": "Available"}}));
    let volumes: Api<PersistentVolume> = Api::all(cluster.client.clone());
    volumes.patch_status("v", &PatchParams::default(), &status).await.unwrap();
    let promised = cluster
        .until::<PersistentVolume>("a promise", |volumes| {
            volumes.iter().any(|v| v.spec.as_ref().is_some_and(|s| s.claim_ref.is_some()))
        })
        .await;
    let owner = promised[0].spec.as_ref().unwrap().claim_ref.as_ref().unwrap();
    assert_eq!(owner.name.as_deref(), Some("c"));
    assert!(promised[0].annotations().contains_key("pv.kubernetes.io/bound-by-controller"));
    complete(&cluster, "c", "v").await;
    assert_eq!(cluster.node_of("p").await, "b");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_is_made_for_the_selected_node() {
    let cluster = Cluster::start(&[("b", "1")]).await;
    let class = class("made", "example.com/maker", "WaitForFirstConsumer");
    cluster.create_global::<StorageClass>(class).await;
    cluster.create::<PersistentVolumeClaim>(claim("c", "made")).await;
    cluster.pod("p", "1", with_claim("c")).await;
    let selected = "volume.kubernetes.io/selected-node";
    cluster
        .until::<PersistentVolumeClaim>("a selected node", |claims| {
            claims.iter().any(|claim| claim.annotations().get(selected).is_some_and(|n| n == "b"))
        })
        .await;
    cluster.create_global::<PersistentVolume>(volume("v", "made")).await;
    complete(&cluster, "c", "v").await;
    assert_eq!(cluster.node_of("p").await, "b");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_selector_reads_the_labels_of_namespaces() {
    let cluster = Cluster::start(&[("a", "1"), ("b", "1")]).await;
    let namespace = json!({"metadata": {"name": "other", "labels": {"team": "x"}}});
    cluster.create_global::<Namespace>(namespace).await;
    let api: Api<Pod> = Api::namespaced(cluster.client.clone(), "other");
    let account = json!({"metadata": {"name": "default"}});
    let accounts: Api<k8s_openapi::api::core::v1::ServiceAccount> =
        Api::namespaced(cluster.client.clone(), "other");
    accounts.create(&Default::default(), &serde_json::from_value(account).unwrap()).await.unwrap();
    let web = json!({"metadata": {"name": "web", "labels": {"app": "web"}},
        "spec": {"nodeName": "b", "containers": [{"name": "c", "image": "i"}]}});
    api.create(&Default::default(), &serde_json::from_value(web).unwrap()).await.unwrap();
    let near = json!({"affinity": {"podAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "kubernetes.io/hostname",
            "namespaceSelector": {"matchLabels": {"team": "x"}},
            "labelSelector": {"matchLabels": {"app": "web"}}}]}}});
    cluster.pod("near", "100m", near).await;
    assert_eq!(cluster.node_of("near").await, "b");
}

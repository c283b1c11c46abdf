//! Disruption budgets, claim protection and role aggregation against a real API server.

#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;

use client::kube::api::{DeleteParams, EvictParams, ListParams, Patch, PatchParams, PostParams};
use client::kube::{Api, ResourceExt};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Event, PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetStatus};
use k8s_openapi::api::rbac::v1::ClusterRole;
use k8s_openapi::api::storage::v1::VolumeAttributesClass;
use serde_json::{Value, json};
use support::{Cluster, deployment};

fn budget(name: &str, app: &str, more: Value) -> Value {
    let mut spec = json!({"selector": {"matchLabels": {"app": app}}});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": name},
        "spec": spec})
}

/// Waits until a budget has these numbers: healthy, desired, expected, allowed.
async fn numbers(cluster: &Cluster, name: &str, wanted: (i32, i32, i32, i32)) {
    let of = |status: &PodDisruptionBudgetStatus| {
        let (healthy, desired) = (status.current_healthy, status.desired_healthy);
        (healthy, desired, status.expected_pods, status.disruptions_allowed)
    };
    cluster
        .until::<PodDisruptionBudget>("the numbers", |all| {
            let Some(found) = all.iter().find(|budget| budget.name_any() == name) else {
                return false;
            };
            found.status.as_ref().is_some_and(|status| {
                of(status) == (Some(wanted.0), Some(wanted.1), Some(wanted.2), Some(wanted.3))
                    && status.observed_generation == found.metadata.generation
                    && status.disrupted_pods.as_ref().is_none_or(|pods| pods.is_empty())
            })
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn budgets_follow_their_pods() {
    let cluster = Cluster::start().await;
    cluster.create::<Deployment>("default", deployment("web", 4, "v1")).await;
    let least = budget("least", "web", json!({"minAvailable": 3}));
    cluster.create::<PodDisruptionBudget>("default", least).await;
    numbers(&cluster, "least", (4, 3, 4, 1)).await;

    // One may go; its replacement makes room for the next.
    let api = cluster.api::<Pod>("default");
    let pods = api.list(&ListParams::default()).await.unwrap().items;
    let victim = pods[0].name_any();
    api.evict(&victim, &EvictParams::default()).await.unwrap();
    cluster
        .until::<Pod>("a replacement", |pods| {
            pods.len() == 4 && pods.iter().all(|pod| pod.name_any() != victim)
        })
        .await;
    numbers(&cluster, "least", (4, 3, 4, 1)).await;
    let none = json!({"spec": {"minAvailable": 4}});
    cluster.merge::<PodDisruptionBudget>("default", "least", none).await;
    numbers(&cluster, "least", (4, 4, 4, 0)).await;
    let refused = api.evict(&pods[1].name_any(), &EvictParams::default()).await;
    assert!(refused.is_err());

    // A part of the Deployment's scale.
    cluster
        .api::<PodDisruptionBudget>("default")
        .delete("least", &Default::default())
        .await
        .unwrap();
    let part = budget("part", "web", json!({"maxUnavailable": "50%"}));
    cluster.create::<PodDisruptionBudget>("default", part).await;
    numbers(&cluster, "part", (4, 2, 4, 2)).await;
    cluster.merge::<Deployment>("default", "web", json!({"spec": {"replicas": 2}})).await;
    numbers(&cluster, "part", (2, 1, 2, 1)).await;

    // Jobs have no scale: then nothing is allowed.
    let job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"},
        "spec": {"template": {"metadata": {"labels": {"app": "j"}}, "spec": {
            "restartPolicy": "Never", "containers": [{"name": "c", "image": "run"}]}}}});
    cluster.create::<k8s_openapi::api::batch::v1::Job>("default", job).await;
    let vain = budget("vain", "j", json!({"maxUnavailable": 1}));
    cluster.create::<PodDisruptionBudget>("default", vain).await;
    cluster
        .until::<Event>("an explanation", |events| {
            events.iter().any(|event| {
                event.reason.as_deref() == Some("CalculateExpectedPodCountFailed")
                    && event.message.as_deref().is_some_and(|text| {
                        text.ends_with("jobs.batch does not implement the scale subresource")
                    })
            })
        })
        .await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_are_aggregated() {
    let cluster = Cluster::start().await;
    let api: Api<ClusterRole> = Api::all(cluster.client.clone());
    let role = |value: Value| -> ClusterRole { serde_json::from_value(value).unwrap() };
    // Through a third role, as the built-in ones do.
    let whole = |name: &str, to: &str, label: &str| {
        role(json!({"metadata": {"name": name, "labels": {to: "yes"}}, "aggregationRule": {
            "clusterRoleSelectors": [{"matchLabels": {label: "yes"}}]}}))
    };
    api.create(&PostParams::default(), &whole("readers", "writing", "reading")).await.unwrap();
    api.create(&PostParams::default(), &whole("writers", "none", "writing")).await.unwrap();
    let part = role(json!({"metadata": {"name": "crons", "labels": {"reading": "yes",
        "rbac.authorization.k8s.io/aggregate-to-view": "true"}},
        "rules": [{"apiGroups": ["example.com"], "resources": ["crons"], "verbs": ["get"]}]}));
    api.create(&PostParams::default(), &part).await.unwrap();
    let has = |roles: &[Arc<ClusterRole>], name: &str| {
        let role = roles.iter().find(|role| role.name_any() == name).unwrap();
        let groups = |rule: &k8s_openapi::api::rbac::v1::PolicyRule| rule.api_groups.clone();
        role.rules.iter().flatten().any(|r| groups(r) == Some(vec!["example.com".into()]))
    };
    cluster
        .until::<ClusterRole>("the rules", |all| {
            ["view", "readers", "writers"].iter().all(|name| has(all, name))
        })
        .await;
    api.delete("crons", &DeleteParams::default()).await.unwrap();
    cluster
        .until::<ClusterRole>("no rules", |all| {
            ["view", "readers", "writers"].iter().all(|name| !has(all, name))
        })
        .await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn storage_in_use_stays() {
    let cluster = Cluster::start().await;
    let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}}}});
    cluster.create::<PersistentVolumeClaim>("default", claim).await;
    let protected = |claims: &[Arc<PersistentVolumeClaim>]| {
        claims.iter().any(|claim| claim.finalizers() == ["kubernetes.io/pvc-protection"])
    };
    cluster.until::<PersistentVolumeClaim>("protection", protected).await;
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "user"}, "spec": {
        "nodeName": "n1", "containers": [{"name": "c", "image": "run"}], "volumes": [
            {"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]}});
    cluster.create::<Pod>("default", pod).await;
    let claims = cluster.api::<PersistentVolumeClaim>("default");
    claims.delete("data", &DeleteParams::default()).await.unwrap();
    cluster
        .until::<PersistentVolumeClaim>("a deletion that waits", |claims| {
            claims.iter().any(|claim| claim.metadata.deletion_timestamp.is_some())
        })
        .await;
    cluster.api::<Pod>("default").delete("user", &DeleteParams::default()).await.unwrap();
    cluster.until::<PersistentVolumeClaim>("no claim", |claims| claims.is_empty()).await;

    let volumes: Api<PersistentVolume> = Api::all(cluster.client.clone());
    let volume = json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "pv"},
        "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"],
            "hostPath": {"path": "/tmp"}}});
    let volume: PersistentVolume = serde_json::from_value(volume).unwrap();
    volumes.create(&PostParams::default(), &volume).await.unwrap();
    let phase = |phase: &str| Patch::Merge(json!({"status": {"phase": phase}}));
    volumes.patch_status("pv", &PatchParams::default(), &phase("Bound")).await.unwrap();
    cluster
        .until::<PersistentVolume>("protection", |all| {
            all.iter().any(|pv| pv.finalizers() == ["kubernetes.io/pv-protection"])
        })
        .await;
    volumes.delete("pv", &DeleteParams::default()).await.unwrap();
    assert!(volumes.get("pv").await.is_ok());
    volumes.patch_status("pv", &PatchParams::default(), &phase("Released")).await.unwrap();
    cluster.until::<PersistentVolume>("no volume", |all| all.is_empty()).await;

    let classes: Api<VolumeAttributesClass> = Api::all(cluster.client.clone());
    let class = json!({"apiVersion": "storage.k8s.io/v1", "kind": "VolumeAttributesClass",
        "metadata": {"name": "gold"}, "driverName": "d.example.com", "parameters": {"iops": "1"}});
    let class = serde_json::from_value(class).unwrap();
    classes.create(&PostParams::default(), &class).await.unwrap();
    let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"name": "fast"}, "spec": {"accessModes": ["ReadWriteOnce"],
            "volumeAttributesClassName": "gold", "resources": {"requests": {"storage": "1Gi"}}}});
    cluster.create::<PersistentVolumeClaim>("default", claim).await;
    cluster.until::<PersistentVolumeClaim>("the claim", |claims| !claims.is_empty()).await;
    classes.delete("gold", &DeleteParams::default()).await.unwrap();
    assert!(classes.get("gold").await.is_ok());
    claims.delete("fast", &DeleteParams::default()).await.unwrap();
    cluster.until::<VolumeAttributesClass>("no class", |all| all.is_empty()).await;
    cluster.stop().await;
}

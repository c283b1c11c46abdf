//! A StatefulSet from birth to death, against a real API server.

#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;

use client::kube::ResourceExt;
use client::kube::api::{DeleteParams, ListParams};
use k8s_openapi::api::apps::v1::{ControllerRevision, StatefulSet};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use serde_json::{Value, json};
use support::{Cluster, pod_template};

fn set(name: &str, replicas: i32, more: Value) -> Value {
    let mut spec = json!({"replicas": replicas, "serviceName": name,
        "selector": {"matchLabels": {"app": name}}, "template": pod_template(name, "v1")});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": name},
        "spec": spec})
}

fn update(image: &str) -> Value {
    json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": image}]}}}})
}

fn image(pod: &Pod) -> &str {
    pod.spec.as_ref().unwrap().containers[0].image.as_deref().unwrap()
}

/// Waits until the set has these pods, named with their images, and says that all are ready.
async fn settled(cluster: &Cluster, set: &str, wanted: &[(&str, &str)]) {
    cluster
        .until::<Pod>("the pods", |pods| {
            let mut found: Vec<(String, &str)> = pods
                .iter()
                .filter(|pod| pod.name_any().rsplit_once('-').is_some_and(|(of, _)| of == set))
                .map(|pod| (pod.name_any(), image(pod)))
                .collect();
            found.sort_unstable();
            found.iter().map(|(name, image)| (name.as_str(), *image)).eq(wanted.iter().copied())
        })
        .await;
    let count = Some(i32::try_from(wanted.len()).unwrap());
    cluster
        .until::<StatefulSet>("the status", |sets| {
            let found = sets.iter().find(|one| one.name_any() == set).unwrap();
            let status = found.status.clone().unwrap_or_default();
            status.observed_generation == found.metadata.generation
                && Some(status.replicas) == count
                && status.ready_replicas.or(Some(0)) == count
                && status.available_replicas.or(Some(0)) == count
        })
        .await;
}

async fn status(cluster: &Cluster, name: &str) -> k8s_openapi::api::apps::v1::StatefulSetStatus {
    cluster.api::<StatefulSet>("default").get(name).await.unwrap().status.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_keep_their_names_and_order() {
    let cluster = Cluster::start().await;
    cluster.create::<StatefulSet>("default", set("web", 3, json!({}))).await;
    settled(&cluster, "web", &[("web-0", "v1"), ("web-1", "v1"), ("web-2", "v1")]).await;
    let pods = cluster.api::<Pod>("default").list(&ListParams::default()).await.unwrap().items;
    for pod in &pods {
        let spec = pod.spec.as_ref().unwrap();
        assert_eq!(spec.hostname, pod.metadata.name);
        assert_eq!(spec.subdomain.as_deref(), Some("web"));
        assert_eq!(pod.labels()["statefulset.kubernetes.io/pod-name"], pod.name_any());
    }

    // A staged rollout, then the whole.
    let mut staged = update("v2");
    staged["spec"]["updateStrategy"] = json!({"rollingUpdate": {"partition": 2}});
    cluster.merge::<StatefulSet>("default", "web", staged).await;
    settled(&cluster, "web", &[("web-0", "v1"), ("web-1", "v1"), ("web-2", "v2")]).await;
    let half = status(&cluster, "web").await;
    assert_ne!(half.current_revision, half.update_revision);
    let whole = json!({"spec": {"updateStrategy": {"rollingUpdate": {"partition": 0}}}});
    cluster.merge::<StatefulSet>("default", "web", whole).await;
    settled(&cluster, "web", &[("web-0", "v2"), ("web-1", "v2"), ("web-2", "v2")]).await;
    cluster
        .until::<StatefulSet>("a completed update", |sets| {
            let done = sets[0].status.clone().unwrap();
            done.current_revision == done.update_revision
                && (done.current_replicas, done.updated_replicas) == (Some(3), Some(3))
        })
        .await;

    // Back, by the revision there was.
    cluster.merge::<StatefulSet>("default", "web", update("v1")).await;
    settled(&cluster, "web", &[("web-0", "v1"), ("web-1", "v1"), ("web-2", "v1")]).await;
    let mut numbers: Vec<i64> = cluster
        .api::<ControllerRevision>("default")
        .list(&ListParams::default())
        .await
        .unwrap()
        .items
        .iter()
        .filter_map(|revision| revision.revision)
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [2, 3]);

    // A lost pod comes back under its name, and others go from the end.
    let api = cluster.api::<Pod>("default");
    let before = api.get("web-1").await.unwrap().uid();
    api.delete("web-1", &DeleteParams::default()).await.unwrap();
    cluster
        .until::<Pod>("a successor", |pods| {
            pods.iter().any(|pod| pod.name_any() == "web-1" && pod.uid() != before)
        })
        .await;
    cluster.merge::<StatefulSet>("default", "web", json!({"spec": {"replicas": 1}})).await;
    settled(&cluster, "web", &[("web-0", "v1")]).await;
    let shifted = json!({"spec": {"replicas": 2, "ordinals": {"start": 3}}});
    cluster.merge::<StatefulSet>("default", "web", shifted).await;
    settled(&cluster, "web", &[("web-3", "v1"), ("web-4", "v1")]).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_are_made_and_owned() {
    let cluster = Cluster::start().await;
    let more = json!({"podManagementPolicy": "Parallel",
        "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Delete", "whenScaled": "Retain"},
        "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {
            "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}]});
    cluster.create::<StatefulSet>("default", set("db", 2, more)).await;
    settled(&cluster, "db", &[("db-0", "v1"), ("db-1", "v1")]).await;
    let owners = |kind: &str, wanted: &[&str]| {
        let (kind, wanted) = (kind.to_owned(), wanted.join(" "));
        move |claims: &[Arc<PersistentVolumeClaim>]| {
            let owned = claims
                .iter()
                .filter(|claim| claim.owner_references().iter().any(|owner| owner.kind == kind));
            let mut names: Vec<String> = owned.map(|claim| claim.name_any()).collect();
            names.sort_unstable();
            names.join(" ") == wanted
        }
    };
    let both = owners("StatefulSet", &["data-db-0", "data-db-1"]);
    cluster.until::<PersistentVolumeClaim>("owned claims", both).await;
    let pod = cluster.api::<Pod>("default").get("db-1").await.unwrap();
    let volumes = pod.spec.unwrap().volumes.unwrap();
    let claim = volumes.iter().find(|volume| volume.name == "data").unwrap();
    let claim = claim.persistent_volume_claim.as_ref().unwrap();
    assert_eq!(claim.claim_name, "data-db-1");

    // A pod that is scaled away leaves its claim, and finds it again.
    cluster.merge::<StatefulSet>("default", "db", json!({"spec": {"replicas": 1}})).await;
    settled(&cluster, "db", &[("db-0", "v1")]).await;
    let keep = json!({"spec": {"replicas": 2, "persistentVolumeClaimRetentionPolicy":
        {"whenDeleted": "Retain"}}});
    cluster.merge::<StatefulSet>("default", "db", keep).await;
    settled(&cluster, "db", &[("db-0", "v1"), ("db-1", "v1")]).await;
    cluster
        .until::<PersistentVolumeClaim>("claims without owners", owners("StatefulSet", &[]))
        .await;
    let api = cluster.api::<PersistentVolumeClaim>("default");
    assert_eq!(api.list(&ListParams::default()).await.unwrap().items.len(), 2);
    cluster.stop().await;
}

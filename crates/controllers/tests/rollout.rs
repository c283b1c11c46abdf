//! A Deployment from birth to death, against a real API server.

#![allow(clippy::unwrap_used)]

mod support;

use client::EventType;
use client::kube::ResourceExt;
use client::kube::api::{DeleteParams, ListParams};
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{Event, Pod};
use serde_json::json;
use support::{Cluster, deployment};

fn reason(deployment: &Deployment, kind: &str) -> Option<String> {
    let status = deployment.status.as_ref()?;
    let condition =
        status.conditions.iter().flatten().find(|c| c.type_.as_deref() == Some(kind))?;
    condition.reason.clone()
}

fn complete(deployment: &Deployment, replicas: i32) -> bool {
    let Some(status) = &deployment.status else { return false };
    status.observed_generation == deployment.metadata.generation
        && status.updated_replicas == Some(replicas)
        && status.available_replicas == Some(replicas)
        && status.replicas == Some(replicas)
        && reason(deployment, "Progressing").as_deref() == Some("NewReplicaSetAvailable")
}

fn image(pod: &Pod) -> &str {
    pod.spec.as_ref().and_then(|spec| spec.containers[0].image.as_deref()).unwrap_or_default()
}

async fn rolled_out(cluster: &Cluster, replicas: i32, to: &str) {
    cluster
        .until::<Deployment>("a complete rollout", |all| {
            all.iter().any(|d| {
                let spec = d.spec.template.spec.as_ref().unwrap();
                spec.containers[0].image.as_deref() == Some(to) && complete(d, replicas)
            })
        })
        .await;
    cluster
        .until::<Pod>("only pods of the template", |pods| {
            pods.len() == replicas as usize && pods.iter().all(|pod| image(pod) == to)
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_rolls_out_and_back_and_scales() {
    let cluster = Cluster::start().await;
    cluster.create::<Deployment>("default", deployment("web", 4, "v1")).await;
    rolled_out(&cluster, 4, "v1").await;

    let update = |image: &str| json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": image}]}}}});
    cluster.merge::<Deployment>("default", "web", update("v2")).await;
    rolled_out(&cluster, 4, "v2").await;
    let revisions = |d: &Deployment| d.annotations()["deployment.kubernetes.io/revision"].clone();
    let api = cluster.api::<Deployment>("default");
    assert_eq!(revisions(&api.get("web").await.unwrap()), "2");

    // A broken image keeps the old pods serving.
    cluster.merge::<Deployment>("default", "web", update("broken")).await;
    cluster
        .until::<Deployment>("a partial rollout", |all| {
            all.iter().any(|d| {
                d.status.as_ref().is_some_and(|s| {
                    s.observed_generation == d.metadata.generation
                        && s.updated_replicas == Some(2)
                        && s.available_replicas == Some(3)
                        && s.unavailable_replicas == Some(2)
                })
            })
        })
        .await;

    // Back to the template of revision 1: its ReplicaSet is used again.
    cluster.merge::<Deployment>("default", "web", update("v1")).await;
    rolled_out(&cluster, 4, "v1").await;
    let sets =
        cluster.api::<ReplicaSet>("default").list(&ListParams::default()).await.unwrap().items;
    assert_eq!(sets.len(), 3, "no fourth ReplicaSet");
    let newest = sets.iter().find(|set| set.spec.replicas == Some(4)).unwrap();
    let note = |key: &str| newest.annotations().get(key).map(String::as_str);
    assert_eq!(note("deployment.kubernetes.io/revision"), Some("4"));
    assert_eq!(note("deployment.kubernetes.io/revision-history"), Some("1"));

    cluster.merge::<Deployment>("default", "web", json!({"spec": {"replicas": 2}})).await;
    rolled_out(&cluster, 2, "v1").await;

    cluster
        .until::<Event>("the events of a rollout", |events| {
            let has = |reason: &str, start: &str| {
                events.iter().any(|event| {
                    event.type_.as_deref() == Some(EventType::Normal.as_str())
                        && event.reason.as_deref() == Some(reason)
                        && event.message.as_deref().unwrap_or_default().starts_with(start)
                })
            };
            has("ScalingReplicaSet", "Scaled up replica set web-")
                && has("ScalingReplicaSet", "Scaled down replica set web-")
                && has("SuccessfulCreate", "Created pod: web-")
                && has("SuccessfulDelete", "Deleted pod: web-")
        })
        .await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn recreate_and_pause() {
    let cluster = Cluster::start().await;
    let mut object = deployment("db", 2, "v1");
    object["spec"]["strategy"] = json!({"type": "Recreate"});
    cluster.create::<Deployment>("default", object).await;
    rolled_out(&cluster, 2, "v1").await;
    let update = json!({"spec": {"paused": true, "template": {"spec": {
        "containers": [{"name": "c", "image": "v2"}]}}}});
    cluster.merge::<Deployment>("default", "db", update).await;
    cluster
        .until::<Deployment>("a pause", |all| {
            all.iter().any(|d| reason(d, "Progressing").as_deref() == Some("DeploymentPaused"))
        })
        .await;
    let pods = cluster.api::<Pod>("default").list(&ListParams::default()).await.unwrap().items;
    assert!(pods.iter().all(|pod| image(pod) == "v1"));
    cluster.merge::<Deployment>("default", "db", json!({"spec": {"paused": null}})).await;
    rolled_out(&cluster, 2, "v2").await;

    // A pod that dies is replaced.
    let api = cluster.api::<Pod>("default");
    let victim = api.list(&ListParams::default()).await.unwrap().items.remove(0).name_any();
    api.delete(&victim, &DeleteParams::default()).await.unwrap();
    cluster
        .until::<Pod>("a replacement", |pods| {
            pods.len() == 2 && pods.iter().all(|pod| pod.name_any() != victim)
        })
        .await;
    cluster.stop().await;
}

//! Deletion: owners and dependents, namespaces and their content.

#![allow(clippy::unwrap_used)]

mod support;

use client::kube::ResourceExt;
use client::kube::api::{Api, DeleteParams, ListParams, PostParams, PropagationPolicy};
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{
    ConfigMap, Endpoints, Event, Namespace, Pod, Secret, Service, ServiceAccount,
};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde_json::json;
use support::{Cluster, deployment};

async fn three_pods(cluster: &Cluster, namespace: &str) {
    cluster.create::<Deployment>(namespace, deployment("web", 3, "v1")).await;
    cluster
        .until::<Pod>("three running pods", |pods| {
            let running = pods.iter().filter(|pod| {
                pod.namespace().as_deref() == Some(namespace)
                    && pod.status.as_ref().is_some_and(|s| s.phase.as_deref() == Some("Running"))
            });
            running.count() == 3
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dependents_follow_their_owner() {
    let cluster = Cluster::start().await;
    let api = cluster.api::<Deployment>("default");
    for policy in [PropagationPolicy::Background, PropagationPolicy::Foreground] {
        three_pods(&cluster, "default").await;
        let params = DeleteParams { propagation_policy: Some(policy), ..Default::default() };
        api.delete("web", &params).await.unwrap();
        cluster.until::<Pod>("no pods", |pods| pods.is_empty()).await;
        cluster.until::<ReplicaSet>("no replica sets", |sets| sets.is_empty()).await;
        cluster.until::<Deployment>("no deployment", |all| all.is_empty()).await;
    }

    three_pods(&cluster, "default").await;
    let orphan =
        DeleteParams { propagation_policy: Some(PropagationPolicy::Orphan), ..Default::default() };
    api.delete("web", &orphan).await.unwrap();
    cluster.until::<Deployment>("no deployment", |all| all.is_empty()).await;
    let sets = cluster.api::<ReplicaSet>("default").list(&ListParams::default()).await.unwrap();
    assert_eq!(sets.items.len(), 1, "the replica set outlives its owner");
    assert!(sets.items[0].owner_references().is_empty());

    // A dependent of what never existed goes.
    let stray = json!({
        "metadata": {"name": "stray", "ownerReferences": [{"apiVersion": "v1", "kind": "Secret",
            "name": "nobody", "uid": "00000000-0000-0000-0000-000000000000"}]},
    });
    cluster.create::<ConfigMap>("default", stray).await;
    cluster
        .until::<ConfigMap>("no stray", |maps| maps.iter().all(|map| map.name_any() != "stray"))
        .await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_takes_its_content_along() {
    let cluster = Cluster::start().await;
    let namespaces: Api<Namespace> = Api::all(cluster.client.clone());
    let object = serde_json::from_value(json!({"metadata": {"name": "team"}})).unwrap();
    namespaces.create(&PostParams::default(), &object).await.unwrap();
    let in_team = |namespace: Option<String>| namespace.as_deref() == Some("team");
    cluster
        .until::<ServiceAccount>("a default account", |all| {
            all.iter().any(|a| in_team(a.namespace()) && a.name_any() == "default")
        })
        .await;
    cluster
        .until::<ConfigMap>("the root certificate", |all| {
            all.iter().any(|map| {
                in_team(map.namespace())
                    && map.name_any() == "kube-root-ca.crt"
                    && map.data.as_ref().unwrap()["ca.crt"].contains("BEGIN CERTIFICATE")
            })
        })
        .await;
    three_pods(&cluster, "team").await;
    let held = json!({"metadata": {"name": "held", "finalizers": ["example.com/hold"]}});
    cluster.create::<Secret>("team", held).await;

    namespaces.delete("team", &DeleteParams::default()).await.unwrap();
    cluster
        .until::<Namespace>("a held namespace", |all| {
            all.iter().filter(|n| n.name_any() == "team").any(|namespace| {
                let status = namespace.status.as_ref().unwrap();
                status.conditions.iter().flatten().any(|c| {
                    c.type_ == "NamespaceFinalizersRemaining"
                        && c.status == "True"
                        && c.message.as_ref().unwrap().contains("example.com/hold")
                })
            })
        })
        .await;
    cluster.merge::<Secret>("team", "held", json!({"metadata": {"finalizers": null}})).await;
    cluster
        .until::<Namespace>("no namespace", |all| all.iter().all(|n| n.name_any() != "team"))
        .await;
    cluster.until::<Pod>("no pods", |pods| pods.is_empty()).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_has_the_addresses_of_its_pods() {
    let cluster = Cluster::start().await;
    let service = json!({
        "metadata": {"name": "web"},
        "spec": {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80}]},
    });
    cluster.create::<Service>("default", service).await;
    let of_web = |slice: &EndpointSlice| {
        slice.labels().get("kubernetes.io/service-name").is_some_and(|name| name == "web")
    };
    cluster
        .until::<EndpointSlice>("an empty slice", |all| {
            let ours: Vec<_> = all.iter().filter(|slice| of_web(slice)).collect();
            ours.len() == 1 && ours[0].endpoints.iter().flatten().count() == 0
        })
        .await;
    three_pods(&cluster, "default").await;
    let ready = |count: usize| {
        move |all: &[std::sync::Arc<EndpointSlice>]| {
            let ours: Vec<_> = all.iter().filter(|slice| of_web(slice)).collect();
            ours.len() == 1
                && ours[0].endpoints.iter().flatten().count() == count
                && ours[0].ports.as_ref().is_some_and(|ports| ports[0].port == Some(80))
                && ours[0].endpoints.iter().flatten().all(|endpoint| {
                    endpoint.conditions.as_ref().is_some_and(|c| c.ready == Some(true))
                        && endpoint.target_ref.is_some()
                })
        }
    };
    cluster.until::<EndpointSlice>("three endpoints in one slice", ready(3)).await;
    cluster
        .until::<Endpoints>("three addresses", |all| {
            all.iter().filter(|e| e.name_any() == "web").any(|endpoints| {
                let subsets = endpoints.subsets.as_deref().unwrap_or_default();
                subsets.len() == 1 && subsets[0].addresses.as_ref().is_some_and(|a| a.len() == 3)
            })
        })
        .await;
    cluster.merge::<Deployment>("default", "web", json!({"spec": {"replicas": 1}})).await;
    cluster.until::<EndpointSlice>("one endpoint", ready(1)).await;
    let services = cluster.api::<Service>("default");
    services.delete("web", &DeleteParams::default()).await.unwrap();
    cluster.until::<EndpointSlice>("no slice", |all| !all.iter().any(|slice| of_web(slice))).await;
    cluster
        .until::<Endpoints>("no endpoints", |all| all.iter().all(|e| e.name_any() != "web"))
        .await;
    cluster.stop().await;
}

/// A dependent's reference to an owner.
fn owned_by(owner: &ConfigMap, name: &str) -> serde_json::Value {
    json!({"metadata": {"name": name, "ownerReferences": [{
        "apiVersion": "v1", "kind": "ConfigMap", "name": owner.name_any(),
        "uid": owner.metadata.uid,
    }]}})
}

#[tokio::test(flavor = "multi_thread")]
async fn dependents_in_another_namespace_go_and_the_others_stay_with_their_owner() {
    let mut cluster = Cluster::start().await;
    let namespace: Namespace =
        serde_json::from_value(json!({"metadata": {"name": "other"}})).unwrap();
    let namespaces = Api::<Namespace>::all(cluster.client.clone());
    namespaces.create(&PostParams::default(), &namespace).await.unwrap();
    for round in 0..3 {
        let name = format!("owner-{round}");
        // All is there already when the next collector begins: what a crashed one had begun to
        // say of it may be lost with it.
        cluster.end_controllers().await;
        let owner: ConfigMap = cluster.create("default", json!({"metadata": {"name": name}})).await;
        for i in 0..20 {
            let good = owned_by(&owner, &format!("good-{round}-{i}"));
            cluster.create::<ConfigMap>("default", good).await;
        }
        let bad = owned_by(&owner, &format!("bad-{round}"));
        cluster.create::<ConfigMap>("other", bad).await;
        cluster.restart_controllers();
        let bad = format!("bad-{round}");
        cluster
            .until::<ConfigMap>("no dependent elsewhere", |maps| {
                maps.iter().all(|map| map.name_any() != bad)
            })
            .await;
        cluster
            .until::<Event>("an event about it", |events| {
                events.iter().any(|event| {
                    event.reason.as_deref() == Some("OwnerRefInvalidNamespace")
                        && event.involved_object.name.as_deref() == Some(&*bad)
                })
            })
            .await;
        let good = format!("good-{round}-");
        let count = |maps: &[std::sync::Arc<ConfigMap>]| {
            maps.iter().filter(|map| map.name_any().starts_with(&good)).count()
        };
        cluster.until::<ConfigMap>("all good ones", |maps| count(maps) == 20).await;
        cluster.api::<ConfigMap>("default").delete(&name, &DeleteParams::default()).await.unwrap();
        cluster.until::<ConfigMap>("no good ones", |maps| count(maps) == 0).await;
    }
    cluster.stop().await;
}

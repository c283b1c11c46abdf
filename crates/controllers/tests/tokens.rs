//! Tokens in Secrets.

#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;

use client::kube::ResourceExt;
use client::kube::api::DeleteParams;
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use serde_json::json;
use support::Cluster;

fn token_secret(name: &str, account: &str) -> serde_json::Value {
    json!({
        "type": "kubernetes.io/service-account-token",
        "metadata": {
            "name": name, "annotations": {"kubernetes.io/service-account.name": account},
        },
    })
}

fn find(secrets: &[Arc<Secret>], name: &str) -> Option<Arc<Secret>> {
    secrets.iter().find(|secret| secret.name_any() == name).cloned()
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_of_accounts_are_filled_and_go_with_them() {
    let cluster = Cluster::start().await;
    let account: ServiceAccount =
        cluster.create("default", json!({"metadata": {"name": "robot"}})).await;
    cluster.create::<Secret>("default", token_secret("robot-token", "robot")).await;
    let full = |secrets: &[Arc<Secret>]| {
        find(secrets, "robot-token").is_some_and(|s| s.data.as_ref().is_some_and(|d| d.len() == 3))
    };
    let secrets = cluster.until::<Secret>("a filled secret", full).await;
    let secret = find(&secrets, "robot-token").unwrap();
    let data = secret.data.clone().unwrap();
    assert_eq!(data["namespace"].0, b"default");
    assert!(data["ca.crt"].0.starts_with(b"-----BEGIN CERTIFICATE"));
    let uid = secret.annotations().get("kubernetes.io/service-account.uid");
    assert_eq!(uid, account.metadata.uid.as_ref());

    // Fields that are removed come back; the token stays.
    let cut = json!({"data": {"ca.crt": null, "namespace": null}});
    cluster.merge::<Secret>("default", "robot-token", cut).await;
    let secrets = cluster.until::<Secret>("a filled secret", full).await;
    assert_eq!(find(&secrets, "robot-token").unwrap().data, Some(data));

    // A reference to a secret that goes is taken out of the account.
    let listed = json!({"secrets": [{"name": "robot-token"}, {"name": "other"}]});
    cluster.merge::<ServiceAccount>("default", "robot", listed).await;
    let params = DeleteParams::default();
    cluster.api::<Secret>("default").delete("robot-token", &params).await.unwrap();
    cluster
        .until::<ServiceAccount>("one reference", |accounts| {
            let robot = accounts.iter().find(|account| account.name_any() == "robot");
            robot.is_some_and(|r| r.secrets.as_ref().is_some_and(|s| s.len() == 1))
        })
        .await;

    cluster.create::<Secret>("default", token_secret("second", "robot")).await;
    cluster
        .until::<Secret>("a filled second", |s| find(s, "second").is_some_and(|s| s.data.is_some()))
        .await;
    cluster.api::<ServiceAccount>("default").delete("robot", &params).await.unwrap();
    cluster.until::<Secret>("no second", |secrets| find(secrets, "second").is_none()).await;
    // Nor is one of nobody kept.
    cluster.create::<Secret>("default", token_secret("stray", "nobody")).await;
    cluster.until::<Secret>("no stray", |secrets| find(secrets, "stray").is_none()).await;
    cluster.stop().await;
}

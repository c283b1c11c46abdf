//! Storage migrations against a real API server.

#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;

use client::kube::api::{ApiResource, ListParams, Patch, PatchParams, PostParams};
use client::kube::core::DynamicObject;
use client::kube::{Api, ResourceExt};
use futures::future::join_all;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::storagemigration::v1::StorageVersionMigration;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Value, json};
use support::Cluster;

/// More than the controller reads at a time.
const MANY: usize = 520;

fn definition(stored: &str) -> Value {
    let version = |name: &str| {
        json!({"name": name, "served": true, "storage": name == stored,
        "schema": {"openAPIV3Schema": {
            "type": "object", "x-kubernetes-preserve-unknown-fields": true,
        }}})
    };
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget"},
            "versions": [version("v1"), version("v2")],
        },
    })
}

fn widgets(cluster: &Cluster) -> Api<DynamicObject> {
    let resource = ApiResource {
        group: "example.com".into(),
        version: "v1".into(),
        api_version: "example.com/v1".into(),
        kind: "Widget".into(),
        plural: "widgets".into(),
    };
    Api::namespaced_with(cluster.client.clone(), "default", &resource)
}

async fn migrate(cluster: &Cluster, name: &str, group: &str, resource: &str) {
    let migration = json!({
        "metadata": {"name": name}, "spec": {"resource": {"group": group, "resource": resource}},
    });
    let migration: StorageVersionMigration = serde_json::from_value(migration).unwrap();
    let all: Api<StorageVersionMigration> = Api::all(cluster.client.clone());
    all.create(&PostParams::default(), &migration).await.unwrap();
}

/// Status, reason and message of a condition.
fn condition(migration: &StorageVersionMigration, kind: &str) -> Option<[String; 3]> {
    let conditions = migration.status.as_ref()?.conditions.as_ref()?;
    let found = conditions.iter().find(|condition| condition.type_ == kind)?;
    Some([found.status.clone(), found.reason.clone(), found.message.clone()])
}

/// Waits until a migration no longer runs.
async fn ended(cluster: &Cluster, name: &str) -> Arc<StorageVersionMigration> {
    let over = |migration: &StorageVersionMigration| {
        condition(migration, "Running").is_some_and(|[status, ..]| status == "False")
            && migration.name_any() == name
    };
    let all = cluster.until("the end", |all| all.iter().any(|one| over(one))).await;
    all.into_iter().find(|one| over(one)).unwrap()
}

fn texts(all: [&str; 3]) -> Option<[String; 3]> {
    Some(all.map(str::to_owned))
}

/// Names and versions of all widgets.
async fn versions(cluster: &Cluster) -> Vec<(String, u64)> {
    let all = widgets(cluster).list_metadata(&ListParams::default()).await.unwrap();
    let version = |one: &dyn Fn() -> Option<String>| one().unwrap().parse().unwrap();
    all.iter().map(|one| (one.name_any(), version(&|| one.resource_version()))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn custom_resources_move_to_the_version_that_is_stored_now() {
    let mut cluster = Cluster::start().await;
    let definitions: Api<CustomResourceDefinition> = Api::all(cluster.client.clone());
    let made = serde_json::from_value(definition("v1")).unwrap();
    definitions.create(&PostParams::default(), &made).await.unwrap();
    cluster
        .until::<CustomResourceDefinition>("the kind", |all| {
            let conditions = all.first().and_then(|one| one.status.as_ref()?.conditions.clone());
            conditions.into_iter().flatten().any(|c| c.type_ == "Established" && c.status == "True")
        })
        .await;
    let api = widgets(&cluster);
    join_all((0..MANY).map(|i| {
        let widget = json!({"apiVersion": "example.com/v1", "kind": "Widget",
            "metadata": {"name": format!("w{i}")}, "spec": {"size": i}});
        let widget: DynamicObject = serde_json::from_value(widget).unwrap();
        let api = api.clone();
        async move { api.create(&PostParams::default(), &widget).await.unwrap() }
    }))
    .await;
    let versions_now = json!({"spec": {"versions": definition("v2")["spec"]["versions"]}});
    let patch = Patch::Merge(versions_now);
    definitions.patch("widgets.example.com", &PatchParams::default(), &patch).await.unwrap();
    let stored = |all: &[Arc<CustomResourceDefinition>]| {
        all.first().and_then(|one| one.status.as_ref()?.stored_versions.clone())
    };
    let both = Some(vec!["v1".to_owned(), "v2".to_owned()]);
    cluster.until("both versions", |all| stored(all) == both).await;
    let before = versions(&cluster).await;

    // Whoever goes on does not begin again.
    migrate(&cluster, "first", "example.com", "widgets").await;
    migrate(&cluster, "second", "example.com", "widgets").await;
    cluster
        .until::<StorageVersionMigration>("its begin", |all| {
            let begun = |one: &StorageVersionMigration| {
                one.status.as_ref().is_some_and(|status| status.resource_version.is_some())
            };
            all.iter().any(|one| begun(one))
        })
        .await;
    cluster.crash_controllers().await;
    let first = ended(&cluster, "first").await;
    let over = texts(["False", "MigrationCompleted", "Migration completed"]);
    assert_eq!(condition(&first, "Running"), over);
    let done = texts(["True", "StorageVersionMigrationSucceeded", "Migration completed"]);
    assert_eq!(condition(&first, "Succeeded"), done);
    ended(&cluster, "second").await;
    let after = versions(&cluster).await;
    assert_eq!(after.len(), MANY);
    let begun: u64 =
        first.status.as_ref().unwrap().resource_version.as_ref().unwrap().parse().unwrap();
    for ((name, old), (_, new)) in before.iter().zip(&after) {
        assert!(*new > begun && new > old, "{name} was not written: {old}, {new}");
    }

    let told = definitions.get("widgets.example.com").await.unwrap().status.unwrap();
    assert_eq!(told.stored_versions, Some(vec!["v2".to_owned()]));
    let migrating = told.conditions.into_iter().flatten().find(|c| c.type_ == "StorageMigrating");
    let migrating = migrating.unwrap();
    assert_eq!(migrating.status, "False");
    assert_eq!(
        migrating.message.as_deref(),
        Some("The migration has succeeded and the stored versions have been updated")
    );

    // There is nothing left to do: what is stored as it should be is not written.
    migrate(&cluster, "third", "example.com", "widgets").await;
    ended(&cluster, "third").await;
    assert_eq!(versions(&cluster).await, after);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn built_in_kinds_and_what_cannot_be_migrated() {
    let cluster = Cluster::start().await;
    let map = json!({"metadata": {"name": "m"}, "data": {"a": "b"}});
    let made = cluster.create::<ConfigMap>("default", map).await;
    migrate(&cluster, "maps", "", "configmaps").await;
    let over = ended(&cluster, "maps").await;
    let done = texts(["True", "StorageVersionMigrationSucceeded", "Migration completed"]);
    assert_eq!(condition(&over, "Succeeded"), done);
    let now = cluster.api::<ConfigMap>("default").get("m").await.unwrap();
    assert_eq!(now.metadata, made.metadata);

    migrate(&cluster, "reviews", "authentication.k8s.io", "tokenreviews").await;
    let over = ended(&cluster, "reviews").await;
    let why = "resource \"authentication.k8s.io/v1, Resource=tokenreviews\" does not support \
               discovery operations: [update patch list]";
    let failed = texts(["True", "StorageVersionMigrationFailed", why]);
    assert_eq!(condition(&over, "Failed"), failed);
    assert_eq!(condition(&over, "Succeeded"), None);
    cluster.stop().await;
}

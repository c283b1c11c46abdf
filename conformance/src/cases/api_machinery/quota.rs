//! Resource quotas.

use anyhow::Result;
use serde_json::{Value, json};

use crate::api::{
    CONFIG_MAP, Kind, Patch, REPLICA_SET, REPLICATION_CONTROLLER, RESOURCE_QUOTA, SECRET, SERVICE,
    expect_refusal,
};
use crate::case::{Case, case};
use crate::test::{Test, expect_eq, expect_in};

pub(super) fn cases() -> Vec<Case> {
    let title = |rest: &str| format!("[sig-api-machinery] ResourceQuota {rest} [Conformance]");
    let count = |rest: &str, resource: &'static str, kind: Kind, object: Value| {
        case(&title(rest), move |test| counts(test, resource, kind.clone(), object.clone()))
    };
    let template = json!({"metadata": {"labels": {"a": "b"}},
        "spec": {"containers": [{"name": "c", "image": "never-run"}]}});
    vec![
        case(
            &title("should create a ResourceQuota and ensure its status is promptly calculated."),
            status_is_calculated,
        ),
        count(
            "should create a ResourceQuota and capture the life of a configMap.",
            "configmaps",
            CONFIG_MAP,
            json!({}),
        ),
        count(
            "should create a ResourceQuota and capture the life of a secret.",
            "secrets",
            SECRET,
            json!({}),
        ),
        count(
            "should create a ResourceQuota and capture the life of a service.",
            "services",
            SERVICE,
            json!({"spec": {"ports": [{"port": 80}]}}),
        ),
        count(
            "should create a ResourceQuota and capture the life of a replication controller.",
            "replicationcontrollers",
            REPLICATION_CONTROLLER,
            json!({"spec": {"replicas": 0, "selector": {"a": "b"}, "template": template}}),
        ),
        count(
            "should create a ResourceQuota and capture the life of a replica set.",
            "count/replicasets.apps",
            REPLICA_SET,
            json!({"spec": {"replicas": 0, "selector": {"matchLabels": {"a": "b"}}, "template": template}}),
        ),
        case(&title("should create a ResourceQuota and capture the life of a pod."), pods),
        case(&title("should be able to update and delete ResourceQuota."), update_and_delete),
        case(&title("should verify ResourceQuota with best effort scope."), best_effort),
        case(&title("should verify ResourceQuota with terminating scopes."), terminating),
        case(&title("should apply changes to a resourcequota status"), status_changes),
    ]
}

async fn make(test: &Test, name: &str, spec: Value) -> Result<()> {
    let quotas = test.of(&RESOURCE_QUOTA);
    quotas.create(json!({"metadata": {"name": name}, "spec": spec})).await?;
    let hard = spec["hard"].clone();
    quotas.wait(name, "to have its status", |quota| quota["status"]["hard"] == hard).await?;
    Ok(())
}

async fn used(test: &Test, quota: &str, resource: &str, value: &str) -> Result<()> {
    let expected = format!("to have used {value} {resource}");
    let quotas = test.of(&RESOURCE_QUOTA);
    quotas
        .wait(quota, &expected, |quota| quota["status"]["used"][resource] == value)
        .await
        .map(drop)
}

async fn status_is_calculated(test: Test) -> Result<()> {
    make(&test, "q", json!({"hard": {"pods": "5", "services": "1", "cpu": "1"}})).await?;
    for resource in ["pods", "services", "cpu"] {
        used(&test, "q", resource, "0").await?;
    }
    Ok(())
}

/// One more object is allowed than there are already: it is counted, the next refused.
async fn counts(test: Test, resource: &str, kind: Kind, object: Value) -> Result<()> {
    let objects = test.of(&kind);
    if kind == CONFIG_MAP {
        objects.wait("kube-root-ca.crt", "to exist", |_| true).await?;
    }
    let present = objects.items("").await?.len();
    make(&test, "q", json!({"hard": {resource: (present + 1).to_string()}})).await?;
    used(&test, "q", resource, &present.to_string()).await?;
    let named = |name: &str| {
        let mut object = object.clone();
        object["metadata"]["name"] = name.into();
        object
    };
    objects.create(named("one")).await?;
    used(&test, "q", resource, &(present + 1).to_string()).await?;
    let refusal = expect_refusal(objects.create(named("two")).await, 403, "Forbidden")?;
    expect_in("the refusal", refusal.message(), "exceeded quota: q")?;
    objects.delete("one").await?;
    used(&test, "q", resource, &present.to_string()).await?;
    objects.create(named("two")).await.map(drop)
}

/// A pod that is never scheduled.
fn pod(name: &str, requests: Value) -> Value {
    let resources = json!({"requests": requests});
    json!({"metadata": {"name": name}, "spec": {
        "schedulingGates": [{"name": "example.com/never"}],
        "terminationGracePeriodSeconds": 0,
        "containers": [{"name": "c", "image": "never-run", "resources": resources}],
    }})
}

async fn pods(test: Test) -> Result<()> {
    make(&test, "q", json!({"hard": {"pods": "2", "cpu": "1", "memory": "500Mi"}})).await?;
    let pods = test.pods();
    pods.create(pod("fits", json!({"cpu": "500m", "memory": "252Mi"}))).await?;
    used(&test, "q", "cpu", "500m").await?;
    used(&test, "q", "memory", "252Mi").await?;
    used(&test, "q", "pods", "1").await?;
    let large = pods.create(pod("large", json!({"cpu": "600m", "memory": "100Mi"}))).await;
    let refusal = expect_refusal(large, 403, "Forbidden")?;
    let expected = "exceeded quota: q, requested: cpu=600m, used: cpu=500m, limited: cpu=1";
    expect_in("the refusal", refusal.message(), expected)?;
    let without = pods.create(pod("without", json!({}))).await;
    let refusal = expect_refusal(without, 403, "Forbidden")?;
    expect_in("the refusal", refusal.message(), "must specify cpu for: c; memory for: c")?;
    pods.delete("fits").await?;
    used(&test, "q", "pods", "0").await?;
    used(&test, "q", "cpu", "0").await
}

async fn update_and_delete(test: Test) -> Result<()> {
    let quotas = test.of(&RESOURCE_QUOTA);
    make(&test, "q", json!({"hard": {"cpu": "1", "memory": "500Mi"}})).await?;
    let grow = |quota: &mut Value| quota["spec"]["hard"] = json!({"cpu": "2", "memory": "1Gi"});
    quotas.change("q", grow).await?;
    let grown = |quota: &Value| quota["status"]["hard"] == json!({"cpu": "2", "memory": "1Gi"});
    quotas.wait("q", "to have the new limits in its status", grown).await?;
    quotas.delete("q").await?;
    expect_refusal(quotas.get("q").await, 404, "NotFound")?;
    // Without it nothing is refused any more.
    let huge = pod("huge", json!({"cpu": "100", "memory": "1Ti"}));
    test.pods().create(huge).await.map(drop)
}

async fn best_effort(test: Test) -> Result<()> {
    make(&test, "best", json!({"hard": {"pods": "5"}, "scopes": ["BestEffort"]})).await?;
    make(&test, "other", json!({"hard": {"pods": "5"}, "scopes": ["NotBestEffort"]})).await?;
    test.pods().create(pod("plain", json!({}))).await?;
    used(&test, "best", "pods", "1").await?;
    used(&test, "other", "pods", "0").await?;
    test.pods().create(pod("asking", json!({"cpu": "1m"}))).await?;
    used(&test, "other", "pods", "1").await?;
    used(&test, "best", "pods", "1").await?;
    test.pods().delete("plain").await?;
    used(&test, "best", "pods", "0").await
}

async fn terminating(test: Test) -> Result<()> {
    make(&test, "ending", json!({"hard": {"pods": "5"}, "scopes": ["Terminating"]})).await?;
    make(&test, "endless", json!({"hard": {"pods": "5"}, "scopes": ["NotTerminating"]})).await?;
    test.pods().create(pod("long", json!({}))).await?;
    used(&test, "endless", "pods", "1").await?;
    used(&test, "ending", "pods", "0").await?;
    let mut short = pod("short", json!({}));
    short["spec"]["activeDeadlineSeconds"] = 3600.into();
    test.pods().create(short).await?;
    used(&test, "ending", "pods", "1").await?;
    used(&test, "endless", "pods", "1").await?;
    test.pods().delete("short").await?;
    used(&test, "ending", "pods", "0").await
}

async fn status_changes(test: Test) -> Result<()> {
    let quotas = test.of(&RESOURCE_QUOTA);
    make(&test, "q", json!({"hard": {"cpu": "500m", "memory": "500Mi"}})).await?;
    let body = json!({"status": {"hard": {"cpu": "1", "memory": "1Gi"}}});
    let patched = quotas.patch("q/status", Patch::Merge, body).await?;
    expect_eq("the status' cpu", &patched["status"]["hard"]["cpu"], &json!("1"))?;
    expect_eq("the spec's cpu", &patched["spec"]["hard"]["cpu"], &json!("500m"))?;
    // The controller sets right what nobody else should have written.
    let right = |quota: &Value| quota["status"]["hard"]["cpu"] == "500m";
    quotas.wait("q", "to have its status set right", right).await.map(drop)
}

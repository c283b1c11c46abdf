//! The garbage collector.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use crate::api::{CONFIG_MAP, DEPLOYMENT, POD, Patch, REPLICA_SET, REPLICATION_CONTROLLER};
use crate::case::{Case, case};
use crate::test::{Test, name};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(
            "[sig-api-machinery] Garbage collector should delete pods created by rc when not orphaning \
             [Conformance]",
            rc_background,
        ),
        case(
            "[sig-api-machinery] Garbage collector should orphan pods created by rc if delete options say \
             so [Serial] [Conformance]",
            rc_orphan,
        ),
        case(
            "[sig-api-machinery] Garbage collector should delete RS created by deployment when not \
             orphaning [Conformance]",
            deployment_background,
        ),
        case(
            "[sig-api-machinery] Garbage collector should orphan RS created by deployment when \
             deleteOptions.PropagationPolicy is Orphan [Conformance]",
            deployment_orphan,
        ),
        case(
            "[sig-api-machinery] Garbage collector should keep the rc around until all its pods are \
             deleted if the deleteOptions says so [Serial] [Conformance]",
            foreground,
        ),
        case(
            "[sig-api-machinery] Garbage collector should not delete dependents that have both valid \
             owner and owner that's waiting for dependents to be deleted [Serial] [Conformance]",
            two_owners,
        ),
        case(
            "[sig-api-machinery] Garbage collector should not be blocked by dependency circle \
             [Conformance]",
            circle,
        ),
        case(
            "[sig-api-machinery] Garbage collector should delete what belongs to an owner that never was",
            absent_owner,
        ),
    ]
}

/// Pods that are never scheduled: what becomes of them is up to the controllers alone.
fn template() -> Value {
    json!({"metadata": {"labels": {"app": "gc"}}, "spec": {
        "schedulingGates": [{"name": "example.com/never"}],
        "containers": [{"name": "c", "image": "never-run"}],
    }})
}

async fn make_rc(test: &Test, name: &str, replicas: usize) -> Result<Value> {
    let spec = json!({"replicas": replicas, "selector": {"app": "gc"}, "template": template()});
    let rc = json!({"metadata": {"name": name}, "spec": spec});
    let rc = test.of(&REPLICATION_CONTROLLER).create(rc).await?;
    pods_are(test, replicas).await?;
    Ok(rc)
}

async fn pods_are(test: &Test, count: usize) -> Result<()> {
    let expected = format!("{count} pods");
    test.of(&POD).wait_all("", &expected, |pods| pods.len() == count).await.map(drop)
}

async fn rc_background(test: Test) -> Result<()> {
    make_rc(&test, "rc", 2).await?;
    let options = json!({"propagationPolicy": "Background"});
    test.of(&REPLICATION_CONTROLLER).delete_with("rc", options).await?;
    pods_are(&test, 0).await
}

async fn rc_orphan(test: Test) -> Result<()> {
    make_rc(&test, "rc", 4).await?;
    let rcs = test.of(&REPLICATION_CONTROLLER);
    rcs.delete_with("rc", json!({"propagationPolicy": "Orphan"})).await?;
    rcs.wait_gone("rc").await?;
    let orphans = |pods: &[&Value]| pods.iter().all(|p| p["metadata"]["ownerReferences"].is_null());
    test.pods().wait_all("", "4 pods without owner", |p| p.len() == 4 && orphans(p)).await?;
    test.pods().stays("", Duration::from_secs(5), "4 pods", |pods| pods.len() == 4).await
}

async fn make_deployment(test: &Test) -> Result<()> {
    let spec =
        json!({"replicas": 2, "selector": {"matchLabels": {"app": "gc"}}, "template": template()});
    test.of(&DEPLOYMENT).create(json!({"metadata": {"name": "d"}, "spec": spec})).await?;
    test.of(&REPLICA_SET).wait_all("", "a replica set", |sets| sets.len() == 1).await?;
    pods_are(test, 2).await
}

async fn deployment_background(test: Test) -> Result<()> {
    make_deployment(&test).await?;
    test.of(&DEPLOYMENT).delete_with("d", json!({"propagationPolicy": "Background"})).await?;
    test.of(&REPLICA_SET).wait_all("", "no replica set", |sets| sets.is_empty()).await?;
    pods_are(&test, 0).await
}

async fn deployment_orphan(test: Test) -> Result<()> {
    make_deployment(&test).await?;
    test.of(&DEPLOYMENT).delete_with("d", json!({"propagationPolicy": "Orphan"})).await?;
    test.of(&DEPLOYMENT).wait_gone("d").await?;
    let sets = test.of(&REPLICA_SET);
    let free =
        |sets: &[&Value]| sets.len() == 1 && sets[0]["metadata"]["ownerReferences"].is_null();
    sets.wait_all("", "the replica set without owner", free).await?;
    sets.stays("", Duration::from_secs(5), "the replica set", |sets| sets.len() == 1).await
}

async fn foreground(test: Test) -> Result<()> {
    make_rc(&test, "rc", 2).await?;
    let pods = test.pods().items("").await?;
    let held = name(&pods[0]).to_owned();
    let hold = json!({"metadata": {"finalizers": ["example.com/hold"]}});
    test.pods().patch(&held, Patch::Merge, hold).await?;
    let rcs = test.of(&REPLICATION_CONTROLLER);
    rcs.delete_with("rc", json!({"propagationPolicy": "Foreground"})).await?;
    let waiting = |rc: &Value| {
        rc["metadata"]["deletionTimestamp"].is_string()
            && rc["metadata"]["finalizers"] == json!(["foregroundDeletion"])
    };
    rcs.wait("rc", "to wait for its pods", waiting).await?;
    test.pods().wait_all("", "just the pod that is held", |pods| pods.len() == 1).await?;
    let query = "fieldSelector=metadata.name=rc";
    rcs.stays(query, Duration::from_secs(3), "the rc", |rcs| rcs.len() == 1).await?;
    test.pods().patch(&held, Patch::Merge, json!({"metadata": {"finalizers": null}})).await?;
    rcs.wait_gone("rc").await
}

fn owner(object: &Value) -> Value {
    let kind = if object["kind"].is_string() { object["kind"].clone() } else { json!("ConfigMap") };
    json!({"apiVersion": object["apiVersion"], "kind": kind, "name": object["metadata"]["name"],
        "uid": object["metadata"]["uid"]})
}

async fn two_owners(test: Test) -> Result<()> {
    let maps = test.of(&CONFIG_MAP);
    let going = maps.create(json!({"metadata": {"name": "going"}})).await?;
    let staying = maps.create(json!({"metadata": {"name": "staying"}})).await?;
    let mut blocking = owner(&going);
    blocking["blockOwnerDeletion"] = true.into();
    for (name, owners) in
        [("shared", json!([blocking.clone(), owner(&staying)])), ("own", json!([blocking.clone()]))]
    {
        maps.create(json!({"metadata": {"name": name, "ownerReferences": owners}})).await?;
    }
    maps.delete_with("going", json!({"propagationPolicy": "Foreground"})).await?;
    maps.wait_gone("going").await?;
    maps.wait_gone("own").await?;
    maps.wait("shared", "to keep its valid owner alone", |map| {
        let owners = map["metadata"]["ownerReferences"].as_array();
        owners.is_some_and(|list| list.len() == 1 && list[0]["name"] == "staying")
            && map["metadata"]["deletionTimestamp"].is_null()
    })
    .await?;
    let query = "fieldSelector=metadata.name=shared";
    maps.stays(query, Duration::from_secs(3), "the shared dependent", |m| m.len() == 1).await
}

async fn circle(test: Test) -> Result<()> {
    let maps = test.of(&CONFIG_MAP);
    let mut made = Vec::new();
    for name in ["a", "b", "c"] {
        made.push(maps.create(json!({"metadata": {"name": name}})).await?);
    }
    for (name, by) in [("a", &made[2]), ("b", &made[0]), ("c", &made[1])] {
        let body = json!({"metadata": {"ownerReferences": [owner(by)]}});
        maps.patch(name, Patch::Merge, body).await?;
    }
    maps.delete_with("a", json!({"propagationPolicy": "Foreground"})).await?;
    for name in ["a", "b", "c"] {
        maps.wait_gone(name).await?;
    }
    Ok(())
}

async fn absent_owner(test: Test) -> Result<()> {
    let maps = test.of(&CONFIG_MAP);
    let nobody = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "never",
        "uid": "00000000-0000-4000-8000-000000000000"});
    maps.create(json!({"metadata": {"name": "orphan", "ownerReferences": [nobody]}})).await?;
    maps.wait_gone("orphan").await
}

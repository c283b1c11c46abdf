//! Deployments.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::workload;
use crate::api::{DEPLOYMENT, Patch, REPLICA_SET};
use crate::case::{Case, case, pod_case};
use crate::test::{Test, condition, expect_eq, is_ready, name};

pub(super) fn cases() -> Vec<Case> {
    let title = |rest: &str| format!("[sig-apps] Deployment {rest} [Conformance]");
    vec![
        pod_case(
            &title("RollingUpdateDeployment should delete old pods and create new ones"),
            rolling,
        ),
        pod_case(&title("RecreateDeployment should delete old pods and create new ones"), recreate),
        pod_case(&title("deployment should delete old replica sets"), history),
        pod_case(&title("deployment should support rollover"), rollover),
        pod_case(&title("deployment should support proportional scaling"), proportional),
        pod_case(&title("Deployment should have a working scale subresource"), scale),
        pod_case(&title("should run the lifecycle of a Deployment"), lifecycle),
        pod_case(&title("should validate Deployment Status endpoints"), status),
        pod_case("[sig-apps] Deployment should stop when its progress deadline passes", deadline),
        pod_case("[sig-apps] Deployment should hold changes while it is paused", paused),
        case(
            "[sig-apps] Deployment test Deployment ReplicaSet orphaning and adoption regarding controllerRef",
            adoption,
        ),
    ]
}

/// Waits until a deployment has rolled out what it says now.
async fn rolled_out(test: &Test, name: &str) -> Result<Value> {
    let complete = |d: &Value| {
        let (status, replicas) = (&d["status"], &d["spec"]["replicas"]);
        status["observedGeneration"] == d["metadata"]["generation"]
            && ["replicas", "updatedReplicas", "availableReplicas"]
                .iter()
                .all(|f| status[f] == *replicas)
    };
    test.of(&DEPLOYMENT).wait(name, "to have rolled out", complete).await
}

async fn start(test: &Test, name: &str, replicas: u32) -> Result<()> {
    test.of(&DEPLOYMENT).create(workload(test, name, replicas)).await?;
    rolled_out(test, name).await.map(drop)
}

/// Changes the template, so that new pods are needed.
async fn new_template(test: &Test, name: &str, value: &str) -> Result<()> {
    let body = json!({"spec": {"template": {"metadata": {"annotations": {"round": value}}}}});
    test.of(&DEPLOYMENT).patch(name, Patch::Merge, body).await.map(drop)
}

async fn sets(test: &Test) -> Result<Vec<Value>> {
    test.of(&REPLICA_SET).items("").await
}

async fn rolling(test: Test) -> Result<()> {
    start(&test, "d", 3).await?;
    let old = sets(&test).await?;
    expect_eq("the replica sets", &json!(old.len()), &json!(1))?;
    // At no time are fewer than 2 or more than 4 pods wanted.
    let body =
        json!({"spec": {"strategy": {"rollingUpdate": {"maxUnavailable": 1, "maxSurge": 1}}}});
    test.of(&DEPLOYMENT).patch("d", Patch::Merge, body).await?;
    let mut watch = test.of(&DEPLOYMENT).watch_from("", "").await?;
    new_template(&test, "d", "2").await?;
    loop {
        let event = watch.event().await?;
        let status = &event.object["status"];
        let available = status["availableReplicas"].as_i64().unwrap_or(0);
        let total = status["replicas"].as_i64().unwrap_or(0);
        anyhow::ensure!(available >= 2, "only {available} available during the update: {status}");
        anyhow::ensure!(total <= 4, "{total} pods during the update: {status}");
        if status["updatedReplicas"] == 3 && total == 3 && available == 3 {
            break;
        }
    }
    rolled_out(&test, "d").await?;
    let now = sets(&test).await?;
    let size = |set: &&Value| set["spec"]["replicas"].as_i64().unwrap_or(0);
    let mut sizes: Vec<i64> = now.iter().map(|set| size(&set)).collect();
    sizes.sort_unstable();
    expect_eq("the sizes of old and new replica set", &json!(sizes), &json!([0, 3]))?;
    let new = now.iter().find(|set| size(set) == 3).context("no new replica set")?;
    let revision = "deployment.kubernetes.io/revision";
    expect_eq("the new revision", &new["metadata"]["annotations"][revision], &json!("2"))?;
    let hash = new["metadata"]["labels"]["pod-template-hash"].as_str().context("no hash")?;
    let left = |pods: &[&Value]| {
        pods.len() == 3 && pods.iter().all(|p| p["metadata"]["labels"]["pod-template-hash"] == hash)
    };
    test.pods().wait_all("", "three pods of the new template alone", left).await.map(drop)
}

async fn recreate(test: Test) -> Result<()> {
    let mut object = workload(&test, "d", 2);
    object["spec"]["strategy"] = json!({"type": "Recreate"});
    test.of(&DEPLOYMENT).create(object).await?;
    rolled_out(&test, "d").await?;
    let mut watch = test.pods().watch_from("", "").await?;
    let mut pods = std::collections::BTreeMap::new();
    new_template(&test, "d", "2").await?;
    // Old and new pods never run side by side.
    loop {
        let event = watch.event().await?;
        let hash = event.object["metadata"]["labels"]["pod-template-hash"].to_string();
        let phase = &event.object["status"]["phase"];
        if event.kind == "DELETED" || phase == "Succeeded" || phase == "Failed" {
            pods.remove(event.name());
        } else {
            pods.insert(event.name().to_owned(), (hash, is_ready(&event.object)));
        }
        let mut hashes: Vec<&String> = pods.values().map(|(hash, _)| hash).collect();
        hashes.sort();
        hashes.dedup();
        anyhow::ensure!(hashes.len() <= 1, "pods of two templates at the same time: {pods:?}");
        let round = &event.object["metadata"]["annotations"]["round"];
        if round == "2" && pods.len() == 2 && pods.values().all(|(_, ready)| *ready) {
            return rolled_out(&test, "d").await.map(drop);
        }
    }
}

async fn history(test: Test) -> Result<()> {
    let mut object = workload(&test, "d", 1);
    object["spec"]["revisionHistoryLimit"] = 0.into();
    test.of(&DEPLOYMENT).create(object).await?;
    rolled_out(&test, "d").await?;
    let first = sets(&test).await?;
    new_template(&test, "d", "2").await?;
    rolled_out(&test, "d").await?;
    test.of(&REPLICA_SET).wait_gone(name(&first[0])).await?;
    test.of(&REPLICA_SET).wait_all("", "one replica set", |sets| sets.len() == 1).await.map(drop)
}

async fn rollover(test: Test) -> Result<()> {
    start(&test, "d", 2).await?;
    // The second template never becomes ready; the third takes its place.
    let bad = json!({"spec": {"template": {"spec": {"containers": [
        {"name": "c", "image": "coxswain.local/never-made:v0", "imagePullPolicy": "Never"}]}}}});
    test.of(&DEPLOYMENT).patch("d", Patch::Strategic, bad).await?;
    let two = |sets: &[&Value]| sets.len() == 2;
    test.of(&REPLICA_SET).wait_all("", "two replica sets", two).await?;
    let good = json!({"spec": {"template": {
        "metadata": {"annotations": {"round": "3"}},
        "spec": {"containers": [{"name": "c", "image": test.image(), "imagePullPolicy": "IfNotPresent"}]}}}});
    test.of(&DEPLOYMENT).patch("d", Patch::Strategic, good).await?;
    rolled_out(&test, "d").await?;
    let settled = |sets: &[&Value]| {
        let with_pods = sets.iter().filter(|set| set["status"]["replicas"] != 0).count();
        sets.len() == 3 && with_pods == 1
    };
    test.of(&REPLICA_SET)
        .wait_all("", "pods of the third replica set alone", settled)
        .await
        .map(drop)
}

async fn proportional(test: Test) -> Result<()> {
    let mut object = workload(&test, "d", 6);
    object["spec"]["strategy"] = json!({"type": "RollingUpdate",
        "rollingUpdate": {"maxSurge": 3, "maxUnavailable": 2}});
    test.of(&DEPLOYMENT).create(object).await?;
    rolled_out(&test, "d").await?;
    let bad = json!({"spec": {"template": {"spec": {"containers": [
        {"name": "c", "image": "coxswain.local/never-made:v0", "imagePullPolicy": "Never"}]}}}});
    test.of(&DEPLOYMENT).patch("d", Patch::Strategic, bad).await?;
    let sizes = |sets: &[&Value]| {
        let mut sizes: Vec<i64> =
            sets.iter().map(|set| set["spec"]["replicas"].as_i64().unwrap_or(0)).collect();
        sizes.sort_unstable();
        sizes
    };
    // Two old ones make place, and with three more than wanted there are five new ones.
    let stuck = |now: &[&Value]| sizes(now) == [4, 5];
    test.of(&REPLICA_SET).wait_all("", "4 old and 5 new replicas", stuck).await?;
    test.of(&DEPLOYMENT).patch("d", Patch::Merge, json!({"spec": {"replicas": 15}})).await?;
    // Nine more are shared out as 4 to 5: 15 and 3 of surge are 8 and 10.
    let shared = |now: &[&Value]| sizes(now) == [8, 10];
    test.of(&REPLICA_SET).wait_all("", "8 old and 10 new replicas", shared).await.map(drop)
}

async fn scale(test: Test) -> Result<()> {
    start(&test, "d", 1).await?;
    let deployments = test.of(&DEPLOYMENT);
    let scale = deployments.get("d/scale").await?;
    expect_eq("the replicas", &scale["spec"]["replicas"], &json!(1))?;
    let patched =
        deployments.patch("d/scale", Patch::Merge, json!({"spec": {"replicas": 3}})).await?;
    expect_eq("the replicas wanted", &patched["spec"]["replicas"], &json!(3))?;
    let there = |d: &Value| d["status"]["availableReplicas"] == 3;
    deployments.wait("d", "to have three replicas", there).await?;
    let scale = deployments.get("d/scale").await?;
    expect_eq("the replicas there are", &scale["status"]["replicas"], &json!(3))
}

async fn lifecycle(test: Test) -> Result<()> {
    start(&test, "d", 1).await?;
    let deployments = test.of(&DEPLOYMENT);
    let patch = json!({"metadata": {"labels": {"stage": "patched"}}, "spec": {"replicas": 2}});
    deployments.patch("d", Patch::Strategic, patch).await?;
    rolled_out(&test, "d").await?;
    let listed = test.cluster.all(&DEPLOYMENT).items("labelSelector=stage=patched").await?;
    let ours = listed.iter().filter(|d| d["metadata"]["namespace"] == *test.namespace).count();
    expect_eq("the deployments listed", &json!(ours), &json!(1))?;
    deployments
        .change("d", |d| d["spec"]["template"]["metadata"]["labels"]["v"] = "2".into())
        .await?;
    rolled_out(&test, "d").await?;
    deployments.create(workload(&test, "other", 0)).await?;
    deployments.delete_all("labelSelector=stage=patched").await?;
    deployments.wait_gone("d").await?;
    deployments.get("other").await.context("what another label has is gone")?;
    test.pods().wait_all("", "no pod", |pods| pods.is_empty()).await.map(drop)
}

async fn status(test: Test) -> Result<()> {
    start(&test, "d", 1).await?;
    let deployments = test.of(&DEPLOYMENT);
    let told =
        |kind: &str| json!({"type": kind, "status": "True", "reason": "E2E", "message": "m"});
    let push = |d: &mut Value| {
        if let Some(conditions) = d["status"]["conditions"].as_array_mut() {
            conditions.push(told("StatusUpdate"));
        }
    };
    deployments.change("d/status", push).await?;
    let read = deployments.get("d/status").await?;
    expect_eq("the condition", &condition(&read, "StatusUpdate")["reason"], &json!("E2E"))?;
    let body = json!({"status": {"conditions": [told("StatusPatched")]}});
    let patched = deployments.patch("d/status", Patch::Merge, body).await?;
    expect_eq("the condition", &condition(&patched, "StatusPatched")["status"], &json!("True"))
}

async fn deadline(test: Test) -> Result<()> {
    let mut object = workload(&test, "d", 1);
    object["spec"]["progressDeadlineSeconds"] = 3.into();
    object["spec"]["template"]["spec"]["containers"][0]["image"] =
        "coxswain.local/never-made:v0".into();
    object["spec"]["template"]["spec"]["containers"][0]["imagePullPolicy"] = "Never".into();
    test.of(&DEPLOYMENT).create(object).await?;
    let failed = |d: &Value| {
        let progressing = condition(d, "Progressing");
        progressing["status"] == "False" && progressing["reason"] == "ProgressDeadlineExceeded"
    };
    test.of(&DEPLOYMENT).wait("d", "to exceed its progress deadline", failed).await.map(drop)
}

async fn paused(test: Test) -> Result<()> {
    start(&test, "d", 1).await?;
    let deployments = test.of(&DEPLOYMENT);
    deployments.patch("d", Patch::Merge, json!({"spec": {"paused": true}})).await?;
    new_template(&test, "d", "2").await?;
    let told = |d: &Value| {
        condition(d, "Progressing")["reason"] == "DeploymentPaused"
            && d["status"]["observedGeneration"] == d["metadata"]["generation"]
    };
    deployments.wait("d", "to have seen the change while paused", told).await?;
    expect_eq("the replica sets", &json!(sets(&test).await?.len()), &json!(1))?;
    deployments.patch("d", Patch::Merge, json!({"spec": {"paused": false}})).await?;
    rolled_out(&test, "d").await?;
    expect_eq("the replica sets at last", &json!(sets(&test).await?.len()), &json!(2))
}

/// With pods that are never scheduled, for it is about owners alone.
async fn adoption(test: Test) -> Result<()> {
    let mut object = workload(&test, "d", 1);
    object["spec"]["template"]["spec"]["schedulingGates"] = json!([{"name": "example.com/never"}]);
    let made = test.of(&DEPLOYMENT).create(object.clone()).await?;
    let replica_sets = test.of(&REPLICA_SET);
    let owned_by = |uid: Value| {
        move |sets: &[&Value]| {
            sets.len() == 1 && sets[0]["metadata"]["ownerReferences"][0]["uid"] == uid
        }
    };
    let first = owned_by(made["metadata"]["uid"].clone());
    let set = replica_sets.wait_all("", "a replica set of the deployment", first).await?;
    test.of(&DEPLOYMENT).delete_with("d", json!({"propagationPolicy": "Orphan"})).await?;
    test.of(&DEPLOYMENT).wait_gone("d").await?;
    let free = |sets: &[&Value]| sets[0]["metadata"]["ownerReferences"].is_null();
    replica_sets.wait_all("", "the replica set without owner", free).await?;
    let again = test.of(&DEPLOYMENT).create(object).await?;
    let second = owned_by(again["metadata"]["uid"].clone());
    let adopted = replica_sets.wait_all("", "the replica set adopted", second).await?;
    expect_eq("its uid", &adopted[0]["metadata"]["uid"], &set[0]["metadata"]["uid"])
}

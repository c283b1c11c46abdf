//! Stateful sets.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use super::workload;
use crate::api::{Patch, SERVICE, STATEFUL_SET};
use crate::case::{Case, pod_case};
use crate::cases::node::do_command;
use crate::test::{Test, condition, expect_eq, is_ready, name};

pub(super) fn cases() -> Vec<Case> {
    let title = |rest: &str| {
        format!(
            "[sig-apps] StatefulSet Basic StatefulSet functionality [StatefulSetBasic] {rest} [Conformance]"
        )
    };
    vec![
        pod_case(
            &title(
                "Scaling should happen in predictable order and halt if any stateful pod is unhealthy [Slow]",
            ),
            ordered,
        ),
        pod_case(
            &title("Burst scaling should run to completion even with unhealthy pods [Slow]"),
            burst,
        ),
        pod_case(
            &title("should perform rolling updates and roll backs of template modifications"),
            rolling,
        ),
        pod_case(
            &title(
                "should perform canary updates and phased rolling updates of template modifications",
            ),
            canary,
        ),
        pod_case(&title("should have a working scale subresource"), scale),
        pod_case(&title("Should recreate evicted statefulset"), evicted),
        pod_case(&title("should list, patch and delete a collection of StatefulSets"), collection),
        pod_case(&title("should validate Statefulset Status endpoints"), status),
    ]
}

/// A set whose pods are ready while `/tmp/healthy` exists.
async fn make(test: &Test, replicas: u32, extra: Value) -> Result<()> {
    let headless = json!({"metadata": {"name": "ss"}, "spec": {"clusterIP": "None",
        "selector": {"app": "ss"}, "ports": [{"port": 80}]}});
    test.of(&SERVICE).create(headless).await?;
    let mut container = test.container("c", &["write /tmp/healthy yes", "hold"]);
    container["readinessProbe"] = json!({"exec": {"command": do_command(&["cat /tmp/healthy"])},
        "periodSeconds": 1, "failureThreshold": 1});
    let mut object = workload(test, "ss", replicas);
    object["spec"]["serviceName"] = "ss".into();
    object["spec"]["template"]["spec"]["containers"] = json!([container]);
    for (field, value) in extra.as_object().into_iter().flatten() {
        object["spec"][field] = value.clone();
    }
    test.of(&STATEFUL_SET).create(object).await.map(drop)
}

async fn ready(test: &Test, count: usize) -> Result<Vec<Value>> {
    let expected = format!("{count} ready pods with their numbers");
    test.pods()
        .wait_all("", &expected, |pods| {
            pods.len() == count
                && pods.iter().enumerate().all(|(index, pod)| {
                    name(pod) == format!("ss-{index}")
                        && is_ready(pod)
                        && pod["metadata"]["deletionTimestamp"].is_null()
                })
        })
        .await
}

async fn sick(test: &Test, pod: &str) -> Result<()> {
    test.exec_ok(pod, "c", &["rm /tmp/healthy"]).await?;
    test.pods().wait(pod, "not to be ready", |pod| !is_ready(pod)).await.map(drop)
}

async fn well(test: &Test, pod: &str) -> Result<()> {
    test.exec_ok(pod, "c", &["write /tmp/healthy yes"]).await?;
    test.ready(pod).await.map(drop)
}

fn resize(replicas: u32) -> Value {
    json!({"spec": {"replicas": replicas}})
}

async fn ordered(test: Test) -> Result<()> {
    let mut watch = test.pods().watch_from("", "").await?;
    make(&test, 3, json!({})).await?;
    // Each is made only when the one before is ready.
    let (mut made, mut readied) = (Vec::new(), Vec::new());
    while readied.len() < 3 {
        let event = watch.event().await?;
        if event.kind == "ADDED" {
            let expected: Vec<String> =
                (0..made.len()).map(|index| format!("ss-{index}")).collect();
            expect_eq("the pods ready before the next", &json!(readied), &json!(expected))?;
            made.push(event.name().to_owned());
        }
        if is_ready(&event.object) && !readied.contains(&event.name().to_owned()) {
            readied.push(event.name().to_owned());
        }
    }
    expect_eq("the order", &json!(made), &json!(["ss-0", "ss-1", "ss-2"]))?;
    // Neither up nor down while one is not well.
    sick(&test, "ss-0").await?;
    test.of(&STATEFUL_SET).patch("ss", Patch::Merge, resize(1)).await?;
    let same = |pods: &[&Value]| {
        pods.len() == 3 && pods.iter().all(|p| p["metadata"]["deletionTimestamp"].is_null())
    };
    test.pods().stays("", Duration::from_secs(5), "three pods", same).await?;
    well(&test, "ss-0").await?;
    ready(&test, 1).await.map(drop)
}

async fn burst(test: Test) -> Result<()> {
    make(&test, 1, json!({"podManagementPolicy": "Parallel"})).await?;
    ready(&test, 1).await?;
    sick(&test, "ss-0").await?;
    test.of(&STATEFUL_SET).patch("ss", Patch::Merge, resize(3)).await?;
    let three = |pods: &[&Value]| pods.len() == 3 && pods[1..].iter().all(|pod| is_ready(pod));
    test.pods().wait_all("", "three pods beside a sick one", three).await?;
    sick(&test, "ss-1").await?;
    test.of(&STATEFUL_SET).patch("ss", Patch::Merge, resize(0)).await?;
    test.pods().wait_all("", "no pod", |pods| pods.is_empty()).await.map(drop)
}

fn annotated(value: &str) -> Value {
    json!({"spec": {"template": {"metadata": {"annotations": {"round": value}}}}})
}

/// The template that each pod is of.
fn rounds(pods: &[&Value]) -> Vec<String> {
    let round = |pod: &&Value| {
        pod["metadata"]["annotations"]["round"].as_str().unwrap_or_default().to_owned()
    };
    pods.iter().map(round).collect()
}

async fn updated_to(test: &Test, expected: &[&str]) -> Result<()> {
    let words = format!("ready pods of the templates {expected:?}");
    test.pods()
        .wait_all("", &words, |pods| {
            rounds(pods) == expected && pods.iter().all(|pod| is_ready(pod))
        })
        .await
        .map(drop)
}

async fn rolling(test: Test) -> Result<()> {
    make(&test, 3, json!({"podManagementPolicy": "Parallel"})).await?;
    ready(&test, 3).await?;
    let sets = test.of(&STATEFUL_SET);
    let mut watch = test.pods().watch_from("", "").await?;
    sets.patch("ss", Patch::Merge, annotated("2")).await?;
    // From the last to the first.
    let mut gone = Vec::new();
    while gone.len() < 3 {
        let event = watch.event().await?;
        if event.kind == "DELETED" {
            gone.push(event.name().to_owned());
        }
    }
    expect_eq("the order of the update", &json!(gone), &json!(["ss-2", "ss-1", "ss-0"]))?;
    updated_to(&test, &["2", "2", "2"]).await?;
    let settled = |set: &Value| {
        let status = &set["status"];
        status["currentRevision"] == status["updateRevision"] && status["updatedReplicas"] == 3
    };
    sets.wait("ss", "to have one revision", settled).await?;
    sets.patch("ss", Patch::Merge, annotated("1")).await?;
    updated_to(&test, &["1", "1", "1"]).await
}

async fn canary(test: Test) -> Result<()> {
    let strategy = |partition: u32| json!({"type": "RollingUpdate", "rollingUpdate": {"partition": partition}});
    make(&test, 3, json!({"updateStrategy": strategy(3)})).await?;
    ready(&test, 3).await?;
    let sets = test.of(&STATEFUL_SET);
    sets.patch("ss", Patch::Merge, annotated("2")).await?;
    let seen = |set: &Value| set["status"]["observedGeneration"] == set["metadata"]["generation"];
    sets.wait("ss", "to have seen the template", seen).await?;
    let old = |pods: &[&Value]| rounds(pods) == ["", "", ""];
    test.pods()
        .stays("", Duration::from_secs(3), "no pod updated by a partition of 3", old)
        .await?;
    for (partition, expected) in [(2, ["", "", "2"]), (1, ["", "2", "2"]), (0, ["2", "2", "2"])] {
        let body = json!({"spec": {"updateStrategy": strategy(partition)}});
        sets.patch("ss", Patch::Merge, body).await?;
        updated_to(&test, &expected).await?;
        if partition == 2 {
            // A pod below the partition comes back as it was.
            test.pods().delete("ss-0").await?;
            test.pods()
                .wait_all("", "ss-0 to be gone for a moment", |pods| {
                    pods.first().is_none_or(|pod| name(pod) != "ss-0" || !is_ready(pod))
                })
                .await?;
            updated_to(&test, &expected).await?;
        }
    }
    Ok(())
}

async fn scale(test: Test) -> Result<()> {
    make(&test, 1, json!({})).await?;
    ready(&test, 1).await?;
    let sets = test.of(&STATEFUL_SET);
    let scale = sets.get("ss/scale").await?;
    expect_eq("the replicas", &scale["spec"]["replicas"], &json!(1))?;
    sets.patch("ss/scale", Patch::Merge, resize(2)).await?;
    ready(&test, 2).await.map(drop)
}

async fn evicted(test: Test) -> Result<()> {
    make(&test, 1, json!({})).await?;
    let before = ready(&test, 1).await?;
    let body = json!({"status": {"phase": "Failed"}});
    test.pods().patch("ss-0/status", Patch::Merge, body).await?;
    let uid = before[0]["metadata"]["uid"].clone();
    let again = |pod: &Value| pod["metadata"]["uid"] != uid && is_ready(pod);
    test.pods().wait("ss-0", "to be made again", again).await.map(drop)
}

async fn collection(test: Test) -> Result<()> {
    make(&test, 1, json!({})).await?;
    ready(&test, 1).await?;
    let sets = test.of(&STATEFUL_SET);
    let body = json!({"metadata": {"labels": {"stage": "patched"}}, "spec": {"replicas": 2}});
    sets.patch("ss", Patch::Strategic, body).await?;
    ready(&test, 2).await?;
    sets.delete_all("labelSelector=stage=patched").await?;
    sets.wait_gone("ss").await?;
    test.pods().wait_all("", "no pod", |pods| pods.is_empty()).await.map(drop)
}

async fn status(test: Test) -> Result<()> {
    make(&test, 1, json!({})).await?;
    ready(&test, 1).await?;
    let sets = test.of(&STATEFUL_SET);
    let told = json!({"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "m"});
    let push = |set: &mut Value| set["status"]["conditions"] = json!([told]);
    sets.change("ss/status", push).await?;
    let read = sets.get("ss/status").await?;
    expect_eq("the condition", &condition(&read, "StatusUpdate")["reason"], &json!("E2E"))
}

//! Daemon sets.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::workload;
use crate::api::{CONTROLLER_REVISION, DAEMON_SET, NODE, Patch};
use crate::case::{Case, pod_case};
use crate::test::{Test, condition, expect_eq, is_ready, name};

pub(super) fn cases() -> Vec<Case> {
    let title = |rest: &str| format!("[sig-apps] Daemon set [Serial] {rest} [Conformance]");
    vec![
        pod_case(&title("should run and stop simple daemon"), simple),
        pod_case(&title("should run and stop complex daemon"), complex),
        pod_case(&title("should retry creating failed daemon pods"), retry),
        pod_case(
            &title("should update pod when spec was updated and update strategy is RollingUpdate"),
            update,
        ),
        pod_case(&title("should rollback without unnecessary restarts"), rollback),
        pod_case(&title("should list and delete a collection of DaemonSets"), collection),
        pod_case(&title("should verify changes to a daemon set status"), status),
        pod_case(
            "[sig-apps] ControllerRevision [Serial] should manage the lifecycle of a ControllerRevision \
             [Conformance]",
            revisions,
        ),
    ]
}

fn daemons(test: &Test) -> Value {
    let mut object = workload(test, "ds", 0);
    if let Some(spec) = object["spec"].as_object_mut() {
        spec.remove("replicas");
    }
    object
}

/// Waits until each of the nodes has just one ready pod of the set.
async fn on_nodes(test: &Test, nodes: &[String]) -> Result<Vec<Value>> {
    let mut wanted = nodes.to_vec();
    wanted.sort();
    let expected = format!("one ready daemon pod on each of {wanted:?}");
    test.pods()
        .wait_all("", &expected, |pods| {
            let mut on: Vec<&str> =
                pods.iter().filter_map(|p| p["spec"]["nodeName"].as_str()).collect();
            on.sort_unstable();
            on == wanted && pods.iter().all(|pod| is_ready(pod))
        })
        .await
}

async fn start(test: &Test) -> Result<Vec<Value>> {
    test.of(&DAEMON_SET).create(daemons(test)).await?;
    on_nodes(test, test.nodes()).await
}

async fn simple(test: Test) -> Result<()> {
    let pods = start(&test).await?;
    let nodes = test.nodes().len();
    let counted = |ds: &Value| {
        let status = &ds["status"];
        ["desiredNumberScheduled", "currentNumberScheduled", "numberReady", "numberAvailable"]
            .iter()
            .all(|field| status[field] == nodes)
            && status["numberMisscheduled"] == 0
    };
    test.of(&DAEMON_SET).wait("ds", "to count its pods", counted).await?;
    test.pods().delete(name(&pods[0])).await?;
    test.pods().wait_gone(name(&pods[0])).await?;
    on_nodes(&test, test.nodes()).await?;
    test.of(&DAEMON_SET).delete("ds").await?;
    test.pods().wait_all("", "no pod", |pods| pods.is_empty()).await.map(drop)
}

async fn label_node(test: &Test, node: &str, value: Value) -> Result<()> {
    let body = json!({"metadata": {"labels": {"conformance.example.com/color": value}}});
    test.cluster.all(&NODE).patch(node, Patch::Merge, body).await.map(drop)
}

async fn complex(test: Test) -> Result<()> {
    let node = test.nodes()[0].clone();
    let mut object = daemons(&test);
    object["spec"]["template"]["spec"]["nodeSelector"] =
        json!({"conformance.example.com/color": "blue"});
    test.of(&DAEMON_SET).create(object).await?;
    let nowhere = |ds: &Value| {
        ds["status"]["observedGeneration"] == 1 && ds["status"]["desiredNumberScheduled"] == 0
    };
    test.of(&DAEMON_SET).wait("ds", "to be wanted nowhere", nowhere).await?;
    let work = async {
        label_node(&test, &node, json!("blue")).await?;
        on_nodes(&test, std::slice::from_ref(&node)).await?;
        label_node(&test, &node, json!("green")).await?;
        on_nodes(&test, &[]).await?;
        let green = json!({"spec": {"template": {"spec": {"nodeSelector":
            {"conformance.example.com/color": "green"}}}}});
        test.of(&DAEMON_SET).patch("ds", Patch::Merge, green).await?;
        on_nodes(&test, std::slice::from_ref(&node)).await.map(drop)
    };
    let done = work.await;
    label_node(&test, &node, Value::Null).await?;
    done
}

async fn retry(test: Test) -> Result<()> {
    let pods = start(&test).await?;
    let failed = name(&pods[0]).to_owned();
    let uid = pods[0]["metadata"]["uid"].clone();
    let body = json!({"status": {"phase": "Failed"}});
    test.pods().patch(&format!("{failed}/status"), Patch::Merge, body).await?;
    test.pods()
        .wait_all("", "another pod in place of the failed", |pods| {
            pods.iter().all(|pod| pod["metadata"]["uid"] != uid)
        })
        .await?;
    on_nodes(&test, test.nodes()).await.map(drop)
}

fn annotated(value: &str) -> Value {
    json!({"spec": {"template": {"metadata": {"annotations": {"round": value}}}}})
}

async fn update(test: Test) -> Result<()> {
    start(&test).await?;
    test.of(&DAEMON_SET).patch("ds", Patch::Merge, annotated("2")).await?;
    let nodes = test.nodes().len();
    let new = |pods: &[&Value]| {
        pods.len() == nodes
            && pods.iter().all(|p| is_ready(p) && p["metadata"]["annotations"]["round"] == "2")
    };
    let pods = test.pods().wait_all("", "pods of the new template on all nodes", new).await?;
    let revisions = test.of(&CONTROLLER_REVISION).items("").await?;
    expect_eq("the revisions", &json!(revisions.len()), &json!(2))?;
    let latest = revisions.iter().max_by_key(|r| r["revision"].as_i64()).context("no revision")?;
    let hash = &latest["metadata"]["labels"]["controller-revision-hash"];
    expect_eq(
        "the pods' revision",
        &pods[0]["metadata"]["labels"]["controller-revision-hash"],
        hash,
    )
}

async fn rollback(test: Test) -> Result<()> {
    let before = start(&test).await?;
    let bad = json!({"spec": {"template": {"spec": {"containers": [
        {"name": "c", "image": "coxswain.local/never-made:v0", "imagePullPolicy": "Never"}]}}}});
    test.of(&DAEMON_SET).patch("ds", Patch::Strategic, bad).await?;
    let one_new = |pods: &[&Value]| {
        let bad =
            |p: &&&Value| p["spec"]["containers"][0]["image"] == "coxswain.local/never-made:v0";
        pods.iter().filter(bad).count() == 1
    };
    test.pods().wait_all("", "one pod of the bad template", one_new).await?;
    let good = json!({"spec": {"template": {"spec": {"containers": [
        {"name": "c", "image": test.image(), "imagePullPolicy": "IfNotPresent"}]}}}});
    test.of(&DAEMON_SET).patch("ds", Patch::Strategic, good).await?;
    let after = on_nodes(&test, test.nodes()).await?;
    let uids = |pods: &[Value]| -> Vec<String> {
        pods.iter().map(|pod| pod["metadata"]["uid"].to_string()).collect()
    };
    let kept = uids(&after).iter().filter(|uid| uids(&before).contains(uid)).count();
    expect_eq("the pods that were left alone", &json!(kept), &json!(test.nodes().len() - 1))?;
    for pod in &after {
        let restarts = &pod["status"]["containerStatuses"][0]["restartCount"];
        expect_eq("the restarts", restarts, &json!(0))?;
    }
    Ok(())
}

async fn collection(test: Test) -> Result<()> {
    start(&test).await?;
    let sets = test.of(&DAEMON_SET);
    let listed = test.cluster.all(&DAEMON_SET).items("labelSelector=app=ds").await?;
    let ours = listed.iter().filter(|ds| ds["metadata"]["namespace"] == *test.namespace).count();
    expect_eq("the daemon sets listed", &json!(ours), &json!(1))?;
    sets.delete_all("labelSelector=app=ds").await?;
    sets.wait_gone("ds").await?;
    test.pods().wait_all("", "no pod", |pods| pods.is_empty()).await.map(drop)
}

async fn status(test: Test) -> Result<()> {
    start(&test).await?;
    let sets = test.of(&DAEMON_SET);
    let told = json!({"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "m"});
    let body = json!({"status": {"conditions": [told]}});
    let patched = sets.patch("ds/status", Patch::Merge, body).await?;
    expect_eq("the condition", &condition(&patched, "StatusUpdate")["reason"], &json!("E2E"))?;
    let annotate = |ds: &mut Value| ds["metadata"]["annotations"]["x"] = "y".into();
    let updated = sets.change("ds/status", annotate).await?;
    expect_eq("the condition", &condition(&updated, "StatusUpdate")["status"], &json!("True"))
}

async fn revisions(test: Test) -> Result<()> {
    start(&test).await?;
    let revisions = test.of(&CONTROLLER_REVISION);
    let first = revisions.items("labelSelector=app=ds").await?;
    expect_eq("the revisions", &json!(first.len()), &json!(1))?;
    let first_name = name(&first[0]).to_owned();
    let label = json!({"metadata": {"labels": {"stage": "patched"}}});
    let patched = revisions.patch(&first_name, Patch::Merge, label).await?;
    expect_eq("the label", &patched["metadata"]["labels"]["stage"], &json!("patched"))?;
    let mut copy = json!({"metadata": {"name": "copy", "labels": {"of": "nobody"}}, "revision": 7});
    copy["data"] = first[0]["data"].clone();
    revisions.create(copy).await?;
    let changed = revisions.change("copy", |r| r["revision"] = 8.into()).await?;
    expect_eq("the new number", &changed["revision"], &json!(8))?;
    let other = revisions.patch("copy", Patch::Merge, json!({"data": {"other": "data"}})).await;
    crate::api::expect_refusal(other, 422, "Invalid")?;
    let mut bystander = json!({"metadata": {"name": "bystander"}, "revision": 1});
    bystander["data"] = json!({"of": "nobody"});
    revisions.create(bystander).await?;
    revisions.delete_all("labelSelector=stage=patched").await?;
    // The set makes its revision again, for it has pods of it.
    let uid = &first[0]["metadata"]["uid"];
    let again = |list: &[&Value]| {
        let same = |r: &&&Value| r["data"] == first[0]["data"] && name(r) == first_name;
        list.iter().any(|r| name(r) == "bystander")
            && list.iter().find(same).is_some_and(|r| r["metadata"]["uid"] != *uid)
    };
    revisions.wait_all("", "the revision made again, and the bystander", again).await.map(drop)
}

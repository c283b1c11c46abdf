//! Replica sets and replication controllers.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::workload;
use crate::api::{Kind, Patch, REPLICA_SET, REPLICATION_CONTROLLER, RESOURCE_QUOTA};
use crate::case::{Case, case, pod_case};
use crate::cases::lifecycle::{Life, live};
use crate::test::{Test, condition, expect_eq, expect_in, is_ready, name};

pub(super) fn cases() -> Vec<Case> {
    let set = |rest: &str| format!("[sig-apps] ReplicaSet {rest} [Conformance]");
    let rc = |rest: &str| format!("[sig-apps] ReplicationController {rest} [Conformance]");
    let serve = "should serve a basic image on each replica with a public image";
    vec![
        pod_case(&set(serve), |test| serves(test, REPLICA_SET)),
        pod_case(&rc(serve), |test| serves(test, REPLICATION_CONTROLLER)),
        case(
            &set("should adopt matching pods on creation and release no longer matching pods"),
            |test| adopts(test, REPLICA_SET, true),
        ),
        case(&rc("should adopt matching pods on creation"), |test| {
            adopts(test, REPLICATION_CONTROLLER, false)
        }),
        case(&rc("should release no longer matching pods"), |test| {
            adopts(test, REPLICATION_CONTROLLER, true)
        }),
        case(&set("Replicaset should have a working scale subresource"), |test| {
            scales(test, REPLICA_SET)
        }),
        case(&rc("should get and update a ReplicationController scale"), |test| {
            scales(test, REPLICATION_CONTROLLER)
        }),
        case(&set("should validate Replicaset Status endpoints"), |test| status(test, REPLICA_SET)),
        case(&set("should list and delete a collection of ReplicaSets"), |test| {
            lives(test, REPLICA_SET)
        }),
        case(&set("Replace and Patch tests"), replace_and_patch),
        case(&rc("should test the lifecycle of a ReplicationController"), |test| {
            lives(test, REPLICATION_CONTROLLER)
        }),
        case(
            &rc("should surface a failure condition on a common issue like exceeded quota"),
            quota,
        ),
        case(
            "[sig-apps] ReplicaSet should surface a failure condition on a common issue like exceeded quota",
            set_quota,
        ),
    ]
}

/// A workload of the kind: replication controllers select by a plain map.
fn object(test: &Test, kind: &Kind, name: &str, replicas: u32, gated: bool) -> Value {
    let mut object = workload(test, name, replicas);
    if *kind == REPLICATION_CONTROLLER {
        object["spec"]["selector"] = json!({"app": name});
    }
    if gated {
        object["spec"]["template"]["spec"]["schedulingGates"] =
            json!([{"name": "example.com/never"}]);
    }
    object
}

async fn serves(test: Test, kind: Kind) -> Result<()> {
    let mut workload = object(&test, &kind, "web", 2, false);
    workload["spec"]["template"]["spec"]["containers"] = json!([test.server("s")]);
    test.of(&kind).create(workload).await?;
    let ready = |pods: &[&Value]| pods.len() == 2 && pods.iter().all(|pod| is_ready(pod));
    let pods = test.pods().wait_all("", "two ready pods", ready).await?;
    for pod in &pods {
        let path = test.pods().object_path(&format!("{}:8080/proxy/hostname", name(pod)));
        let said = test.cluster.get(&path).await?.text();
        expect_eq("what the replica says", &json!(said), &json!(name(pod)))?;
    }
    let counted =
        |w: &Value| w["status"]["readyReplicas"] == 2 && w["status"]["availableReplicas"] == 2;
    test.of(&kind).wait("web", "to count two ready replicas", counted).await.map(drop)
}

async fn adopts(test: Test, kind: Kind, release: bool) -> Result<()> {
    let pod = json!({"metadata": {"name": "orphan", "labels": {"app": "adopter"}}, "spec": {
        "schedulingGates": [{"name": "example.com/never"}], "containers": [test.pause("c")]}});
    test.pods().create(pod).await?;
    let made = test.of(&kind).create(object(&test, &kind, "adopter", 1, true)).await?;
    let uid = made["metadata"]["uid"].clone();
    let owned = |pod: &Value| {
        let owner = &pod["metadata"]["ownerReferences"][0];
        owner["uid"] == uid && owner["controller"] == true && owner["kind"] == *kind.kind
    };
    test.pods().wait("orphan", "to be adopted", owned).await?;
    expect_eq("the pods there are", &json!(test.pods().items("").await?.len()), &json!(1))?;
    if release {
        let other = json!({"metadata": {"labels": {"app": "another"}}});
        test.pods().patch("orphan", Patch::Merge, other).await?;
        let free = |pod: &Value| pod["metadata"]["ownerReferences"].is_null();
        test.pods().wait("orphan", "to be released", free).await?;
        let two = |pods: &[&Value]| pods.len() == 2;
        test.pods().wait_all("", "another pod in its place", two).await?;
    }
    Ok(())
}

async fn scales(test: Test, kind: Kind) -> Result<()> {
    test.of(&kind).create(object(&test, &kind, "s", 1, true)).await?;
    let resource = test.of(&kind);
    test.pods().wait_all("", "a pod", |pods| pods.len() == 1).await?;
    let scale = resource.get("s/scale").await?;
    expect_eq("the kind", &scale["kind"], &json!("Scale"))?;
    expect_eq("the replicas", &scale["spec"]["replicas"], &json!(1))?;
    resource.patch("s/scale", Patch::Merge, json!({"spec": {"replicas": 4}})).await?;
    test.pods().wait_all("", "four pods", |pods| pods.len() == 4).await?;
    resource.patch("s/scale", Patch::Merge, json!({"spec": {"replicas": 2}})).await?;
    test.pods().wait_all("", "two pods", |pods| pods.len() == 2).await?;
    let counted = |w: &Value| w["status"]["replicas"] == 2;
    resource.wait("s", "to count two replicas", counted).await.map(drop)
}

async fn status(test: Test, kind: Kind) -> Result<()> {
    test.of(&kind).create(object(&test, &kind, "s", 1, true)).await?;
    let resource = test.of(&kind);
    resource.wait("s", "to have its status", |w| w["status"]["replicas"] == 1).await?;
    let told = json!({"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "m"});
    let body = json!({"status": {"conditions": [told]}});
    let patched = resource.patch("s/status", Patch::Merge, body).await?;
    expect_eq("the condition", &condition(&patched, "StatusUpdate")["reason"], &json!("E2E"))?;
    let read = resource.get("s/status").await?;
    expect_eq("the condition read", &condition(&read, "StatusUpdate")["status"], &json!("True"))
}

async fn lives(test: Test, kind: Kind) -> Result<()> {
    let mut object = object(&test, &kind, "life", 0, true);
    object["metadata"] = json!({});
    let life = Life { kind, object, change: json!({"spec": {"replicas": 1}}), status: None };
    live(test, life).await
}

async fn replace_and_patch(test: Test) -> Result<()> {
    let sets = test.of(&REPLICA_SET);
    sets.create(object(&test, &REPLICA_SET, "s", 1, true)).await?;
    test.pods().wait_all("", "a pod", |pods| pods.len() == 1).await?;
    sets.change("s", |set| set["spec"]["replicas"] = 2.into()).await?;
    test.pods().wait_all("", "two pods", |pods| pods.len() == 2).await?;
    let body = json!({"metadata": {"labels": {"stage": "patched"}}, "spec": {"replicas": 3,
        "template": {"spec": {"terminationGracePeriodSeconds": 0}}}});
    sets.patch("s", Patch::Strategic, body).await?;
    let three = |pods: &[&Value]| {
        let new = pods.iter().filter(|pod| pod["spec"]["terminationGracePeriodSeconds"] == 0);
        pods.len() == 3 && new.count() == 1
    };
    test.pods().wait_all("", "a third pod, of the new template alone", three).await.map(drop)
}

async fn limit_pods(test: &Test) -> Result<()> {
    let quotas = test.of(&RESOURCE_QUOTA);
    let spec = json!({"hard": {"pods": "2"}});
    quotas.create(json!({"metadata": {"name": "q"}, "spec": spec})).await?;
    quotas.wait("q", "to be in force", |q| q["status"]["hard"]["pods"] == "2").await.map(drop)
}

async fn fails_then_recovers(test: &Test, kind: Kind) -> Result<()> {
    limit_pods(test).await?;
    test.of(&kind).create(object(test, &kind, "s", 3, true)).await?;
    let failed = |w: &Value| condition(w, "ReplicaFailure")["status"] == "True";
    let failed = test.of(&kind).wait("s", "to tell of its failure", failed).await?;
    let told = condition(&failed, "ReplicaFailure");
    expect_eq("the reason", &told["reason"], &json!("FailedCreate"))?;
    let message = told["message"].as_str().context("no message")?;
    expect_in("the message", message, "exceeded quota: q")?;
    let body = json!({"spec": {"replicas": 2}});
    test.of(&kind).patch("s", Patch::Merge, body).await?;
    let fine = |w: &Value| condition(w, "ReplicaFailure").is_null();
    test.of(&kind).wait("s", "to have no failure", fine).await.map(drop)
}

async fn quota(test: Test) -> Result<()> {
    fails_then_recovers(&test, REPLICATION_CONTROLLER).await
}

async fn set_quota(test: Test) -> Result<()> {
    fails_then_recovers(&test, REPLICA_SET).await
}

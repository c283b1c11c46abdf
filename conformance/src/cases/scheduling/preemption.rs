//! Priorities and preemption.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::api::{NODE, PRIORITY_CLASS, Patch, REPLICA_SET, expect_refusal};
use crate::case::{Case, case, pod_case};
use crate::cases::lifecycle::{Life, life_case};
use crate::test::{Test, condition, expect_eq, name};

pub(super) fn cases() -> Vec<Case> {
    let title =
        |rest: &str| format!("[sig-scheduling] SchedulerPreemption [Serial] {rest} [Conformance]");
    vec![
        pod_case(&title("validates basic preemption works"), |test| preempts(test, false)),
        pod_case(&title("validates lower priority pod preemption by critical pod"), |test| {
            preempts(test, true)
        }),
        pod_case(&title("validates pod disruption condition is added to the preempted pod"), told),
        pod_case(
            &title("PreemptionExecutionPath runs ReplicaSets to verify preemption running path"),
            sets,
        ),
        life_case(
            &title(
                "PriorityClass endpoints verify PriorityClass endpoints can be operated with different HTTP \
                 methods",
            ),
            Life {
                kind: PRIORITY_CLASS,
                object: json!({"value": 100, "description": "by a test"}),
                change: json!({"description": "changed"}),
                status: None,
            },
        ),
        case("[sig-scheduling] Priorities should be set by admission and stay", admission),
    ]
}

/// An extended resource that no other pod requests.
const RESOURCE: &str = "conformance.example.com/slot";

/// Offers so many slots on a node while `work` is done.
async fn with_slots(
    test: &Test,
    node: &str,
    slots: u32,
    work: impl Future<Output = Result<()>>,
) -> Result<()> {
    let offer = |amount: Value| {
        let body =
            json!({"status": {"capacity": {RESOURCE: amount}, "allocatable": {RESOURCE: amount}}});
        let nodes = test.cluster.all(&NODE);
        async move { nodes.patch(&format!("{node}/status"), Patch::Merge, body).await.map(drop) }
    };
    offer(json!(slots.to_string())).await?;
    let done = work.await;
    offer(Value::Null).await?;
    done
}

async fn class(test: &Test, value: i32) -> Result<String> {
    let name = test.unique("priority");
    test.cluster
        .all(&PRIORITY_CLASS)
        .create(json!({"metadata": {"name": name}, "value": value}))
        .await?;
    Ok(name)
}

fn spec(test: &Test, class: &str, slots: u32) -> Value {
    let mut container = test.pause("c");
    let amount = json!({RESOURCE: slots.to_string()});
    container["resources"] = json!({"requests": amount, "limits": amount});
    json!({"priorityClassName": class, "terminationGracePeriodSeconds": 1, "containers": [container]})
}

fn going(pod: &Value) -> bool {
    pod["metadata"]["deletionTimestamp"].is_string()
}

async fn preempts(test: Test, critical: bool) -> Result<()> {
    let node = test.nodes()[0].clone();
    let (low, middle) = (class(&test, 1).await?, class(&test, 100).await?);
    let high =
        if critical { "system-cluster-critical".to_owned() } else { class(&test, 1000).await? };
    with_slots(&test, &node, 5, async {
        for (name, class) in [("low", &low), ("middle", &middle)] {
            test.start(test.pod(name, spec(&test, class, 2))).await?;
        }
        // Three slots: the one that is free and two of the pod with the lowest priority.
        let pod = test.start(test.pod("high", spec(&test, &high, 3))).await?;
        expect_eq("the node", &pod["spec"]["nodeName"], &json!(node))?;
        let left = test.pods().items("").await?;
        let left: Vec<&str> = left.iter().filter(|pod| !going(pod)).map(name).collect();
        expect_eq("the pods left", &json!(left), &json!(["high", "middle"]))
    })
    .await
}

async fn told(test: Test) -> Result<()> {
    let node = test.nodes()[0].clone();
    let (low, high) = (class(&test, 1).await?, class(&test, 1000).await?);
    with_slots(&test, &node, 1, async {
        let mut victim = test.pod("victim", spec(&test, &low, 1));
        victim["metadata"]["finalizers"] = json!(["example.com/hold"]);
        test.start(victim).await?;
        test.pods().create(test.pod("preemptor", spec(&test, &high, 1))).await?;
        let marked = |pod: &Value| going(pod) && !condition(pod, "DisruptionTarget").is_null();
        let victim = test.pods().wait("victim", "to be preempted", marked).await?;
        let found = condition(&victim, "DisruptionTarget");
        expect_eq("the reason", &found["reason"], &json!("PreemptionByScheduler"))?;
        let body = json!({"metadata": {"finalizers": null}});
        test.pods().patch("victim", Patch::Merge, body).await?;
        test.ready("preemptor").await.map(drop)
    })
    .await
}

async fn sets(test: Test) -> Result<()> {
    let node = test.nodes()[0].clone();
    let (low, high) = (class(&test, 1).await?, class(&test, 1000).await?);
    let set = |name: &str, class: &str, replicas: u32| {
        json!({"metadata": {"name": name}, "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {
                "priorityClassName": class, "terminationGracePeriodSeconds": 1,
                "containers": spec(&test, class, 1)["containers"]}}}})
    };
    with_slots(&test, &node, 5, async {
        let sets = test.of(&REPLICA_SET);
        let ready = |count: u32| move |set: &Value| set["status"]["readyReplicas"] == count;
        sets.create(set("low", &low, 4)).await?;
        sets.wait("low", "to have 4 ready replicas", ready(4)).await?;
        sets.create(set("high", &high, 3)).await?;
        sets.wait("high", "to have 3 ready replicas", ready(3)).await?;
        sets.wait("low", "to have 2 ready replicas left", ready(2)).await.map(drop)
    })
    .await
}

async fn admission(test: Test) -> Result<()> {
    let class = class(&test, 77).await?;
    let pod = |name: &str, extra: Value| {
        let mut spec =
            json!({"schedulingGates": [{"name": "example.com/never"}], "containers": [{}]});
        for (field, value) in extra.as_object().into_iter().flatten() {
            spec[field] = value.clone();
        }
        test.pod(name, spec)
    };
    let made = test.pods().create(pod("p", json!({"priorityClassName": class}))).await?;
    expect_eq("the priority", &made["spec"]["priority"], &json!(77))?;
    expect_eq("the policy", &made["spec"]["preemptionPolicy"], &json!("PreemptLowerPriority"))?;
    let absent = json!({"priorityClassName": "never-made"});
    expect_refusal(test.pods().create(pod("q", absent)).await, 403, "Forbidden")?;
    let other = json!({"priorityClassName": class, "priority": 78});
    expect_refusal(test.pods().create(pod("q", other)).await, 403, "Forbidden")?;
    let classes = test.cluster.all(&PRIORITY_CLASS);
    let changed = classes.patch(&class, Patch::Merge, json!({"value": 5})).await;
    expect_refusal(changed, 422, "Invalid")?;
    let systems = classes.items("").await?;
    let critical = systems.iter().find(|c| name(c) == "system-node-critical");
    let critical = critical.context("no system-node-critical")?;
    expect_eq("its value", &critical["value"], &json!(2_000_001_000))
}

//! Where pods go.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::api::{NODE, POD, Patch};
use crate::case::{Case, Need, case, pod_case};
use crate::quantity;
use crate::test::{Test, condition, expect_eq, expect_in};

pub(super) fn cases() -> Vec<Case> {
    let title =
        |rest: &str| format!("[sig-scheduling] SchedulerPredicates [Serial] validates {rest}");
    vec![
        case(&title("resource limits of pods that are allowed to run [Conformance]"), resources),
        case(&title("that NodeSelector is respected if not matching [Conformance]"), not_matching),
        pod_case(&title("that NodeSelector is respected if matching [Conformance]"), matching),
        case(&title("that required NodeAffinity setting is respected if matching"), affinity),
        case(&title("that taints-tolerations is respected if matching"), taints),
        case(
            "[sig-scheduling] SchedulerPredicates validates Pods with non-empty schedulingGates are blocked \
             on scheduling",
            gates,
        ),
        case(&title("4 pods with MaxSkew=1 are evenly distributed into 2 nodes"), spread)
            .needs(Need::Nodes(2)),
        case("[sig-scheduling] Scheduler should keep pods of an anti-affinity apart", apart)
            .needs(Need::Nodes(2)),
    ]
}

async fn refused(test: &Test, name: &str, part: &str) -> Result<Value> {
    let waits = |pod: &Value| condition(pod, "PodScheduled")["reason"] == "Unschedulable";
    let pod = test.pods().wait(name, "not to be schedulable", waits).await?;
    let told = condition(&pod, "PodScheduled");
    expect_eq("PodScheduled", &told["status"], &json!("False"))?;
    expect_in("the message", told["message"].as_str().unwrap_or_default(), part)?;
    Ok(pod)
}

async fn placed(test: &Test, name: &str) -> Result<String> {
    let placed = |pod: &Value| condition(pod, "PodScheduled")["status"] == "True";
    let pod = test.pods().wait(name, "to be scheduled", placed).await?;
    Ok(pod["spec"]["nodeName"].as_str().context("a scheduled pod without node")?.to_owned())
}

/// Millicores that the pods of a node ask for.
async fn requested(test: &Test, node: &str) -> Result<i128> {
    let pods = test.cluster.all(&POD).items(&format!("fieldSelector=spec.nodeName={node}")).await?;
    let alive = pods
        .iter()
        .filter(|pod| !matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed")));
    let containers =
        alive.flat_map(|pod| pod["spec"]["containers"].as_array().into_iter().flatten());
    let requests = containers.map(|container| container["resources"]["requests"]["cpu"].clone());
    requests.filter(|cpu| !cpu.is_null()).map(|cpu| quantity::milli(&cpu)).sum()
}

async fn resources(test: Test) -> Result<()> {
    let node = test.nodes()[0].clone();
    let object = test.cluster.all(&NODE).get(&node).await?;
    let free =
        quantity::milli(&object["status"]["allocatable"]["cpu"])? - requested(&test, &node).await?;
    let pod = |name: &str, milli: i128| {
        let requests = json!({"requests": {"cpu": format!("{milli}m")}});
        let spec = json!({"nodeSelector": {"kubernetes.io/hostname": node},
            "containers": [{"args": ["pause"], "resources": requests}]});
        test.pod(name, spec)
    };
    let most = free * 7 / 10;
    test.pods().create(pod("filler", most)).await?;
    placed(&test, "filler").await?;
    test.pods().create(pod("additional", most)).await?;
    refused(&test, "additional", "Insufficient cpu").await?;
    test.pods().delete("filler").await?;
    placed(&test, "additional").await.map(drop)
}

async fn not_matching(test: Test) -> Result<()> {
    let spec = json!({"nodeSelector": {"label": "nonempty"}, "containers": [{"args": ["pause"]}]});
    test.pods().create(test.pod("p", spec)).await?;
    refused(&test, "p", "node(s) didn't match Pod's node affinity/selector").await.map(drop)
}

async fn label(test: &Test, node: &str, key: &str, value: Value) -> Result<()> {
    let body = json!({"metadata": {"labels": {key: value}}});
    test.cluster.all(&NODE).patch(node, Patch::Merge, body).await.map(drop)
}

/// A label of this case alone.
fn own_key(test: &Test) -> String {
    format!("kubernetes.io/e2e-{}", test.namespace)
}

async fn matching(test: Test) -> Result<()> {
    let node = test.nodes().last().context("no node")?.clone();
    let key = own_key(&test);
    let spec = json!({"nodeSelector": {&key: "42"}, "containers": [test.pause("c")]});
    test.pods().create(test.pod("p", spec)).await?;
    refused(&test, "p", "didn't match Pod's node affinity/selector").await?;
    let work = async {
        label(&test, &node, &key, json!("42")).await?;
        expect_eq("the node", &json!(placed(&test, "p").await?), &json!(node))?;
        test.ready("p").await.map(drop)
    };
    let done = work.await;
    label(&test, &node, &key, Value::Null).await?;
    done
}

async fn affinity(test: Test) -> Result<()> {
    let node = test.nodes().last().context("no node")?.clone();
    let key = own_key(&test);
    let term = json!({"matchExpressions": [{"key": key, "operator": "In", "values": ["42"]}]});
    let required = json!({"nodeAffinity":
        {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}});
    let spec = json!({"affinity": required, "containers": [{"args": ["pause"]}]});
    test.pods().create(test.pod("p", spec)).await?;
    refused(&test, "p", "didn't match Pod's node affinity/selector").await?;
    let work = async {
        label(&test, &node, &key, json!("42")).await?;
        expect_eq("the node", &json!(placed(&test, "p").await?), &json!(node))
    };
    let done = work.await;
    label(&test, &node, &key, Value::Null).await?;
    done
}

async fn taints(test: Test) -> Result<()> {
    let node = test.nodes()[0].clone();
    let key = own_key(&test);
    let change = |on: bool| {
        let key = key.clone();
        move |node: &mut Value| {
            let taints = node["spec"]["taints"].as_array().cloned().unwrap_or_default();
            let mut taints: Vec<Value> =
                taints.into_iter().filter(|t| t["key"] != key.as_str()).collect();
            if on {
                taints.push(json!({"key": key, "value": "v", "effect": "NoSchedule"}));
            }
            node["spec"]["taints"] = taints.into();
        }
    };
    let nodes = test.cluster.all(&NODE);
    let pod = |name: &str, tolerations: Value| {
        let spec = json!({"nodeSelector": {"kubernetes.io/hostname": node}, "tolerations": tolerations,
            "containers": [{"args": ["pause"]}]});
        test.pod(name, spec)
    };
    nodes.change(&node, change(true)).await?;
    let work = async {
        test.pods().create(pod("intolerant", json!([]))).await?;
        refused(&test, "intolerant", "untolerated taint").await?;
        let toleration =
            json!([{"key": key, "operator": "Equal", "value": "v", "effect": "NoSchedule"}]);
        test.pods().create(pod("tolerant", toleration)).await?;
        placed(&test, "tolerant").await.map(drop)
    };
    let done = work.await;
    nodes.change(&node, change(false)).await?;
    done?;
    placed(&test, "intolerant").await.map(drop)
}

async fn gates(test: Test) -> Result<()> {
    let spec = json!({"schedulingGates": [{"name": "foo"}, {"name": "bar"}], "containers": [{"args": ["pause"]}]});
    test.pods().create(test.pod("p", spec)).await?;
    let gated = |pod: &Value| condition(pod, "PodScheduled")["reason"] == "SchedulingGated";
    test.pods().wait("p", "to be gated", gated).await?;
    let drop_one = json!([{"op": "remove", "path": "/spec/schedulingGates/0"}]);
    test.pods().patch("p", Patch::Json, drop_one.clone()).await?;
    let query = "fieldSelector=metadata.name=p";
    let waits = |pods: &[&Value]| pods.iter().all(|pod| pod["spec"]["nodeName"].is_null());
    let time = std::time::Duration::from_secs(2);
    test.pods().stays(query, time, "a pod that waits for its second gate", waits).await?;
    let another =
        json!([{"op": "add", "path": "/spec/schedulingGates/-", "value": {"name": "new"}}]);
    let refused = test.pods().patch("p", Patch::Json, another).await;
    crate::api::expect_refusal(refused, 422, "Invalid")?;
    test.pods().patch("p", Patch::Json, drop_one).await?;
    placed(&test, "p").await.map(drop)
}

async fn spread(test: Test) -> Result<()> {
    let two = &test.nodes()[..2];
    let constraint = json!({"maxSkew": 1, "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": {"spread": "yes"}}});
    let terms = json!([{"matchExpressions":
        [{"key": "kubernetes.io/hostname", "operator": "In", "values": two}]}]);
    let mut counts = std::collections::BTreeMap::new();
    for index in 0..4 {
        let name = format!("p{index}");
        let spec = json!({"topologySpreadConstraints": [constraint], "affinity": {"nodeAffinity":
            {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}},
            "containers": [{"args": ["pause"]}]});
        let mut pod = test.pod(&name, spec);
        pod["metadata"]["labels"] = json!({"spread": "yes"});
        test.pods().create(pod).await?;
        *counts.entry(placed(&test, &name).await?).or_insert(0) += 1;
    }
    let counts: Vec<i32> = counts.into_values().collect();
    expect_eq("the pods on each node", &json!(counts), &json!([2, 2]))
}

async fn apart(test: Test) -> Result<()> {
    let term = json!({"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"alone": "yes"}}});
    let affinity =
        json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}});
    let mut used = std::collections::BTreeSet::new();
    for index in 0..test.nodes().len() {
        let name = format!("p{index}");
        let mut pod =
            test.pod(&name, json!({"affinity": affinity, "containers": [{"args": ["pause"]}]}));
        pod["metadata"]["labels"] = json!({"alone": "yes"});
        test.pods().create(pod).await?;
        used.insert(placed(&test, &name).await?);
    }
    expect_eq("the nodes used", &json!(used.len()), &json!(test.nodes().len()))?;
    let mut pod =
        test.pod("more", json!({"affinity": affinity, "containers": [{"args": ["pause"]}]}));
    pod["metadata"]["labels"] = json!({"alone": "yes"});
    test.pods().create(pod).await?;
    refused(&test, "more", "didn't match pod anti-affinity rules").await.map(drop)
}

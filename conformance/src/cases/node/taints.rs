//! Eviction by taints.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use crate::api::{NODE, POD, Patch};
use crate::case::{Case, pod_case};
use crate::test::{Test, condition, expect_eq, name};

pub(super) fn cases() -> Vec<Case> {
    vec![
        pod_case(
            "[sig-node] NoExecuteTaintManager Single Pod [Serial] removing taint cancels eviction \
             [Disruptive] [Conformance]",
            cancelled,
        ),
        pod_case(
            "[sig-node] NoExecuteTaintManager Multiple Pods [Serial] evicts pods with minTolerationSeconds \
             [Disruptive] [Conformance]",
            evicted,
        ),
    ]
}

const KEY: &str = "kubernetes.io/e2e-evict-taint-key";

async fn taint(test: &Test, node: &str, on: bool) -> Result<Value> {
    let change = |node: &mut Value| {
        let taints = node["spec"]["taints"].as_array().cloned().unwrap_or_default();
        let mut taints: Vec<Value> =
            taints.into_iter().filter(|taint| taint["key"] != KEY).collect();
        if on {
            taints.push(json!({"key": KEY, "value": "evictTaintVal", "effect": "NoExecute"}));
        }
        node["spec"]["taints"] = taints.into();
    };
    test.cluster.all(&NODE).change(node, change).await
}

async fn pod(test: &Test, name: &str, node: &str, seconds: Option<u32>) -> Result<()> {
    let toleration = seconds.map(|seconds| {
        json!({"key": KEY, "value": "evictTaintVal", "effect": "NoExecute", "tolerationSeconds": seconds})
    });
    let spec = json!({"nodeName": node, "containers": [test.pause("c")],
        "tolerations": toleration.into_iter().collect::<Vec<_>>()});
    test.start(test.pod(name, spec)).await.map(drop)
}

async fn with_taint(test: &Test, node: &str, work: impl Future<Output = Result<()>>) -> Result<()> {
    taint(test, node, true).await?;
    let done = work.await;
    // The node is set right whatever came of it.
    taint(test, node, false).await?;
    done
}

async fn cancelled(test: Test) -> Result<()> {
    let node = test.nodes()[0].clone();
    pod(&test, "p", &node, Some(4)).await?;
    let pods = test.of(&POD);
    with_taint(&test, &node, async {
        pods.stays("", Duration::from_secs(1), "the pod", |pods| pods.len() == 1).await
    })
    .await?;
    let same =
        |pods: &[&Value]| pods.len() == 1 && pods[0]["metadata"]["deletionTimestamp"].is_null();
    pods.stays("", Duration::from_secs(8), "the pod", same).await
}

async fn evicted(test: Test) -> Result<()> {
    let node = test.nodes()[0].clone();
    pod(&test, "soon", &node, Some(2)).await?;
    pod(&test, "late", &node, Some(600)).await?;
    let hold = json!({"metadata": {"finalizers": ["example.com/hold"]}});
    test.pods().patch("soon", Patch::Merge, hold).await?;
    let pods = test.of(&POD);
    with_taint(&test, &node, async {
        let going = |pod: &Value| pod["metadata"]["deletionTimestamp"].is_string();
        let pod = pods.wait("soon", "to be evicted", going).await?;
        let told = condition(&pod, "DisruptionTarget");
        expect_eq(
            "the reason of its condition",
            &told["reason"],
            &json!("DeletionByTaintManager"),
        )?;
        let left = pods.items("").await?;
        let kept = left.iter().find(|pod| name(pod) == "late").cloned().unwrap_or_default();
        expect_eq("the tolerant pod's mark", &kept["metadata"]["deletionTimestamp"], &Value::Null)
    })
    .await?;
    test.pods()
        .patch("soon", Patch::Merge, json!({"metadata": {"finalizers": null}}))
        .await
        .map(drop)
}

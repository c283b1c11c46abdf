//! Disruption budgets and evictions.

use anyhow::Result;
use serde_json::{Value, json};

use crate::api::{POD_DISRUPTION_BUDGET, Patch, REPLICA_SET, expect_refusal};
use crate::case::{Case, pod_case};
use crate::test::{Test, condition, expect_eq, expect_in, is_ready, name};

pub(super) fn cases() -> Vec<Case> {
    let title = |rest: &str| format!("[sig-apps] DisruptionController should {rest} [Conformance]");
    vec![
        pod_case(&title("block an eviction until the PDB is updated to allow it"), blocks),
        pod_case(&title("observe PodDisruptionBudget status updated"), observes),
        pod_case(&title("update/patch PodDisruptionBudget status"), status),
        pod_case(
            "[sig-apps] DisruptionController evictions: a percentage counts the replicas that are wanted",
            percentage,
        ),
    ]
}

async fn start(test: &Test, replicas: u32) -> Result<Vec<Value>> {
    test.of(&REPLICA_SET).create(super::workload(test, "rs", replicas)).await?;
    let ready =
        |pods: &[&Value]| pods.len() == replicas as usize && pods.iter().all(|pod| is_ready(pod));
    test.pods().wait_all("", "all pods ready", ready).await
}

async fn budget(test: &Test, spec: Value) -> Result<()> {
    let mut spec = spec;
    spec["selector"] = json!({"matchLabels": {"app": "rs"}});
    let object = json!({"metadata": {"name": "pdb"}, "spec": spec});
    test.of(&POD_DISRUPTION_BUDGET).create(object).await.map(drop)
}

async fn allows(test: &Test, count: u32) -> Result<Value> {
    let expected = format!("to allow {count} disruptions");
    let met = |pdb: &Value| {
        pdb["status"]["disruptionsAllowed"] == count
            && pdb["status"]["observedGeneration"] == pdb["metadata"]["generation"]
    };
    test.of(&POD_DISRUPTION_BUDGET).wait("pdb", &expected, met).await
}

async fn evict(test: &Test, pod: &str) -> Result<Value> {
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction",
        "metadata": {"name": pod, "namespace": test.namespace.as_ref()}});
    test.pods().post(&format!("{pod}/eviction"), &eviction).await
}

async fn blocks(test: Test) -> Result<()> {
    let pods = start(&test, 3).await?;
    budget(&test, json!({"minAvailable": 3})).await?;
    allows(&test, 0).await?;
    let refusal = expect_refusal(evict(&test, name(&pods[0])).await, 429, "TooManyRequests")?;
    expect_in("the refusal", refusal.message(), "disruption budget")?;
    let cause = &refusal.status["details"]["causes"][0]["reason"];
    expect_eq("the cause", cause, &json!("DisruptionBudget"))?;
    let body = json!({"spec": {"minAvailable": 2}});
    test.of(&POD_DISRUPTION_BUDGET).patch("pdb", Patch::Merge, body).await?;
    allows(&test, 1).await?;
    evict(&test, name(&pods[0])).await?;
    test.pods().wait_gone(name(&pods[0])).await
}

async fn observes(test: Test) -> Result<()> {
    start(&test, 2).await?;
    budget(&test, json!({"minAvailable": 1})).await?;
    let pdb = allows(&test, 1).await?;
    let status = &pdb["status"];
    for (field, value) in [("currentHealthy", 2), ("desiredHealthy", 1), ("expectedPods", 2)] {
        expect_eq(field, &status[field], &json!(value))?;
    }
    let allowed = condition(&pdb, "DisruptionAllowed");
    expect_eq("the condition", &allowed["status"], &json!("True"))?;
    expect_eq("its reason", &allowed["reason"], &json!("SufficientPods"))
}

async fn status(test: Test) -> Result<()> {
    start(&test, 1).await?;
    budget(&test, json!({"minAvailable": 1})).await?;
    allows(&test, 0).await?;
    let pdbs = test.of(&POD_DISRUPTION_BUDGET);
    let told = json!({"status": {"disruptedPods": {"told": "2020-01-01T00:00:00Z"}}});
    let patched = pdbs.patch("pdb/status", Patch::Merge, told).await?;
    let told = &patched["status"]["disruptedPods"]["told"];
    expect_eq("the patched status", told, &json!("2020-01-01T00:00:00Z"))?;
    // A pod that is not there is none that is being disrupted.
    let forgotten = |pdb: &Value| pdb["status"]["disruptedPods"]["told"].is_null();
    pdbs.wait("pdb", "to forget the disruption of no pod", forgotten).await.map(drop)
}

async fn percentage(test: Test) -> Result<()> {
    let pods = start(&test, 4).await?;
    budget(&test, json!({"maxUnavailable": "30%"})).await?;
    // A part of a pod counts as a whole one.
    let pdb = allows(&test, 2).await?;
    expect_eq("the pods expected", &pdb["status"]["expectedPods"], &json!(4))?;
    evict(&test, name(&pods[0])).await?;
    test.pods().wait_gone(name(&pods[0])).await
}

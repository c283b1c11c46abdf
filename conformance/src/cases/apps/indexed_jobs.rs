//! Jobs whose pods have numbers, and policies about them.

use anyhow::Result;
use serde_json::{Value, json};

use super::jobs::{ends, job};
use crate::api::JOB;
use crate::case::{Case, pod_case};
use crate::test::{Test, condition, expect_eq, expect_in, name};

pub(super) fn cases() -> Vec<Case> {
    let title = |rest: &str| format!("[sig-apps] Job {rest} [Conformance]");
    vec![
        pod_case(
            &title(
                "should create pods for an Indexed job with completion indexes and specified hostname",
            ),
            indexes,
        ),
        pod_case(
            &title(
                "should execute all indexes despite some failing when using backoffLimitPerIndex",
            ),
            per_index,
        ),
        pod_case(
            &title(
                "should mark indexes as failed when the FailIndex action is matched in podFailurePolicy",
            ),
            fail_index,
        ),
        pod_case(
            &title(
                "should terminate job execution when the number of failed indexes exceeds maxFailedIndexes",
            ),
            too_many,
        ),
        pod_case(
            &title("with successPolicy should succeeded when all indexes succeeded"),
            |test| succeeds(test, json!([{"succeededIndexes": "0-1"}]), 2, "0,1"),
        ),
        pod_case(
            &title(
                "with successPolicy succeededIndexes rule should succeeded even when some indexes remain pending",
            ),
            |test| succeeds(test, json!([{"succeededIndexes": "0"}]), 1, "0"),
        ),
        pod_case(
            &title(
                "with successPolicy succeededCount rule should succeeded even when some indexes remain pending",
            ),
            |test| succeeds(test, json!([{"succeededCount": 1}]), 1, "0"),
        ),
    ]
}

fn indexed(test: &Test, steps: &[&str], completions: u32, extra: Value) -> Value {
    let mut object = job(test, steps, extra);
    let spec = &mut object["spec"];
    spec["completionMode"] = "Indexed".into();
    spec["completions"] = completions.into();
    if spec["parallelism"].is_null() {
        spec["parallelism"] = completions.into();
    }
    object
}

fn index(pod: &Value) -> String {
    let annotation = &pod["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"];
    annotation.as_str().unwrap_or_default().to_owned()
}

async fn indexes(test: Test) -> Result<()> {
    test.of(&JOB).create(indexed(&test, &["env", "hostname"], 3, json!({}))).await?;
    let done = ends(&test, "Complete").await?;
    expect_eq("the completed indexes", &done["status"]["completedIndexes"], &json!("0-2"))?;
    let pods = test.pods().items("").await?;
    let mut found: Vec<String> = pods.iter().map(index).collect();
    found.sort();
    expect_eq("the pods' indexes", &json!(found), &json!(["0", "1", "2"]))?;
    for pod in &pods {
        let number = index(pod);
        let label = &pod["metadata"]["labels"]["batch.kubernetes.io/job-completion-index"];
        expect_eq("the label", label, &json!(number))?;
        let host = format!("job-{number}");
        expect_eq("the host name", &pod["spec"]["hostname"], &json!(host))?;
        anyhow::ensure!(
            name(pod).starts_with(&format!("{host}-")),
            "the pod is named {}",
            name(pod)
        );
        let log = test.log(name(pod), "").await?;
        expect_in("the environment", &log, &format!("JOB_COMPLETION_INDEX={number}\n"))?;
        expect_in("the host name inside", &log, &format!("{host}\n"))?;
    }
    Ok(())
}

/// Fails where the index is odd.
const ODD_FAILS: &[&str] = &["odd-fails"];

async fn per_index(test: Test) -> Result<()> {
    let extra = json!({"backoffLimitPerIndex": 1});
    test.of(&JOB).create(indexed(&test, ODD_FAILS, 4, extra)).await?;
    let failed = ends(&test, "Failed").await?;
    let status = &failed["status"];
    expect_eq("the reason", &condition(&failed, "Failed")["reason"], &json!("FailedIndexes"))?;
    expect_eq("the failed indexes", &status["failedIndexes"], &json!("1,3"))?;
    expect_eq("the completed indexes", &status["completedIndexes"], &json!("0,2"))?;
    // Each of the two was tried twice.
    expect_eq("the failures", &status["failed"], &json!(4))?;
    expect_eq("the successes", &status["succeeded"], &json!(2))
}

async fn fail_index(test: Test) -> Result<()> {
    let rule = json!({"action": "FailIndex", "onExitCodes": {"operator": "In", "values": [1]}});
    let extra = json!({"backoffLimitPerIndex": 5, "podFailurePolicy": {"rules": [rule]}});
    test.of(&JOB).create(indexed(&test, ODD_FAILS, 2, extra)).await?;
    let failed = ends(&test, "Failed").await?;
    expect_eq("the failed indexes", &failed["status"]["failedIndexes"], &json!("1"))?;
    expect_eq("the failures", &failed["status"]["failed"], &json!(1))?;
    expect_eq("the completed indexes", &failed["status"]["completedIndexes"], &json!("0"))
}

async fn too_many(test: Test) -> Result<()> {
    let extra = json!({"backoffLimitPerIndex": 0, "maxFailedIndexes": 0, "parallelism": 2});
    test.of(&JOB).create(indexed(&test, ODD_FAILS, 10, extra)).await?;
    let failed = ends(&test, "Failed").await?;
    let reason = &condition(&failed, "Failed")["reason"];
    expect_eq("the reason", reason, &json!("MaxFailedIndexesExceeded"))?;
    let succeeded = failed["status"]["succeeded"].as_u64().unwrap_or(0);
    anyhow::ensure!(succeeded < 5, "the job went on to the end: {}", failed["status"]);
    Ok(())
}

/// Index 0 succeeds at once; where not all have to, index 1 never ends.
async fn succeeds(test: Test, rules: Value, wanted: u64, indexes: &str) -> Result<()> {
    let steps: &[&str] = if wanted == 2 { &["print done"] } else { &["odd-holds"] };
    let extra = json!({"successPolicy": {"rules": rules}});
    test.of(&JOB).create(indexed(&test, steps, 2, extra)).await?;
    let met = ends(&test, "SuccessCriteriaMet").await?;
    let reason = &condition(&met, "SuccessCriteriaMet")["reason"];
    expect_eq("the reason", reason, &json!("SuccessPolicy"))?;
    let done = ends(&test, "Complete").await?;
    expect_eq("the reason", &condition(&done, "Complete")["reason"], &json!("SuccessPolicy"))?;
    let status = &done["status"];
    let completed = if indexes == "0,1" { json!("0,1") } else { json!(indexes) };
    expect_eq("the completed indexes", &status["completedIndexes"], &completed)?;
    let gone = |pods: &[&Value]| !pods.iter().any(|pod| pod["status"]["phase"] == "Running");
    test.pods().wait_all("", "no running pod", gone).await.map(drop)
}

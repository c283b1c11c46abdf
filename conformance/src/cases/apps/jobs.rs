//! Jobs.

use anyhow::Result;
use serde_json::{Value, json};

use crate::api::{JOB, Patch};
use crate::case::{Case, case, pod_case};
use crate::test::{Test, condition, expect_eq, is_ready, name};

pub(super) fn cases() -> Vec<Case> {
    let title = |rest: &str| format!("[sig-apps] Job {rest} [Conformance]");
    vec![
        pod_case(
            &title(
                "should run a job to completion when tasks sometimes fail and are locally restarted",
            ),
            local_restarts,
        ),
        pod_case(&title("should delete a job"), delete),
        pod_case(&title("should adopt matching orphans and release non-matching pods"), adoption),
        pod_case(&title("should apply changes to a job status"), status),
        pod_case(&title("should manage the lifecycle of a job"), lifecycle),
        pod_case(
            &title("should allow to use the pod failure policy on exit code to fail the job early"),
            fail_early,
        ),
        pod_case(
            &title(
                "should allow to use a pod failure policy to ignore failure matching on DisruptionTarget \
                 condition",
            ),
            ignore_disruption,
        ),
        pod_case("[sig-apps] Job should fail when exceeds active deadline", deadline),
        pod_case("[sig-apps] Job should fail to exceed backoffLimit", backoff_limit),
        case("[sig-apps] Job should not create pods when created in suspend state", suspended),
        pod_case(
            "[sig-apps] Job should delete finished jobs after their time to live",
            time_to_live,
        ),
    ]
}

/// A job of one container that does steps.
pub(super) fn job(test: &Test, steps: &[&str], extra: Value) -> Value {
    let mut spec = json!({"template": {"spec": {
        "restartPolicy": "Never", "terminationGracePeriodSeconds": 1,
        "containers": [test.container("c", steps)],
    }}});
    for (field, value) in extra.as_object().into_iter().flatten() {
        spec[field] = value.clone();
    }
    json!({"metadata": {"name": "job", "labels": {"job": "e2e"}}, "spec": spec})
}

/// Waits for a condition of the job to be true; gives the job.
pub(super) async fn ends(test: &Test, with: &str) -> Result<Value> {
    let expected = format!("to have the condition {with}");
    test.of(&JOB).wait("job", &expected, |job| condition(job, with)["status"] == "True").await
}

async fn local_restarts(test: Test) -> Result<()> {
    let mut object = job(&test, &["once /v/first 1"], json!({"parallelism": 2, "completions": 4}));
    let spec = &mut object["spec"]["template"]["spec"];
    spec["restartPolicy"] = "OnFailure".into();
    spec["volumes"] = json!([{"name": "v", "emptyDir": {}}]);
    spec["containers"][0]["volumeMounts"] = json!([{"name": "v", "mountPath": "/v"}]);
    test.of(&JOB).create(object).await?;
    let done = ends(&test, "Complete").await?;
    expect_eq("the successes", &done["status"]["succeeded"], &json!(4))?;
    let pods = test.pods().items("").await?;
    expect_eq("the pods", &json!(pods.len()), &json!(4))?;
    for pod in &pods {
        let restarts = &pod["status"]["containerStatuses"][0]["restartCount"];
        expect_eq("the restarts in place", restarts, &json!(1))?;
    }
    Ok(())
}

async fn running(test: &Test, count: usize) -> Result<Vec<Value>> {
    let expected = format!("{count} running pods");
    let met = |pods: &[&Value]| pods.len() == count && pods.iter().all(|pod| is_ready(pod));
    test.pods().wait_all("", &expected, met).await
}

async fn delete(test: Test) -> Result<()> {
    let object = job(&test, &["hold"], json!({"parallelism": 2, "completions": 4}));
    test.of(&JOB).create(object).await?;
    running(&test, 2).await?;
    test.of(&JOB).delete_with("job", json!({"propagationPolicy": "Background"})).await?;
    test.of(&JOB).wait_gone("job").await?;
    test.pods().wait_all("", "no pod", |pods| pods.is_empty()).await.map(drop)
}

async fn adoption(test: Test) -> Result<()> {
    let object = job(&test, &["hold"], json!({"parallelism": 2, "completions": 2}));
    let made = test.of(&JOB).create(object).await?;
    let pods = running(&test, 2).await?;
    let uid = &made["metadata"]["uid"];
    let pod = name(&pods[0]).to_owned();
    let mine = |pod: &Value| pod["metadata"]["ownerReferences"][0]["uid"] == *uid;
    test.pods().change(&pod, |pod| pod["metadata"]["ownerReferences"] = Value::Null).await?;
    test.pods().wait(&pod, "to be adopted again", mine).await?;
    let strip = |pod: &mut Value| pod["metadata"]["labels"] = json!({"none": "of-the-job"});
    test.pods().change(&pod, strip).await?;
    let free = |pod: &Value| pod["metadata"]["ownerReferences"].is_null();
    test.pods().wait(&pod, "to be released", free).await.map(drop)
}

async fn status(test: Test) -> Result<()> {
    test.of(&JOB).create(job(&test, &["hold"], json!({"parallelism": 1}))).await?;
    running(&test, 1).await?;
    let jobs = test.of(&JOB);
    let told =
        json!({"type": "CustomConditionType", "status": "True", "reason": "E2E", "message": "m"});
    let push = |job: &mut Value| {
        let mut list = job["status"]["conditions"].as_array().cloned().unwrap_or_default();
        list.push(told.clone());
        job["status"]["conditions"] = list.into();
    };
    jobs.change("job/status", push).await?;
    let read = jobs.get("job/status").await?;
    let found = condition(&read, "CustomConditionType");
    expect_eq("the condition", &found["reason"], &json!("E2E"))
}

async fn lifecycle(test: Test) -> Result<()> {
    let jobs = test.of(&JOB);
    let object =
        job(&test, &["hold"], json!({"suspend": true, "parallelism": 2, "completions": 2}));
    jobs.create(object).await?;
    ends(&test, "Suspended").await?;
    let body = json!({"metadata": {"labels": {"stage": "patched"}}, "spec": {"suspend": false}});
    jobs.patch("job", Patch::Merge, body).await?;
    running(&test, 2).await?;
    jobs.change("job", |job| job["metadata"]["annotations"]["updated"] = "yes".into()).await?;
    let read = jobs.get("job").await?;
    expect_eq("the annotation", &read["metadata"]["annotations"]["updated"], &json!("yes"))?;
    expect_eq("the active pods", &read["status"]["active"], &json!(2))?;
    let everywhere = test.cluster.all(&JOB).items("labelSelector=stage=patched").await?;
    let ours = everywhere.iter().filter(|j| j["metadata"]["namespace"] == *test.namespace).count();
    expect_eq("the jobs listed", &json!(ours), &json!(1))?;
    let mut other = job(&test, &["hold"], json!({"suspend": true}));
    other["metadata"]["name"] = "other".into();
    jobs.create(other).await?;
    jobs.delete_all("labelSelector=stage=patched").await?;
    jobs.wait_gone("job").await?;
    jobs.get("other").await.map(drop)
}

async fn fail_early(test: Test) -> Result<()> {
    let rule = json!({"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}});
    let extra = json!({"backoffLimit": 6, "podFailurePolicy": {"rules": [rule]}});
    test.of(&JOB).create(job(&test, &["exit 42"], extra)).await?;
    let failed = ends(&test, "Failed").await?;
    expect_eq("the reason", &condition(&failed, "Failed")["reason"], &json!("PodFailurePolicy"))?;
    expect_eq("the failures", &failed["status"]["failed"], &json!(1))
}

async fn ignore_disruption(test: Test) -> Result<()> {
    let rule = json!({"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]});
    let extra = json!({"backoffLimit": 0, "podFailurePolicy": {"rules": [rule]}});
    // The evicted pod fails; the next succeeds.
    let steps = ["ignore-term", "hold"];
    test.of(&JOB).create(job(&test, &steps, extra)).await?;
    let pods = running(&test, 1).await?;
    let evicted = name(&pods[0]).to_owned();
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction",
        "metadata": {"name": evicted, "namespace": test.namespace.as_ref()}});
    test.pods().post(&format!("{evicted}/eviction"), &eviction).await?;
    let another = |pods: &[&Value]| pods.iter().any(|pod| name(pod) != evicted && is_ready(pod));
    test.pods().wait_all("", "another pod in place of the evicted", another).await?;
    let job = test.of(&JOB).get("job").await?;
    expect_eq("the failure", &condition(&job, "Failed"), &Value::Null)?;
    let counted = job["status"]["failed"].as_u64().unwrap_or(0);
    expect_eq("the failures that count", &json!(counted), &json!(0))
}

async fn deadline(test: Test) -> Result<()> {
    test.of(&JOB).create(job(&test, &["hold"], json!({"activeDeadlineSeconds": 2}))).await?;
    let failed = ends(&test, "Failed").await?;
    expect_eq("the reason", &condition(&failed, "Failed")["reason"], &json!("DeadlineExceeded"))?;
    test.pods()
        .wait_all("", "no running pod", |pods| !pods.iter().any(|pod| is_ready(pod)))
        .await?;
    Ok(())
}

async fn backoff_limit(test: Test) -> Result<()> {
    test.of(&JOB).create(job(&test, &["exit 1"], json!({"backoffLimit": 1}))).await?;
    let failed = ends(&test, "Failed").await?;
    expect_eq(
        "the reason",
        &condition(&failed, "Failed")["reason"],
        &json!("BackoffLimitExceeded"),
    )?;
    expect_eq("the failures", &failed["status"]["failed"], &json!(2))
}

async fn suspended(test: Test) -> Result<()> {
    let mut object = job(&test, &["hold"], json!({"suspend": true}));
    object["spec"]["template"]["spec"]["schedulingGates"] = json!([{"name": "example.com/never"}]);
    test.of(&JOB).create(object).await?;
    ends(&test, "Suspended").await?;
    expect_eq("the pods while suspended", &json!(test.pods().items("").await?), &json!([]))?;
    test.of(&JOB).patch("job", Patch::Merge, json!({"spec": {"suspend": false}})).await?;
    test.pods().wait_all("", "a pod", |pods| pods.len() == 1).await?;
    test.of(&JOB).patch("job", Patch::Merge, json!({"spec": {"suspend": true}})).await?;
    test.pods().wait_all("", "no pod once suspended again", |pods| pods.is_empty()).await.map(drop)
}

async fn time_to_live(test: Test) -> Result<()> {
    let extra = json!({"ttlSecondsAfterFinished": 2});
    test.of(&JOB).create(job(&test, &["print done"], extra)).await?;
    test.of(&JOB).wait_gone("job").await?;
    test.pods().wait_all("", "no pod", |pods| pods.is_empty()).await?;
    // It was not gone at once, or it would not have been waited for: the pod did run.
    let events = test.of(&crate::api::CORE_EVENT);
    let ran = |events: &[&Value]| events.iter().any(|e| e["reason"] == "Completed");
    events.wait_all("", "the event Completed", ran).await.map(drop)
}

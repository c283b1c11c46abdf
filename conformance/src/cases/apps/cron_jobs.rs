//! Cron jobs. Their clock has minutes, so these cases are slow.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use crate::api::{CRON_JOB, JOB};
use crate::case::{Case, pod_case};
use crate::test::{Test, expect_eq, name};

pub(super) fn cases() -> Vec<Case> {
    let title = |rest: &str| format!("[sig-apps] CronJob {rest} [Conformance]");
    vec![
        pod_case(&title("should schedule multiple jobs concurrently"), concurrent),
        pod_case(&title("should not schedule jobs when suspended [Slow]"), suspended),
        pod_case(&title("should not schedule new jobs when ForbidConcurrent [Slow]"), forbid),
        pod_case(&title("should replace jobs when ReplaceConcurrent"), replace),
    ]
}

/// Every minute, a job that does not end.
async fn make(test: &Test, extra: Value) -> Result<()> {
    let pod = json!({"restartPolicy": "Never", "terminationGracePeriodSeconds": 1,
        "containers": [test.pause("c")]});
    let mut spec = json!({"schedule": "*/1 * * * *",
        "jobTemplate": {"spec": {"template": {"spec": pod}}}});
    for (field, value) in extra.as_object().into_iter().flatten() {
        spec[field] = value.clone();
    }
    test.of(&CRON_JOB).create(json!({"metadata": {"name": "cron"}, "spec": spec})).await.map(drop)
}

async fn jobs(
    test: &Test,
    expected: &str,
    met: impl Fn(&[&Value]) -> bool + Send,
) -> Result<Vec<Value>> {
    test.of(&JOB).wait_all("", expected, met).await
}

fn active(job: &Value) -> bool {
    job["status"]["active"] == 1 && job["metadata"]["deletionTimestamp"].is_null()
}

async fn concurrent(test: Test) -> Result<()> {
    make(&test, json!({"concurrencyPolicy": "Allow"})).await?;
    let two = jobs(&test, "two active jobs", |jobs| jobs.iter().filter(|j| active(j)).count() >= 2);
    let two = two.await?;
    let owner = &two[0]["metadata"]["ownerReferences"][0];
    expect_eq("the owner", &owner["name"], &json!("cron"))?;
    let listed =
        |cron: &Value| cron["status"]["active"].as_array().is_some_and(|list| list.len() >= 2);
    test.of(&CRON_JOB).wait("cron", "to list two active jobs", listed).await.map(drop)
}

async fn suspended(test: Test) -> Result<()> {
    make(&test, json!({"suspend": true})).await?;
    test.of(&JOB).stays("", Duration::from_secs(70), "no job", |jobs| jobs.is_empty()).await
}

async fn forbid(test: Test) -> Result<()> {
    make(&test, json!({"concurrencyPolicy": "Forbid"})).await?;
    let first = jobs(&test, "an active job", |jobs| jobs.iter().any(|j| active(j))).await?;
    let same = |jobs: &[&Value]| jobs.len() == 1 && name(jobs[0]) == name(&first[0]);
    test.of(&JOB).stays("", Duration::from_secs(65), "the first job alone", same).await
}

async fn replace(test: Test) -> Result<()> {
    make(&test, json!({"concurrencyPolicy": "Replace"})).await?;
    let first = jobs(&test, "an active job", |jobs| jobs.iter().any(|j| active(j))).await?;
    let other =
        |jobs: &[&Value]| jobs.len() == 1 && active(jobs[0]) && name(jobs[0]) != name(&first[0]);
    jobs(&test, "another active job in its place", other).await.map(drop)
}

//! CronJobs and what becomes of ended Jobs, against a real API server.

#![allow(clippy::unwrap_used)]

mod support;

use client::kube::ResourceExt;
use client::kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::Event;
use serde_json::{Value, json};
use support::Cluster;

fn cron(name: &str, image: &str, more: Value) -> Value {
    let mut spec = json!({"schedule": "0 0 1 1 *", "timeZone": "Asia/Tokyo", "jobTemplate": {
        "spec": {"template": {"spec": {
            "restartPolicy": "Never", "containers": [{"name": "c", "image": image}]}}}}});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": name}, "spec": spec})
}

/// Makes the latest start due, by a last one long ago.
async fn fall_due(cluster: &Cluster, name: &str) {
    let status = json!({"status": {"lastScheduleTime": "2020-06-01T00:00:00Z"}});
    let patch = Patch::Merge(status);
    let api = cluster.api::<CronJob>("default");
    api.patch_status(name, &PatchParams::default(), &patch).await.unwrap();
}

async fn seen(cluster: &Cluster, name: &str, reason: &str) {
    let has = |event: &Event| {
        event.involved_object.name.as_deref() == Some(name)
            && event.reason.as_deref() == Some(reason)
    };
    cluster.until::<Event>(reason, |events| events.iter().any(|event| has(event))).await;
}

fn is_of(job: &Job, cron: &str) -> bool {
    job.name_any().starts_with(&format!("{cron}-"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_makes_one_job_and_history_is_bounded() {
    let cluster = Cluster::start().await;
    let limits = json!({"successfulJobsHistoryLimit": 0});
    cluster.create::<CronJob>("default", cron("tick", "exit-0", limits)).await;
    fall_due(&cluster, "tick").await;
    for reason in ["SuccessfulCreate", "SuccessfulDelete"] {
        seen(&cluster, "tick", reason).await;
    }
    cluster.create::<CronJob>("default", cron("tock", "exit-0", json!({}))).await;
    fall_due(&cluster, "tock").await;
    seen(&cluster, "tock", "SawCompletedJob").await;
    cluster
        .until::<CronJob>("a success", |all| {
            all.iter().all(|cron| {
                let status = cron.status.clone().unwrap_or_default();
                status.last_successful_time.is_some()
                    && status.active.is_none_or(|active| active.is_empty())
            })
        })
        .await;
    let kept = |jobs: &[std::sync::Arc<Job>]| jobs.len() == 1 && is_of(&jobs[0], "tock");
    cluster.until::<Job>("the history", kept).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_decide_about_what_still_runs() {
    let cluster = Cluster::start().await;
    for policy in ["Forbid", "Replace", "Allow"] {
        let name = policy.to_lowercase();
        let more = json!({"concurrencyPolicy": policy});
        cluster.create::<CronJob>("default", cron(&name, "run", more)).await;
        fall_due(&cluster, &name).await;
    }
    let running = |cron: &CronJob| {
        let status = cron.status.clone().unwrap_or_default();
        status.active.unwrap_or_default().into_iter().filter_map(|job| job.uid).collect::<Vec<_>>()
    };
    let all = cluster
        .until::<CronJob>("three starts", |all| {
            all.len() == 3 && all.iter().all(|cron| running(cron).len() == 1)
        })
        .await;
    let first = all.iter().find(|cron| cron.name_any() == "replace").unwrap();
    let first = running(first);
    // A schedule with a later start than the one made.
    for policy in ["forbid", "replace"] {
        let due = json!({"spec": {"schedule": "0 0 2 1 *"}});
        cluster.merge::<CronJob>("default", policy, due).await;
        fall_due(&cluster, policy).await;
    }
    seen(&cluster, "forbid", "JobAlreadyActive").await;
    cluster
        .until::<CronJob>("a replacement", |all| {
            let cron = all.iter().find(|cron| cron.name_any() == "replace").unwrap();
            running(cron).len() == 1 && running(cron) != first
        })
        .await;

    // A Job that goes missing is removed from the list.
    let jobs = cluster.api::<Job>("default").list(&ListParams::default()).await.unwrap().items;
    let victim = jobs.iter().find(|job| is_of(job, "allow")).unwrap();
    let api = cluster.api::<Job>("default");
    api.delete(&victim.name_any(), &DeleteParams::background()).await.unwrap();
    seen(&cluster, "allow", "MissingJob").await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ended_jobs_go_after_their_time() {
    let cluster = Cluster::start().await;
    let job = |name: &str, ttl: i32| {
        json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name},
            "spec": {"ttlSecondsAfterFinished": ttl, "template": {"spec": {
                "restartPolicy": "Never", "containers": [{"name": "c", "image": "exit-0"}]}}}})
    };
    cluster.create::<Job>("default", job("stays", 3600)).await;
    cluster.create::<Job>("default", job("goes", 0)).await;
    seen(&cluster, "goes", "Completed").await;
    seen(&cluster, "stays", "Completed").await;
    cluster.until::<Job>("one Job", |jobs| jobs.len() == 1 && jobs[0].name_any() == "stays").await;
    cluster.stop().await;
}

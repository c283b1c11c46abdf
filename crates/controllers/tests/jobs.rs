//! Jobs from birth to death, against a real API server.

#![allow(clippy::unwrap_used)]

mod support;

use client::kube::ResourceExt;
use client::kube::api::{DeleteParams, ListParams};
use k8s_openapi::api::batch::v1::{Job, JobStatus};
use k8s_openapi::api::core::v1::{Event, Pod};
use serde_json::{Value, json};
use support::{Cluster, end};

fn job(name: &str, image: &str, more: Value) -> Value {
    let mut spec = json!({"template": {"spec": {
        "restartPolicy": "Never", "containers": [{"name": "c", "image": image}]}}});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec})
}

fn holding(status: &JobStatus) -> Vec<(&str, &str)> {
    let conditions = status.conditions.iter().flatten().filter(|c| c.status == "True");
    conditions.map(|c| (c.type_.as_str(), c.reason.as_deref().unwrap_or_default())).collect()
}

async fn status(cluster: &Cluster, name: &str, holds: impl Fn(&JobStatus) -> bool) -> JobStatus {
    let named = |all: &[std::sync::Arc<Job>]| {
        let found = all.iter().find(|job| job.name_any() == name);
        found.and_then(|job| job.status.clone())
    };
    let all = cluster
        .until::<Job>("the status", |all| named(all).is_some_and(|status| holds(&status)))
        .await;
    named(&all).unwrap()
}

async fn finished(cluster: &Cluster, name: &str) -> JobStatus {
    let is_end = |kind: &str| kind == "Complete" || kind == "Failed";
    status(cluster, name, |status| holding(status).iter().any(|(kind, _)| is_end(kind))).await
}

async fn pods_of(cluster: &Cluster, job: &str) -> Vec<Pod> {
    let mine = ListParams::default().labels(&format!("batch.kubernetes.io/job-name={job}"));
    cluster.api::<Pod>("default").list(&mine).await.unwrap().items
}

#[tokio::test(flavor = "multi_thread")]
async fn every_pod_counts_once() {
    let cluster = Cluster::start().await;
    let counts = json!({"completions": 9, "parallelism": 4});
    cluster.create::<Job>("default", job("good", "exit-0", counts)).await;
    let bad = json!({"backoffLimit": 1, "parallelism": 3, "completions": 3});
    cluster.create::<Job>("default", job("bad", "exit-1", bad)).await;

    let good = finished(&cluster, "good").await;
    let reached = "CompletionsReached";
    assert_eq!(holding(&good), [("SuccessCriteriaMet", reached), ("Complete", reached)]);
    assert_eq!((good.succeeded, good.failed, good.active), (Some(9), None, None));
    assert!(good.completion_time.is_some() && good.start_time.is_some());
    let pods = pods_of(&cluster, "good").await;
    assert_eq!(pods.len(), 9, "no more pods than completions");
    assert!(pods.iter().all(|pod| pod.finalizers().is_empty()));

    let bad = finished(&cluster, "bad").await;
    let exceeded = "BackoffLimitExceeded";
    assert_eq!(holding(&bad), [("FailureTarget", exceeded), ("Failed", exceeded)]);
    assert_eq!((bad.succeeded, bad.failed), (None, Some(3)));
    // One that still ran when the Job failed is gone.
    assert!((1..=3).contains(&pods_of(&cluster, "bad").await.len()));

    for line in [
        r#"job_controller_jobs_finished_total{completion_mode="NonIndexed",reason="CompletionsReached",result="succeeded"} 1"#,
        r#"job_controller_jobs_finished_total{completion_mode="NonIndexed",reason="BackoffLimitExceeded",result="failed"} 1"#,
        r#"job_controller_job_pods_finished_total{completion_mode="NonIndexed",result="succeeded"} 9"#,
        r#"job_controller_job_pods_finished_total{completion_mode="NonIndexed",result="failed"} 3"#,
        r#"running_managed_controllers{manager="kube-controller-manager",name="job-controller"} 1"#,
        r#"workqueue_depth{name="job"} 0"#,
        "# TYPE job_controller_job_sync_duration_seconds histogram",
    ] {
        cluster.told(line).await;
    }

    cluster
        .until::<Event>("the events", |events| {
            let has = |name: &str, reason: &str| {
                events.iter().any(|event| {
                    event.involved_object.name.as_deref() == Some(name)
                        && event.reason.as_deref() == Some(reason)
                })
            };
            has("good", "SuccessfulCreate") && has("good", "Completed") && has("bad", exceeded)
        })
        .await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn indexes_suspension_and_policies() {
    let cluster = Cluster::start().await;
    let spec = json!({"completionMode": "Indexed", "completions": 4, "parallelism": 4,
        "backoffLimitPerIndex": 0, "suspend": true,
        "podFailurePolicy": {"rules": [
            {"action": "FailIndex", "onExitCodes": {"operator": "In", "values": [42]}}]}});
    cluster.create::<Job>("default", job("pi", "run", spec)).await;
    status(&cluster, "pi", |s| holding(s) == [("Suspended", "JobSuspended")]).await;
    assert!(pods_of(&cluster, "pi").await.is_empty());

    let suspend = |yes: bool| json!({"spec": {"suspend": yes}});
    cluster.merge::<Job>("default", "pi", suspend(false)).await;
    let running = status(&cluster, "pi", |s| s.ready == Some(4) && holding(s).is_empty()).await;
    assert_eq!(running.active, Some(4));
    cluster.merge::<Job>("default", "pi", suspend(true)).await;
    status(&cluster, "pi", |s| s.active.is_none() && s.terminating == Some(0)).await;
    cluster.merge::<Job>("default", "pi", suspend(false)).await;
    status(&cluster, "pi", |s| s.ready == Some(4)).await;

    let mut pods = pods_of(&cluster, "pi").await;
    pods.retain(|pod| pod.metadata.deletion_timestamp.is_none());
    let hostname = |pod: &Pod| pod.spec.as_ref().unwrap().hostname.clone().unwrap();
    pods.sort_by_key(hostname);
    let names: Vec<String> = pods.iter().map(hostname).collect();
    assert_eq!(names, ["pi-0", "pi-1", "pi-2", "pi-3"]);
    end(&cluster, &pods[0], "Succeeded", 0).await;
    end(&cluster, &pods[1], "Succeeded", 0).await;
    let part = status(&cluster, "pi", |s| s.succeeded == Some(2)).await;
    assert_eq!(part.completed_indexes.as_deref(), Some("0,1"));
    end(&cluster, &pods[2], "Failed", 42).await;
    let part = status(&cluster, "pi", |s| s.failed == Some(1)).await;
    assert_eq!(part.failed_indexes.as_deref(), Some("2"));
    end(&cluster, &pods[3], "Succeeded", 0).await;
    let done = finished(&cluster, "pi").await;
    assert_eq!(holding(&done).last(), Some(&("Failed", "FailedIndexes")));
    assert_eq!(done.completed_indexes.as_deref(), Some("0,1,3"));
    assert_eq!((done.succeeded, done.failed), (Some(3), Some(1)));

    // One success is enough here; the others are stopped.
    let spec = json!({"completionMode": "Indexed", "completions": 3, "parallelism": 3,
        "successPolicy": {"rules": [{"succeededIndexes": "1"}]}});
    cluster.create::<Job>("default", job("race", "run", spec)).await;
    status(&cluster, "race", |s| s.ready == Some(3)).await;
    let winner = pods_of(&cluster, "race").await;
    let winner = winner.iter().find(|pod| hostname(pod) == "race-1").unwrap();
    end(&cluster, winner, "Succeeded", 0).await;
    let done = finished(&cluster, "race").await;
    assert_eq!(holding(&done).last(), Some(&("Complete", "SuccessPolicy")));
    assert_eq!((done.succeeded, done.active), (Some(1), None));
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ends_by_deadline_and_by_deletion() {
    let cluster = Cluster::start().await;
    let late = json!({"activeDeadlineSeconds": 1});
    cluster.create::<Job>("default", job("late", "run", late)).await;
    let done = finished(&cluster, "late").await;
    assert_eq!(holding(&done).last(), Some(&("Failed", "DeadlineExceeded")));
    assert_eq!((done.failed, done.active), (Some(1), None));

    let foreign = json!({"managedBy": "example.com/other"});
    cluster.create::<Job>("default", job("foreign", "run", foreign)).await;
    cluster.create::<Job>("default", job("gone", "run", json!({"parallelism": 2}))).await;
    status(&cluster, "gone", |s| s.ready == Some(2)).await;
    let background = DeleteParams::background();
    cluster.api::<Job>("default").delete("gone", &background).await.unwrap();
    cluster
        .until::<Pod>("no pods of the Job", |pods| {
            pods.iter().all(|pod| !pod.name_any().starts_with("gone"))
        })
        .await;
    assert!(pods_of(&cluster, "foreign").await.is_empty());
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn orphans_are_adopted_and_strangers_released() {
    let cluster = Cluster::start().await;
    let labels = json!({"team": "a"});
    let orphan = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "orphan", "labels": labels},
        "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "run"}]}});
    cluster.create::<Pod>("default", orphan).await;
    let mut spec = json!({"manualSelector": true, "selector": {"matchLabels": labels},
        "parallelism": 1, "completions": 1});
    spec["template"] = json!({"metadata": {"labels": labels}, "spec": {
        "restartPolicy": "Never", "containers": [{"name": "c", "image": "run"}]}});
    cluster.create::<Job>("default", job("keeper", "run", spec)).await;
    let held = |pod: &Pod| !pod.finalizers().is_empty() && !pod.owner_references().is_empty();
    cluster
        .until::<Pod>("an adoption", |pods| pods.len() == 1 && pods.iter().all(|pod| held(pod)))
        .await;
    let change = json!({"metadata": {"labels": {"team": "b"}}});
    cluster.merge::<Pod>("default", "orphan", change).await;
    cluster
        .until::<Pod>("a release and a replacement", |pods| {
            pods.len() == 2 && pods.iter().all(|pod| held(pod) != (pod.name_any() == "orphan"))
        })
        .await;
    let free = cluster.api::<Pod>("default").get("orphan").await.unwrap();
    assert!(free.owner_references().is_empty() && free.finalizers().is_empty());
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_pod_is_lost_or_counted_twice_in_crashes() {
    let mut cluster = Cluster::start().await;
    let many = json!({"completions": 120, "parallelism": 15});
    cluster.create::<Job>("default", job("many", "exit-0", many)).await;
    let indexed = json!({"completions": 60, "parallelism": 10, "completionMode": "Indexed"});
    cluster.create::<Job>("default", job("indexed", "exit-0", indexed)).await;
    for round in 1..=6 {
        status(&cluster, "many", |s| s.succeeded.unwrap_or(0) >= round * 15).await;
        cluster.crash_controllers().await;
    }
    for (name, wanted) in [("many", 120), ("indexed", 60)] {
        let done = finished(&cluster, name).await;
        assert_eq!(holding(&done).last(), Some(&("Complete", "CompletionsReached")));
        assert_eq!(done.failed, None, "{name}");
        let ended =
            |pod: &Pod| pod.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Succeeded");
        let pods = pods_of(&cluster, name).await;
        let pods = i32::try_from(pods.iter().filter(|pod| ended(pod)).count()).unwrap();
        // A request that outlives its controller may make one pod more; it counts all the same.
        let counted = if name == "many" { done.succeeded.unwrap() } else { pods };
        assert!(pods >= wanted && counted == pods, "{name}: {counted} of {pods}");
    }
    let indexed = status(&cluster, "indexed", |_| true).await;
    assert_eq!(indexed.completed_indexes.as_deref(), Some("0-59"));
    assert_eq!(indexed.succeeded, Some(60));
    cluster.stop().await;
}

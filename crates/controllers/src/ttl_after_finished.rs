//! Deletes Jobs some time after they have ended, if they ask for it.
//!
//! <https://kubernetes.io/docs/concepts/workloads/controllers/ttlafterfinished/>

use std::time::Duration;

use client::ObjectKey;
use client::helpers::is_not_found;
use client::informer::Informer;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::jiff::Timestamp;
use kube::api::{DeleteParams, Preconditions};

use crate::common::meta;
use crate::job::conditions::finished_as;
use crate::{Context, Outcome};

const WORKERS: usize = 5;

pub(crate) async fn run(context: Context) {
    let jobs: Informer<Job> = context.informers.informer();
    jobs.wait_synced().await;
    let queue = context.queue("ttl_jobs_to_delete");
    let adder = queue.clone();
    context.subscribe(&jobs, move |event| {
        let job = event.object();
        if left(job, Timestamp::now()).is_some() {
            adder.add(ObjectKey::of(&**job));
        }
    });
    let (store, inner) = (jobs.store().clone(), context.clone());
    let work = move |key: ObjectKey| {
        let (store, context) = (store.clone(), inner.clone());
        async move {
            let Some(job) = store.get(&key) else { return Ok(None) };
            match left(&job, Timestamp::now()) {
                Some(Duration::ZERO) => delete(&context, &key).await,
                wait => Ok(wait),
            }
        }
    };
    context.work(&queue, WORKERS, work).await;
}

/// How long the Job is still to be kept; `None` if it has not ended or is to stay.
fn left(job: &Job, now: Timestamp) -> Option<Duration> {
    let seconds = job.spec.as_ref()?.ttl_seconds_after_finished?;
    if meta::deleting(job) {
        return None;
    }
    let ended = finished_as(job)?.last_transition_time.as_ref()?;
    let keep = Duration::from_secs(seconds.unsigned_abs().into());
    Some(meta::remaining(ended, keep, now).unwrap_or(Duration::ZERO))
}

async fn delete(context: &Context, key: &ObjectKey) -> Outcome {
    let api = context.api::<Job>(&key.namespace);
    // Somebody may have prolonged its life without our knowing yet.
    let Some(fresh) = api.get_opt(&key.name).await? else { return Ok(None) };
    match left(&fresh, Timestamp::now()) {
        Some(Duration::ZERO) => {}
        wait => return Ok(wait),
    }
    let same = Preconditions { uid: fresh.metadata.uid.clone(), resource_version: None };
    let params = DeleteParams { preconditions: Some(same), ..DeleteParams::foreground() };
    match api.delete(&key.name, &params).await {
        Err(error) if !is_not_found(&error) => Err(error.into()),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn time_runs_from_the_end() {
        let ended = |kind: &str| json!([{"type": kind, "status": "True", "lastTransitionTime": "2024-01-01T00:00:00Z"}]);
        let now = "2024-01-01T00:00:30Z".parse().unwrap();
        for (ttl, conditions, expected) in [
            (json!(100), ended("Complete"), Some(70)),
            (json!(100), ended("Failed"), Some(70)),
            (json!(10), ended("Failed"), Some(0)),
            (json!(0), ended("Complete"), Some(0)),
            (json!(10), ended("Suspended"), None),
            (Value::Null, ended("Complete"), None),
        ] {
            let job: Job = serde_json::from_value(json!({
                "spec": {"template": {}, "ttlSecondsAfterFinished": ttl},
                "status": {"conditions": conditions},
            }))
            .unwrap();
            assert_eq!(left(&job, now).map(|left| left.as_secs()), expected, "{conditions}");
        }
    }
}

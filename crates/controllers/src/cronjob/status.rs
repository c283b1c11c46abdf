//! Which Jobs run, which have ended, and which of those are kept.

use std::sync::Arc;

use client::EventType::{Normal, Warning};
use k8s_openapi::api::batch::v1::{CronJob, CronJobStatus, Job};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::api::DeleteParams;

use super::Controller;
use crate::Error;
use crate::common::meta;
use crate::context::message;
use crate::job::conditions::{finished, finished_as};

/// The Jobs noted as running.
pub(super) fn active(cron: &CronJob) -> &[ObjectReference] {
    cron.status.as_ref().and_then(|status| status.active.as_deref()).unwrap_or_default()
}

/// Returns true if the status lists a Job as active.
pub(super) fn lists(cron: &CronJob, uid: &str) -> bool {
    active(cron).iter().any(|job| job.uid.as_deref() == Some(uid))
}

fn strike(cron: &mut CronJob, uid: &str) {
    if let Some(active) = cron.status.as_mut().and_then(|status| status.active.as_mut()) {
        active.retain(|job| job.uid.as_deref() != Some(uid));
    }
}

fn ended_as(job: &Job) -> Option<&str> {
    finished_as(job).map(|condition| condition.type_.as_str())
}

/// The Jobs beyond the limits of the history, oldest first.
fn excess(cron: &CronJob, jobs: &[Arc<Job>]) -> Vec<Arc<Job>> {
    let spec = &cron.spec;
    let mut found = Vec::new();
    for (kind, limit) in [
        ("Complete", spec.successful_jobs_history_limit),
        ("Failed", spec.failed_jobs_history_limit),
    ] {
        let Some(limit) = limit else { continue };
        let ended = jobs.iter().filter(|job| ended_as(job) == Some(kind));
        let mut ended: Vec<_> = ended.cloned().collect();
        let too_many = ended.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
        ended.sort_by_key(|job| {
            let start = job.status.as_ref().and_then(|status| status.start_time.clone());
            (start.is_none(), start.map(|time| time.0), meta::name(&**job).to_owned())
        });
        found.extend(ended.into_iter().take(too_many));
    }
    found
}

/// The later of the completion noted and this Job's.
fn note_success(status: &mut CronJobStatus, job: &Job) -> bool {
    let completed = job.status.as_ref().and_then(|status| status.completion_time.clone());
    let newer = match (&status.last_successful_time, &completed) {
        (Some(known), Some(completed)) => completed.0 > known.0,
        (None, Some(_)) => true,
        (_, None) => false,
    };
    if newer {
        status.last_successful_time = completed;
    }
    newer
}

impl Controller {
    /// Deletes Jobs that are not to be kept; says whether the status has changed.
    pub(super) async fn clean_up(&self, cron: &mut CronJob, jobs: &[Arc<Job>]) -> bool {
        let mut changed = false;
        for job in excess(cron, jobs) {
            if !meta::deleting(&*job) {
                changed |= self.delete(cron, &job).await;
            }
        }
        changed
    }

    /// Deletes a Job with its pods; says whether that went well.
    pub(super) async fn delete(&self, cron: &mut CronJob, job: &Job) -> bool {
        let api = self.context.api::<Job>(meta::namespace(job));
        if let Err(error) = api.delete(meta::name(job), &DeleteParams::background()).await {
            let text = format!("Deleted job: {}", message(&error));
            self.context.events.event(cron, Warning, "FailedDelete", text);
            return false;
        }
        strike(cron, meta::uid(job));
        let text = format!("Deleted job {}", meta::name(job));
        self.context.events.event(cron, Normal, "SuccessfulDelete", text);
        true
    }

    /// Strikes from the list of running Jobs what has ended or vanished; says whether the status
    /// has changed.
    pub(super) async fn review(
        &self,
        cron: &mut CronJob,
        jobs: &[Arc<Job>],
    ) -> Result<bool, Error> {
        let events = &self.context.events;
        let mut changed = false;
        for job in jobs {
            let listed = lists(cron, meta::uid(&**job));
            let Some(end) = ended_as(job) else {
                if !listed && !meta::deleting(&**job) {
                    let name = meta::name(&**job);
                    let text =
                        format!("Saw a job that the controller did not create or forgot: {name}");
                    events.event(cron, Warning, "UnexpectedJob", text);
                }
                continue;
            };
            if listed {
                let text = format!("Saw completed job: {}, condition: {end}", meta::name(&**job));
                strike(cron, meta::uid(&**job));
                events.event(cron, Normal, "SawCompletedJob", text);
                changed = true;
            }
            if end == "Complete" {
                changed |= note_success(cron.status.get_or_insert_default(), job);
            }
        }
        let known = |uid: Option<&str>| jobs.iter().any(|job| uid == Some(meta::uid(&**job)));
        let missing = active(cron).iter().filter(|job| !known(job.uid.as_deref()));
        for job in missing.cloned().collect::<Vec<_>>() {
            let (name, uid) = (job.name.unwrap_or_default(), job.uid.unwrap_or_default());
            let api = self.context.api::<Job>(meta::namespace(cron));
            // The cache may lag behind the Job we have just made.
            let live = api.get_opt(&name).await?;
            if live.is_none_or(|live| meta::uid(&live) != uid) {
                let text = format!("Active job went missing: {name}");
                events.event(cron, Normal, "MissingJob", text);
                strike(cron, &uid);
                changed = true;
            }
        }
        Ok(changed)
    }
}

/// Returns true if a change of a Job matters to its CronJob.
pub(super) fn matters(old: &Job, new: &Job) -> bool {
    finished(old) != finished(new) || meta::deleting(old) != meta::deleting(new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_oldest_go_first() {
        let job = |name: &str, kind: &str, start: Option<&str>| -> Arc<Job> {
            Arc::new(
                serde_json::from_value(json!({
                    "metadata": {"name": name},
                    "status": {"conditions": [{"type": kind, "status": "True"}],
                        "startTime": start.map(|day| format!("2024-01-{day}T00:00:00Z"))},
                }))
                .unwrap(),
            )
        };
        let jobs = [
            job("new", "Complete", Some("03")),
            job("old", "Complete", Some("01")),
            job("never", "Complete", None),
            job("bad", "Failed", Some("02")),
            job("runs", "Suspended", Some("01")),
        ];
        for (succeeded, failed, expected) in [
            (Some(3), Some(1), vec![]),
            (Some(1), Some(0), vec!["old", "new", "bad"]),
            (None, Some(1), vec![]),
            (Some(0), None, vec!["old", "new", "never"]),
        ] {
            let cron = serde_json::from_value(json!({"spec": {
                "schedule": "", "jobTemplate": {}, "successfulJobsHistoryLimit": succeeded,
                "failedJobsHistoryLimit": failed}}))
            .unwrap();
            let found = excess(&cron, &jobs);
            let names: Vec<&str> = found.iter().map(|job| meta::name(&**job)).collect();
            assert_eq!(names, expected);
        }
    }
}

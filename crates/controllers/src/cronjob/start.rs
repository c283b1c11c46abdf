//! Making the Job of a start.

use client::EventType::{Normal, Warning};
use client::helpers::{controller_of, is_already_exists, owner_ref};
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{ObjectMeta, PostParams};

use super::{Controller, status};
use crate::Error;
use crate::common::{meta, pod_control};
use crate::context::message;

const SCHEDULED: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";

/// The name of the Job of a start: the minute makes sure that a start happens once.
pub(super) fn job_name(cron: &CronJob, at: Timestamp) -> String {
    format!("{}-{}", meta::name(cron), at.as_second() / 60)
}

/// The Job of a start.
fn job(cron: &CronJob, at: Timestamp) -> Result<Job, Error> {
    let spec = cron.spec.clone();
    let zone = rules::cron::zone(spec.time_zone.as_deref().unwrap_or_default());
    let local = at.to_zoned(zone.map_err(|error| Error::other(error.to_string()))?);
    let text = if local.offset().is_zero() {
        local.strftime("%Y-%m-%dT%H:%M:%SZ")
    } else {
        local.strftime("%Y-%m-%dT%H:%M:%S%:z")
    };
    let from = spec.job_template.metadata.unwrap_or_default();
    let mut annotations = from.annotations.unwrap_or_default();
    annotations.insert(SCHEDULED.into(), text.to_string());
    let metadata = ObjectMeta {
        name: Some(job_name(cron, at)),
        namespace: cron.metadata.namespace.clone(),
        labels: from.labels,
        annotations: Some(annotations),
        owner_references: Some(vec![owner_ref(cron)]),
        ..ObjectMeta::default()
    };
    Ok(Job { metadata, spec: spec.job_template.spec, status: None })
}

impl Controller {
    /// Makes the Job of a start and notes it in the status of `cron`; says whether that has
    /// changed.
    pub(super) async fn start(&self, cron: &mut CronJob, at: Timestamp) -> Result<bool, Error> {
        let wanted = job(cron, at)?;
        let api = self.context.api::<Job>(meta::namespace(cron));
        let made = match api.create(&PostParams::default(), &wanted).await {
            Ok(made) => {
                if let Some(created) = &made.metadata.creation_timestamp {
                    let skew = created.0.duration_since(at).as_secs_f64();
                    self.context.metrics().cron_skew.observe(skew);
                }
                let text = format!("Created job {}", meta::name(&made));
                self.context.events.event(cron, Normal, "SuccessfulCreate", text);
                made
            }
            Err(error) if is_already_exists(&error) => {
                // Ours, if we were interrupted before the status was written.
                let present = api.get(meta::name(&wanted)).await?;
                let ours = controller_of(&present).is_some_and(|o| o.uid == meta::uid(cron));
                if !ours || status::lists(cron, meta::uid(&present)) {
                    return Ok(false);
                }
                present
            }
            Err(error) => {
                if !pod_control::is_namespace_terminating(&error) {
                    let text = format!("Error creating job: {}", message(&error));
                    self.context.events.event(cron, Warning, "FailedCreate", text);
                }
                return Err(error.into());
            }
        };
        let status = cron.status.get_or_insert_default();
        status.active.get_or_insert_default().push(reference(&made));
        status.last_schedule_time = Some(Time(at));
        Ok(true)
    }
}

fn reference(job: &Job) -> ObjectReference {
    ObjectReference {
        api_version: Some("batch/v1".into()),
        kind: Some("Job".into()),
        name: job.metadata.name.clone(),
        namespace: job.metadata.namespace.clone(),
        uid: job.metadata.uid.clone(),
        resource_version: job.metadata.resource_version.clone(),
        field_path: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_job_carries_its_start() {
        for (zone, text) in [
            (json!(null), "2024-01-01T00:30:00Z"),
            (json!("Asia/Tokyo"), "2024-01-01T09:30:00+09:00"),
        ] {
            let cron: CronJob = serde_json::from_value(json!({
                "metadata": {"name": "tick", "namespace": "ns", "uid": "u"},
                "spec": {"schedule": "* * * * *", "timeZone": zone, "jobTemplate": {
                    "metadata": {"labels": {"a": "b"}, "annotations": {"c": "d"}},
                    "spec": {"template": {}, "parallelism": 3}}},
            }))
            .unwrap();
            let job = job(&cron, "2024-01-01T00:30:00Z".parse().unwrap()).unwrap();
            assert_eq!(meta::name(&job), "tick-28401150");
            assert_eq!(meta::annotation(&job, SCHEDULED), Some(text));
            assert_eq!(meta::annotation(&job, "c"), Some("d"));
            assert_eq!(meta::label(&job, "a"), Some("b"));
            assert_eq!(job.spec.unwrap().parallelism, Some(3));
        }
    }
}

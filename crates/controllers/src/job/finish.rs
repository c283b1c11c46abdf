//! The end of a Job, and its reason.

use k8s_openapi::api::batch::v1::{JobCondition, JobSpec};
use k8s_openapi::api::core::v1::Pod;
use std::sync::Arc;
use std::time::Duration;

use super::conditions::{FAILED, FAILURE_TARGET, SUCCESS_CRITERIA_MET, holding, holds};
use super::failure_policy::{self, Verdict};
use super::success_policy;
use super::sync::{SyncContext, failed, suspended};
use crate::common::{meta, pod};

/// The condition that ends the Job: what was decided before stands, then failures, then the
/// success policy.
pub(super) fn judge(sync: &SyncContext) -> Option<JobCondition> {
    let (spec, now) = (&sync.spec, &sync.now);
    let status = sync.status();
    if let Some(met) = holding(&status, SUCCESS_CRITERIA_MET) {
        return Some(met.clone());
    }
    if let Some(target) = holding(&status, FAILURE_TARGET) {
        let (reason, message) = (target.reason.clone(), target.message.clone());
        let said = (reason.unwrap_or_default(), message.unwrap_or_default());
        return Some(holds(FAILED, said.0, said.1, now));
    }
    if let Some((reason, message)) = failure(sync) {
        return Some(holds(FAILURE_TARGET, reason, message, now));
    }
    let (indexes, completions) = (sync.indexes.as_ref()?, sync.indexes_wanted()?);
    let policy = spec.success_policy.as_ref();
    let message = success_policy::met(policy, completions, &indexes.succeeded)?;
    Some(holds(SUCCESS_CRITERIA_MET, "SuccessPolicy", message, now))
}

fn failure(sync: &SyncContext) -> Option<(&'static str, String)> {
    let spec = &sync.spec;
    if let Some(message) = fails_job(spec, &sync.pods) {
        return Some(("PodFailurePolicy", message));
    }
    let limit = spec.backoff_limit.unwrap_or(6);
    if sync.failed > limit || restarted_too_often(spec, &sync.pods) {
        let text = "Job has reached the specified backoff limit";
        return Some(("BackoffLimitExceeded", text.into()));
    }
    if deadline(sync) == Some(None) {
        let text = "Job was active longer than specified deadline";
        return Some(("DeadlineExceeded", text.into()));
    }
    let (indexes, completions) = (sync.indexes.as_ref()?, sync.indexes_wanted()?);
    let (failed, succeeded) = (indexes.failed_total(), indexes.succeeded.total());
    if spec.max_failed_indexes.is_some_and(|most| indexes.failed.is_some() && failed > most) {
        let text = "Job has exceeded the specified maximal number of failed indexes";
        return Some(("MaxFailedIndexesExceeded", text.into()));
    }
    if failed > 0 && failed + succeeded >= completions {
        return Some(("FailedIndexes", "Job has failed indexes".into()));
    }
    None
}

fn fails_job(spec: &JobSpec, pods: &[Arc<Pod>]) -> Option<String> {
    let policy = spec.pod_failure_policy.as_ref()?;
    let mut failed = pods.iter().filter(|pod| failed(spec, pod));
    failed.find_map(|pod| match failure_policy::judge(Some(policy), pod) {
        Verdict::FailJob(message) => Some(message),
        _ => None,
    })
}

/// Containers that restart in place count as failures, too.
fn restarted_too_often(spec: &JobSpec, pods: &[Arc<Pod>]) -> bool {
    let template = spec.template.spec.as_ref();
    if template.and_then(|spec| spec.restart_policy.as_deref()) != Some("OnFailure") {
        return false;
    }
    let living = pods.iter().filter(|pod| matches!(pod::phase(pod), "Running" | "Pending"));
    let statuses = living.filter_map(|pod| pod.status.as_ref()).flat_map(|status| {
        let init = status.init_container_statuses.iter().flatten();
        init.chain(status.container_statuses.iter().flatten())
    });
    let restarts: i32 = statuses.map(|status| status.restart_count).sum();
    let limit = spec.backoff_limit.unwrap_or(6);
    if limit == 0 { restarts > 0 } else { restarts >= limit }
}

/// The time until the Job's deadline, if it has one: `Some(None)` when that has passed.
pub(super) fn deadline(sync: &SyncContext) -> Option<Option<Duration>> {
    let seconds = sync.spec.active_deadline_seconds?;
    if suspended(&sync.spec) {
        return None;
    }
    let start = sync.status().start_time?;
    let allowed = Duration::from_secs(seconds.unsigned_abs());
    Some(meta::remaining(&start, allowed, sync.now.0))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Made, job};
    use super::*;
    use serde_json::{Value, json};
    use std::collections::HashSet;

    fn verdict(spec: Value, status: Value, pods: Vec<Made>) -> Option<(String, String)> {
        let mut job = job(spec);
        let mut all = serde_json::to_value(job.status.take()).unwrap();
        all.as_object_mut().unwrap().extend(status.as_object().unwrap().clone());
        job.status = serde_json::from_value(all).unwrap();
        let pods = pods.into_iter().map(|made| Arc::new(made.pod())).collect();
        let now = "2024-01-01T00:01:40Z".parse().unwrap();
        let now = k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(now);
        let sync = SyncContext::new(job, pods, HashSet::new(), Default::default(), now);
        sync.finish.map(|condition| (condition.type_, condition.reason.unwrap()))
    }

    #[test]
    fn criteria_are_weighed_in_order() {
        let failed = |n: usize| (0..n).map(|i| Made::new(&i.to_string()).phase("Failed").held());
        let policy = json!({"rules": [
            {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}},
            {"action": "Ignore", "onExitCodes": {"operator": "In", "values": [7]}}]});
        let holding = |kind: &str| {
            json!({"conditions": [
            {"type": kind, "status": "True", "reason": "R", "message": "m"}]})
        };
        let on_failure = json!({"spec": {"restartPolicy": "OnFailure",
            "containers": [{"name": "c"}]}});
        let indexed = |more: Value| {
            let mut spec = json!({"completionMode": "Indexed", "completions": 4,
                "backoffLimitPerIndex": 0, "backoffLimit": 100});
            spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            spec
        };
        let none = || json!({});
        type Case = (Value, Value, Vec<Made>, Option<(&'static str, &'static str)>);
        let table: Vec<Case> = vec![
            (json!({"backoffLimit": 2}), none(), failed(2).collect(), None),
            (
                json!({"backoffLimit": 2}),
                none(),
                failed(3).collect(),
                Some((FAILURE_TARGET, "BackoffLimitExceeded")),
            ),
            (json!({"backoffLimit": 0}), holding(FAILURE_TARGET), vec![], Some((FAILED, "R"))),
            (
                json!({"backoffLimit": 0}),
                holding(SUCCESS_CRITERIA_MET),
                failed(1).collect(),
                Some((SUCCESS_CRITERIA_MET, "R")),
            ),
            (
                json!({"podFailurePolicy": policy, "backoffLimit": 0}),
                none(),
                vec![Made::new("a").phase("Failed").held().exit(42)],
                Some((FAILURE_TARGET, "PodFailurePolicy")),
            ),
            (
                json!({"podFailurePolicy": policy, "backoffLimit": 0}),
                none(),
                vec![Made::new("a").phase("Failed").held().exit(7)],
                None,
            ),
            (
                json!({"activeDeadlineSeconds": 100}),
                none(),
                vec![],
                Some((FAILURE_TARGET, "DeadlineExceeded")),
            ),
            (json!({"activeDeadlineSeconds": 101}), none(), vec![], None),
            (json!({"activeDeadlineSeconds": 1, "suspend": true}), none(), vec![], None),
            (
                json!({"template": on_failure, "backoffLimit": 3}),
                none(),
                vec![Made::new("a").restarts(2), Made::new("b").restarts(1)],
                Some((FAILURE_TARGET, "BackoffLimitExceeded")),
            ),
            (
                json!({"template": on_failure, "backoffLimit": 0}),
                none(),
                vec![Made::new("a").restarts(0)],
                None,
            ),
            (
                indexed(json!({})),
                json!({"completedIndexes": "0-2"}),
                vec![Made::new("a").index(3).phase("Failed").held()],
                Some((FAILURE_TARGET, "FailedIndexes")),
            ),
            (
                indexed(json!({"maxFailedIndexes": 1})),
                json!({"failedIndexes": "0"}),
                vec![Made::new("a").index(3).phase("Failed").held()],
                Some((FAILURE_TARGET, "MaxFailedIndexesExceeded")),
            ),
            (
                indexed(json!({"successPolicy": {"rules": [{"succeededCount": 1}]}})),
                none(),
                vec![Made::new("a").index(3).phase("Succeeded").held()],
                Some((SUCCESS_CRITERIA_MET, "SuccessPolicy")),
            ),
        ];
        for (spec, status, pods, expected) in table {
            let found = verdict(spec.clone(), status, pods);
            let found = found.as_ref().map(|(kind, reason)| (kind.as_str(), reason.as_str()));
            assert_eq!(found, expected, "{spec}");
        }
    }
}

//! Conditions of a Job.

use k8s_openapi::api::batch::v1::{Job, JobCondition, JobStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

pub(super) const COMPLETE: &str = "Complete";
pub(super) const FAILED: &str = "Failed";
pub(super) const FAILURE_TARGET: &str = "FailureTarget";
pub(super) const SUCCESS_CRITERIA_MET: &str = "SuccessCriteriaMet";
pub(super) const SUSPENDED: &str = "Suspended";

/// A condition that holds since `now`.
pub(super) fn holds(
    kind: &str,
    reason: impl Into<String>,
    message: impl Into<String>,
    now: &Time,
) -> JobCondition {
    JobCondition {
        type_: kind.to_owned(),
        status: "True".into(),
        reason: Some(reason.into()),
        message: Some(message.into()),
        last_probe_time: Some(now.clone()),
        last_transition_time: Some(now.clone()),
    }
}

/// The condition, if it holds.
pub(super) fn holding<'a>(status: &'a JobStatus, kind: &str) -> Option<&'a JobCondition> {
    let mut conditions = status.conditions.iter().flatten();
    conditions.find(|condition| condition.type_ == kind && condition.status == "True")
}

/// Returns true if the Job has ended, well or not.
pub(crate) fn finished(job: &Job) -> bool {
    finished_as(job).is_some()
}

/// The terminal condition of a Job that has one.
pub(crate) fn finished_as(job: &Job) -> Option<&JobCondition> {
    let status = job.status.as_ref()?;
    let mut conditions = status.conditions.iter().flatten();
    conditions.find(|c| (c.type_ == COMPLETE || c.type_ == FAILED) && c.status == "True")
}

/// Sets a condition and says whether that changed anything. What was never there does not become
/// false.
pub(super) fn set(status: &mut JobStatus, condition: JobCondition) -> bool {
    let conditions = status.conditions.get_or_insert_default();
    match conditions.iter_mut().find(|known| known.type_ == condition.type_) {
        Some(known) => {
            let said = |c: &JobCondition| (c.status.clone(), c.reason.clone(), c.message.clone());
            let changed = said(known) != said(&condition);
            if changed {
                *known = condition;
            }
            changed
        }
        None if condition.status == "False" => false,
        None => {
            conditions.push(condition);
            true
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_news_are_set() {
        let now = client::helpers::now();
        let mut status = JobStatus::default();
        let suspended = holds(SUSPENDED, "JobSuspended", "Job suspended", &now);
        let resumed = JobCondition {
            status: "False".into(),
            ..holds(SUSPENDED, "JobResumed", "Job resumed", &now)
        };
        assert!(!set(&mut status, resumed.clone()));
        assert!(set(&mut status, suspended.clone()));
        assert!(!set(&mut status, suspended));
        assert!(holding(&status, SUSPENDED).is_some());
        assert!(set(&mut status, resumed));
        assert!(holding(&status, SUSPENDED).is_none());
    }
}

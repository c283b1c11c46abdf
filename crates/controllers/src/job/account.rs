//! Moving ended pods into the counters, so that none is lost or counted twice: first their uids
//! go into the status, then their finalizers, then the uids turn into a number.

use std::collections::HashSet;
use std::sync::Arc;

use k8s_openapi::api::batch::v1::JobStatus;
use k8s_openapi::api::core::v1::Pod;

use super::conditions::{self, COMPLETE, FAILED, FAILURE_TARGET, SUCCESS_CRITERIA_MET, holds};
use super::failure_policy::judge;
use super::index;
use super::sync::{SyncContext, failed};
use crate::common::{meta, pod};

/// Uids the status may hold; more would make it too large (upstream's `MaxUncountedPods`).
const MAX_UNCOUNTED: usize = 500;

/// The result of the first step of accounting.
#[derive(Default)]
pub(super) struct Account {
    /// Pods that may go once the status is written.
    pub(super) release: Vec<Arc<Pod>>,
    /// Pods whose finalizer is still there.
    pub(super) held: HashSet<String>,
    /// True if the status has changed.
    pub(super) dirty: bool,
    /// True if more pods wait for the next reconciliation.
    pub(super) full: bool,
}

/// Notes in the status of `sync` which pods have ended, and, while it lasts, that the Job is
/// about to end.
pub(super) fn note(sync: &mut SyncContext) -> Account {
    let mut account = Account::default();
    let mut pods = sync.pods.clone();
    if sync.indexes.is_some() {
        pods.sort_by_key(|pod| index::of(pod));
    }
    account.held = pods
        .iter()
        .filter(|pod| sync.unprocessed(pod))
        .map(|pod| meta::uid(&**pod).to_owned())
        .collect();
    let mut status = sync.status();
    account.dirty |= count_released(&mut status, &account.held);
    let mut newly_succeeded = Vec::new();
    for pod in pods.into_iter().filter(|pod| sync.unprocessed(pod)) {
        if !releasable(sync, &pod) {
            continue;
        }
        match end_of(sync, &pod) {
            End::Index(index) => newly_succeeded.push(index),
            End::Succeeded => add(&mut status, |u| &mut u.succeeded, &pod),
            End::Failed => add(&mut status, |u| &mut u.failed, &pod),
            End::Uncounted => {
                account.release.push(pod);
                continue;
            }
        }
        account.dirty = true;
        account.release.push(pod);
        if newly_succeeded.len() + uncounted(&status) >= MAX_UNCOUNTED {
            account.full = true;
            break;
        }
    }
    if let Some(indexes) = &mut sync.indexes {
        indexes.succeeded = indexes.recorded.with(newly_succeeded);
        let text = indexes.succeeded.to_string();
        let failed = indexes.failed.as_ref().map(ToString::to_string);
        account.dirty |=
            text != status.completed_indexes.unwrap_or_default() || failed != status.failed_indexes;
        status.succeeded = Some(indexes.succeeded.total()).filter(|total| *total > 0);
        status.completed_indexes = Some(text).filter(|text| !text.is_empty());
        status.failed_indexes = failed;
    }
    account.dirty |= announce(sync, &mut status);
    sync.job.status = Some(status);
    account
}

/// The effect of a finished pod on the counters.
enum End {
    /// An index has succeeded: that says enough, no uid is needed.
    Index(i32),
    Succeeded,
    Failed,
    Uncounted,
}

fn end_of(sync: &SyncContext, pod: &Pod) -> End {
    let uid = meta::uid(pod);
    let noted_failed = sync.uncounted_failed.contains(uid);
    if pod::phase(pod) == "Succeeded" && !noted_failed {
        if let (Some(completions), Some(indexes)) = (sync.indexes_wanted(), &sync.indexes) {
            return match index::valid(pod, completions) {
                Some(index) if !indexes.recorded.has(index) => End::Index(index),
                _ => End::Uncounted,
            };
        }
        let noted = sync.uncounted_succeeded.contains(uid);
        return if noted { End::Uncounted } else { End::Succeeded };
    }
    // A Job that fails takes its running pods with it.
    let job_fails = sync.finish.as_ref().is_some_and(|c| c.type_ != SUCCESS_CRITERIA_MET);
    let counts = (failed(&sync.spec, pod) || job_fails)
        && !noted_failed
        && sync.has_place(pod)
        && judge(sync.spec.pod_failure_policy.as_ref(), pod).counts();
    if counts { End::Failed } else { End::Uncounted }
}

/// Returns true if a pod no longer matters to the counters, so that its finalizer can go.
fn releasable(sync: &SyncContext, pod: &Pod) -> bool {
    if meta::deleting(&sync.job) || sync.finish.is_some() || pod::phase(pod) == "Succeeded" {
        return true;
    }
    // A failed pod may have to wait for its replacement, which takes over its count of failures.
    let delayed = || {
        let waiting = sync.indexes.as_ref()?.delayed.get(&index::of(pod)?)?;
        Some(meta::same(&**waiting, pod))
    };
    failed(&sync.spec, pod) && delayed() != Some(true)
}

type Uncounted = k8s_openapi::api::batch::v1::UncountedTerminatedPods;

fn add(status: &mut JobStatus, of: fn(&mut Uncounted) -> &mut Option<Vec<String>>, pod: &Pod) {
    let lists = status.uncounted_terminated_pods.get_or_insert_default();
    of(lists).get_or_insert_default().push(meta::uid(pod).to_owned());
}

/// Pods that are noted but not counted.
pub(super) fn uncounted(status: &JobStatus) -> usize {
    let length = |list: &Option<Vec<String>>| list.as_ref().map_or(0, Vec::len);
    let lists = status.uncounted_terminated_pods.as_ref();
    lists.map_or(0, |lists| length(&lists.succeeded) + length(&lists.failed))
}

/// Turns the uids of pods that have lost their finalizer into numbers; says whether there were
/// any.
pub(super) fn count_released(status: &mut JobStatus, held: &HashSet<String>) -> bool {
    let lists = status.uncounted_terminated_pods.get_or_insert_default();
    let mut dirty = false;
    for (list, total) in
        [(&mut lists.succeeded, &mut status.succeeded), (&mut lists.failed, &mut status.failed)]
    {
        let uids = list.take().unwrap_or_default();
        let before = uids.len();
        let left: Vec<String> = uids.into_iter().filter(|uid| held.contains(uid)).collect();
        let gone = i32::try_from(before - left.len()).unwrap_or(i32::MAX);
        if gone > 0 {
            *total = Some(total.unwrap_or(0) + gone);
            dirty = true;
        }
        *list = Some(left).filter(|left| !left.is_empty());
    }
    dirty
}

/// Writes the interim condition and prepares the terminal one, which follows when all pods are
/// counted. Says whether the status has changed.
fn announce(sync: &mut SyncContext, status: &mut JobStatus) -> bool {
    let Some(finish) = sync.finish.take() else { return false };
    let terminal = match finish.type_.as_str() {
        FAILURE_TARGET => FAILED,
        SUCCESS_CRITERIA_MET => COMPLETE,
        _ => {
            sync.finish = Some(finish);
            return false;
        }
    };
    let (reason, message) = (finish.reason.clone(), finish.message.clone());
    let said = (reason.unwrap_or_default(), message.unwrap_or_default());
    sync.finish = Some(holds(terminal, said.0, said.1, &sync.now));
    let known = conditions::holding(status, &finish.type_).is_some();
    !known && conditions::set(status, finish)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Made, job};
    use super::*;
    use serde_json::{Value, json};

    fn sync(spec: Value, status: Value, pods: Vec<Made>) -> SyncContext {
        let mut job = job(spec);
        job.status = serde_json::from_value(status).unwrap();
        let pods = pods.into_iter().map(|made| Arc::new(made.pod())).collect();
        let now = client::helpers::now();
        SyncContext::new(job, pods, HashSet::new(), Default::default(), now)
    }

    fn names(account: &Account) -> Vec<&str> {
        account.release.iter().map(|pod| meta::name(&**pod)).collect()
    }

    #[test]
    fn uids_are_noted_before_finalizers_go_and_counted_after() {
        let pods = || {
            vec![
                Made::new("ok").phase("Succeeded").held(),
                Made::new("bad").phase("Failed").held(),
                Made::new("noted").phase("Failed").held(),
                Made::new("released").phase("Succeeded"),
                Made::new("runs").held(),
            ]
        };
        let status = json!({"succeeded": 1, "uncountedTerminatedPods":
            {"succeeded": ["released"], "failed": ["noted"]}});
        let mut sync = sync(json!({"completions": 9}), status, pods());
        let mut account = note(&mut sync);
        assert!(account.dirty && !account.full);
        assert_eq!(names(&account), ["ok", "bad", "noted"]);
        let status = sync.job.status.as_mut().unwrap();
        assert_eq!((status.succeeded, status.failed), (Some(2), None));
        let lists = status.uncounted_terminated_pods.clone().unwrap();
        assert_eq!(lists.succeeded.unwrap(), ["ok"]);
        assert_eq!(lists.failed.unwrap(), ["noted", "bad"]);

        account.held.remove("ok");
        account.held.remove("bad");
        assert!(count_released(status, &account.held));
        assert_eq!((status.succeeded, status.failed), (Some(3), Some(1)));
        assert_eq!(uncounted(status), 1);
        assert!(!count_released(status, &account.held));
    }

    #[test]
    fn a_failing_job_counts_what_still_runs() {
        let pods = vec![
            Made::new("bad").phase("Failed").held(),
            Made::new("runs").held(),
            Made::new("ok").phase("Succeeded").held(),
        ];
        let mut sync = sync(json!({"backoffLimit": 0}), json!({}), pods);
        let account = note(&mut sync);
        assert_eq!(names(&account), ["bad", "runs", "ok"]);
        let status = sync.job.status.unwrap();
        let lists = status.uncounted_terminated_pods.unwrap();
        assert_eq!(lists.failed.unwrap(), ["bad", "runs"]);
        let conditions = status.conditions.unwrap();
        assert_eq!(conditions.len(), 1);
        assert_eq!(conditions[0].type_, FAILURE_TARGET);
        assert_eq!(sync.finish.unwrap().type_, FAILED);
    }

    #[test]
    fn an_index_is_enough_and_delayed_pods_stay() {
        let spec = json!({"completionMode": "Indexed", "completions": 4, "parallelism": 4,
            "backoffLimitPerIndex": 3});
        let pods = vec![
            Made::new("b").index(2).phase("Succeeded").held(),
            Made::new("again").index(0).phase("Succeeded").held(),
            Made::new("a").index(1).phase("Succeeded").held(),
            Made::new("bad").index(3).phase("Failed").held(),
            Made::new("stray").index(9).phase("Failed").held(),
        ];
        let mut sync = sync(spec, json!({"completedIndexes": "0", "succeeded": 1}), pods);
        let account = note(&mut sync);
        assert_eq!(names(&account), ["again", "a", "b", "stray"]);
        let status = sync.job.status.unwrap();
        assert_eq!(status.completed_indexes.as_deref(), Some("0-2"));
        assert_eq!(status.failed_indexes.as_deref(), Some(""));
        assert_eq!(status.succeeded, Some(3));
        assert_eq!(status.uncounted_terminated_pods.unwrap(), Uncounted::default());
    }
}

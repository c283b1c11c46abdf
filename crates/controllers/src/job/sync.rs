//! The state that one reconciliation works on: the Job, its pods, and their counts.

use std::collections::HashSet;
use std::sync::Arc;

use k8s_openapi::api::batch::v1::{Job, JobCondition, JobSpec};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::backoff::Record;
use super::failure_policy::judge;
use super::index::{self, Indexes};
use super::{finalizer, finish, track};
use crate::common::{meta, pod};

/// Returns true if pods are replaced only once they have finished. A failure policy needs that:
/// before the end there is nothing to judge.
pub(super) fn waits_for_end(spec: &JobSpec) -> bool {
    spec.pod_replacement_policy.as_deref() == Some("Failed") || spec.pod_failure_policy.is_some()
}

/// Returns true if a pod counts as failed. One that is being deleted may never reach an end of its
/// own.
pub(super) fn failed(spec: &JobSpec, pod: &Pod) -> bool {
    match pod::phase(pod) {
        "Failed" => true,
        "Succeeded" => false,
        _ => meta::deleting(pod) && !waits_for_end(spec),
    }
}

/// Returns true if the Job is suspended.
pub(super) fn suspended(spec: &JobSpec) -> bool {
    spec.suspend == Some(true)
}

/// Length as the API counts.
pub(super) fn count<T>(items: &[T]) -> i32 {
    i32::try_from(items.len()).unwrap_or(i32::MAX)
}

/// The facts, and what becomes of them on the way to the status.
pub(super) struct SyncContext {
    /// As it is going to be written.
    pub(super) job: Job,
    pub(super) spec: JobSpec,
    pub(super) now: Time,
    pub(super) pods: Vec<Arc<Pod>>,
    pub(super) active: Vec<Arc<Pod>>,
    /// Active pods that are ready, less those deleted since.
    pub(super) ready: i32,
    /// Pods being deleted that have not ended.
    pub(super) terminating: i32,
    /// Pods whose finalizer is gone though the cache does not show it.
    removed: HashSet<String>,
    pub(super) uncounted_failed: HashSet<String>,
    pub(super) uncounted_succeeded: HashSet<String>,
    pub(super) succeeded: i32,
    pub(super) failed: i32,
    pub(super) backoff: Record,
    /// Of an Indexed Job.
    pub(super) indexes: Option<Indexes>,
    /// Succeeded and failed pods in the status that was written last.
    pub(super) told: (i32, i32),
    /// How the Job is about to end, if it is.
    pub(super) finish: Option<JobCondition>,
}

impl SyncContext {
    /// Counts and judges.
    pub(super) fn new(
        mut job: Job,
        pods: Vec<Arc<Pod>>,
        removed: HashSet<String>,
        backoff: Record,
        now: Time,
    ) -> Self {
        let spec = job.spec.clone().unwrap_or_default();
        let told = track::counted(&job);
        let status = job.status.get_or_insert_default();
        let uncounted = status.uncounted_terminated_pods.get_or_insert_default();
        let set = |uids: &Option<Vec<String>>| uids.iter().flatten().cloned().collect();
        let active: Vec<_> = pods.iter().filter(|pod| pod::is_active(pod)).cloned().collect();
        let ready: Vec<_> = active.iter().filter(|pod| pod::is_ready(pod)).collect();
        let ending = |pod: &&Arc<Pod>| !pod::is_terminal(pod) && meta::deleting(&***pod);
        let terminating: Vec<_> = pods.iter().filter(ending).collect();
        let mut sync = Self {
            uncounted_failed: set(&uncounted.failed),
            uncounted_succeeded: set(&uncounted.succeeded),
            ready: count(&ready),
            terminating: count(&terminating),
            succeeded: 0,
            failed: 0,
            indexes: None,
            told,
            finish: None,
            job,
            spec,
            now,
            pods,
            active,
            removed,
            backoff,
        };
        sync.add_up();
        if sync.status().start_time.is_none() && !suspended(&sync.spec) {
            sync.job.status.get_or_insert_default().start_time = Some(sync.now.clone());
        }
        sync.finish = finish::judge(&sync);
        sync
    }

    fn add_up(&mut self) {
        let policy = self.spec.pod_failure_policy.as_ref();
        let new = |known: &HashSet<String>, holds: &dyn Fn(&Pod) -> bool| -> Vec<&Pod> {
            let pods = self.pods.iter().map(|pod| &**pod);
            pods.filter(|p| self.unprocessed(p) && !known.contains(meta::uid(*p)))
                .filter(|p| self.has_place(p) && holds(p))
                .collect()
        };
        let succeeded = new(&self.uncounted_succeeded, &|pod| pod::phase(pod) == "Succeeded");
        let failed = new(&self.uncounted_failed, &|pod| failed(&self.spec, pod));
        let counted: Vec<_> = failed.iter().filter(|pod| judge(policy, pod).counts()).collect();
        let status = self.status();
        let known = |set: &HashSet<String>| i32::try_from(set.len()).unwrap_or(i32::MAX);
        let succeeded_total =
            status.succeeded.unwrap_or(0) + count(&succeeded) + known(&self.uncounted_succeeded);
        let failed_total =
            status.failed.unwrap_or(0) + count(&counted) + known(&self.uncounted_failed);
        let backoff = self.backoff.after(succeeded, failed);
        let indexes = index::is_indexed(&self.spec).then(|| {
            let counted = |pod: &Pod| self.removed.contains(meta::uid(pod));
            Indexes::find(&self.spec, &self.status(), &self.pods, &self.active, counted)
        });
        self.succeeded =
            indexes.as_ref().map_or(succeeded_total, |indexes| indexes.succeeded.total());
        (self.failed, self.backoff, self.indexes) = (failed_total, backoff, indexes);
    }

    /// The status as it is so far.
    pub(super) fn status(&self) -> k8s_openapi::api::batch::v1::JobStatus {
        self.job.status.clone().unwrap_or_default()
    }

    /// Returns true if a pod still has our finalizer, so that it is not in the counters for good.
    pub(super) fn unprocessed(&self, pod: &Pod) -> bool {
        finalizer::present(pod) && !self.removed.contains(meta::uid(pod))
    }

    /// Returns true if the Job can use a pod: an indexed Job only one with a valid index.
    pub(super) fn has_place(&self, pod: &Pod) -> bool {
        self.indexes_wanted().is_none_or(|completions| index::valid(pod, completions).is_some())
    }

    /// The number of indexes of an Indexed Job.
    pub(super) fn indexes_wanted(&self) -> Option<i32> {
        index::is_indexed(&self.spec).then(|| self.spec.completions.unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Made, job};
    use super::*;
    use serde_json::json;

    #[test]
    fn pods_are_counted_once() {
        let mut job = job(json!({"completions": 9, "parallelism": 9}));
        let status = job.status.as_mut().unwrap();
        (status.succeeded, status.failed) = (Some(2), Some(1));
        let uncounted = status.uncounted_terminated_pods.get_or_insert_default();
        uncounted.succeeded = Some(vec!["noted".into()]);
        let pods = [
            Made::new("new").phase("Succeeded").held(),
            Made::new("noted").phase("Succeeded").held(),
            Made::new("counted").phase("Succeeded"),
            Made::new("seen").phase("Succeeded").held(),
            Made::new("bad").phase("Failed").held(),
            Made::new("going").deleted().held(),
            Made::new("runs").held(),
        ];
        let pods = pods.into_iter().map(|made| Arc::new(made.pod())).collect();
        let removed = HashSet::from(["seen".to_owned()]);
        let now = client::helpers::now();
        let sync = SyncContext::new(job, pods, removed, Record::default(), now);
        assert_eq!((sync.succeeded, sync.failed), (4, 3));
        assert_eq!((count(&sync.active), sync.ready, sync.terminating), (1, 0, 1));
        assert!(sync.finish.is_none());
    }
}

//! How long to wait before a failed pod is replaced.

use std::collections::HashMap;
use std::time::Duration;

use client::ObjectKey;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;

use rules::container::RestartPolicy;

use crate::common::{meta, pod};

/// Wait after the first failure (upstream's `DefaultJobPodFailureBackOff`).
const FIRST: Duration = Duration::from_secs(10);
/// Longest wait (upstream's `MaxJobPodFailureBackOff`).
const LONGEST: Duration = Duration::from_secs(10 * 60);

/// Failures in a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Record {
    failures: u32,
    last: Option<Timestamp>,
}

impl Record {
    pub(super) fn new(failures: u32, last: Timestamp) -> Self {
        Self { failures, last: Some(last) }
    }

    /// As it is once these pods have ended. A success begins the count anew.
    pub(super) fn after<'a>(
        self,
        succeeded: impl IntoIterator<Item = &'a Pod>,
        failed: impl IntoIterator<Item = &'a Pod>,
    ) -> Self {
        let success = succeeded.into_iter().map(finished).max();
        let failed = failed.into_iter().map(finished);
        let later = failed.filter(|at| success.is_none_or(|success| *at > success));
        let start = if success.is_some() { Self::default() } else { self };
        later.fold(start, |record, at| {
            // Failures now seen are later than those seen before, whatever the clocks say.
            let newest = if record.failures == start.failures { None } else { record.last };
            Self { failures: record.failures + 1, last: newest.max(Some(at)) }
        })
    }

    /// The wait that is left.
    pub(super) fn remaining(self, now: Timestamp) -> Duration {
        let (Some(last), true) = (self.last, self.failures > 0) else { return Duration::ZERO };
        let doubled = 1u32.checked_shl(self.failures - 1).unwrap_or(u32::MAX);
        let wait = FIRST.saturating_mul(doubled).min(LONGEST);
        let passed = now.duration_since(last);
        let left = SignedDuration::try_from(wait).unwrap_or_default().saturating_sub(passed);
        Duration::try_from(left).unwrap_or_default()
    }
}

/// When a pod ended: its last container's end, or when it stopped being ready, or when it was
/// deleted, or else, which should not be, when it was made.
pub(super) fn finished(pod: &Pod) -> Timestamp {
    containers_finished(pod)
        .or_else(|| {
            let ready = pod::condition(pod, "Ready").filter(|ready| ready.status == "False")?;
            ready.last_transition_time.as_ref().map(|time| time.0)
        })
        .or_else(|| {
            let deleted = pod.metadata.deletion_timestamp.as_ref()?.0;
            let grace = pod.metadata.deletion_grace_period_seconds.unwrap_or(0);
            deleted.checked_sub(SignedDuration::from_secs(grace)).ok()
        })
        .unwrap_or_else(|| meta::created(pod))
}

fn containers_finished(pod: &Pod) -> Option<Timestamp> {
    let status = pod.status.as_ref()?;
    let sidecars = pod.spec.iter().flat_map(|spec| spec.init_containers.iter().flatten());
    let sidecars = sidecars.filter(|container| container.is_sidecar());
    let sidecars: Vec<&str> = sidecars.map(|container| container.name.as_str()).collect();
    let is_sidecar = |status: &&ContainerStatus| sidecars.contains(&status.name.as_str());
    let init = status.init_container_statuses.iter().flatten().filter(is_sidecar);
    let ends = status.container_statuses.iter().flatten().chain(init).map(|container| {
        let ended = container.state.as_ref()?.terminated.as_ref()?;
        ended.finished_at.as_ref().map(|time| time.0)
    });
    let ends: Option<Vec<Timestamp>> = ends.collect();
    ends?.into_iter().max()
}

/// The records of all Jobs.
#[derive(Default)]
pub(super) struct Backoffs(Mutex<HashMap<ObjectKey, Record>>);

impl Backoffs {
    pub(super) fn get(&self, job: &ObjectKey) -> Record {
        self.0.lock().get(job).copied().unwrap_or_default()
    }

    pub(super) fn set(&self, job: &ObjectKey, record: Record) {
        self.0.lock().insert(job.clone(), record);
    }

    pub(super) fn forget(&self, job: &ObjectKey) {
        self.0.lock().remove(job);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn ended(second: i64) -> Pod {
        let at = Timestamp::from_second(second).unwrap().to_string();
        serde_json::from_value(json!({"status": {"containerStatuses": [{
            "name": "c", "image": "", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"terminated": {"exitCode": 1, "finishedAt": at}}}]}}))
        .unwrap()
    }

    #[test]
    fn a_success_starts_the_count_anew() {
        let at = |second| Timestamp::from_second(second).unwrap();
        for (succeeded, failed, expected) in [
            (vec![], vec![], (2, Some(50))),
            (vec![], vec![60, 70], (4, Some(70))),
            (vec![80], vec![], (0, None)),
            (vec![65], vec![70, 60, 75], (2, Some(75))),
            (vec![90], vec![70], (0, None)),
        ] {
            let pods = |times: Vec<i64>| times.into_iter().map(ended).collect::<Vec<_>>();
            let (succeeded, failed) = (pods(succeeded), pods(failed));
            let record = Record::new(2, at(50)).after(&succeeded, &failed);
            assert_eq!((record.failures, record.last), (expected.0, expected.1.map(at)));
        }
    }

    #[test]
    fn waits_double_up_to_ten_minutes() {
        let start = Timestamp::from_second(1_000).unwrap();
        for (failures, passed, expected) in
            [(0, 0, 0), (1, 0, 10), (1, 4, 6), (1, 11, 0), (3, 0, 40), (7, 0, 600), (90, 1, 599)]
        {
            let now = start + SignedDuration::from_secs(passed);
            let left = Record::new(failures, start).remaining(now);
            assert_eq!(left.as_secs(), expected, "{failures} failures");
        }
    }

    #[test]
    fn the_end_of_a_pod_is_told_from_what_is_known() {
        let at = |second: i64| Timestamp::from_second(second).unwrap();
        let pod = |value| serde_json::from_value::<Pod>(value).unwrap();
        let meta = |more: serde_json::Value| {
            let mut meta = json!({"creationTimestamp": at(5).to_string()});
            meta.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            meta
        };
        let not_ready = json!({"conditions": [{"type": "Ready", "status": "False",
            "lastTransitionTime": at(30).to_string()}]});
        let deleted = json!({"deletionTimestamp": at(60).to_string(),
            "deletionGracePeriodSeconds": 20});
        for (pod, expected) in [
            (ended(99), 99),
            (pod(json!({"metadata": meta(deleted.clone()), "status": not_ready})), 30),
            (pod(json!({"metadata": meta(deleted)})), 40),
            (pod(json!({"metadata": meta(json!({}))})), 5),
        ] {
            assert_eq!(finished(&pod), at(expected));
        }
    }
}

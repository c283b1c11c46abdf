//! Completion indexes of pods, and the failures counted per index.
//!
//! <https://kubernetes.io/docs/concepts/workloads/controllers/job/#completion-mode>

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use k8s_openapi::api::batch::v1::{JobSpec, JobStatus};
use k8s_openapi::api::core::v1::{Container, EnvVar, EnvVarSource, ObjectFieldSelector, Pod};

use super::failure_policy::{Verdict, judge};
use super::intervals::Intervals;
use super::{backoff, finalizer, sync};
use crate::common::{meta, pod};

const INDEX: &str = "batch.kubernetes.io/job-completion-index";
const FAILURES: &str = "batch.kubernetes.io/job-index-failure-count";
const IGNORED: &str = "batch.kubernetes.io/job-index-ignored-failure-count";
const VARIABLE: &str = "JOB_COMPLETION_INDEX";
/// Longest prefix of a generated name (upstream's `MaxGeneratedNameLength`).
const MAX_PREFIX: usize = 58;

/// Returns true if each pod has an index of its own.
pub(super) fn is_indexed(spec: &JobSpec) -> bool {
    spec.completion_mode.as_deref() == Some("Indexed")
}

/// The index of a pod.
pub(super) fn of(pod: &Pod) -> Option<i32> {
    meta::annotation(pod, INDEX)?.parse().ok().filter(|index| *index >= 0)
}

/// The index of a pod, if the Job has such an index.
pub(super) fn valid(pod: &Pod, completions: i32) -> Option<i32> {
    of(pod).filter(|index| *index < completions)
}

/// The indexes of some pods.
pub(super) fn all_of<'a>(pods: impl IntoIterator<Item = &'a Arc<Pod>>) -> BTreeSet<i32> {
    pods.into_iter().filter_map(|pod| of(pod)).collect()
}

fn number(pod: &Pod, annotation: &str) -> i32 {
    let text = meta::annotation(pod, annotation);
    text.and_then(|text| text.parse().ok()).filter(|number| *number >= 0).unwrap_or(0)
}

/// Failures of a pod's index before it, counted or not.
pub(super) fn failures_before(pod: &Pod) -> i32 {
    number(pod, FAILURES).saturating_add(number(pod, IGNORED))
}

/// Where the indexes stand.
#[derive(Debug, Default)]
pub(super) struct Indexes {
    /// Succeeded, as the status says.
    pub(super) recorded: Intervals,
    /// Succeeded by now.
    pub(super) succeeded: Intervals,
    /// Failed for good by now, where each index has its own limit.
    pub(super) failed: Option<Intervals>,
    /// Failed pods that stay until their replacement has taken over their count of failures.
    pub(super) delayed: HashMap<i32, Arc<Pod>>,
}

impl Indexes {
    /// Adds the results of `pods`, of which `active` run, to the indexes in the status.
    pub(super) fn find(
        spec: &JobSpec,
        status: &JobStatus,
        pods: &[Arc<Pod>],
        active: &[Arc<Pod>],
        counted: impl Fn(&Pod) -> bool,
    ) -> Self {
        let completions = spec.completions.unwrap_or(0);
        let text = status.completed_indexes.as_deref().unwrap_or_default();
        let recorded = Intervals::parse(text, completions);
        let uncounted = || pods.iter().filter(|pod| finalizer::present(pod));
        let done = uncounted().filter(|pod| pod::phase(pod) == "Succeeded");
        let succeeded = recorded.with(done.filter_map(|pod| valid(pod, completions)));
        let mut indexes = Self { recorded, succeeded, ..Self::default() };
        let Some(limit) = spec.backoff_limit_per_index else { return indexes };
        let text = status.failed_indexes.as_deref().unwrap_or_default();
        let failed = uncounted().filter(|pod| has_failed(spec, limit, pod));
        let failed = failed.filter_map(|pod| valid(pod, completions));
        let failed = Intervals::parse(text, completions).with(failed);
        let running = all_of(active);
        for pod in uncounted().filter(|pod| !counted(pod) && sync::failed(spec, pod)) {
            let Some(index) = valid(pod, completions) else { continue };
            if indexes.succeeded.has(index) || failed.has(index) || running.contains(&index) {
                continue;
            }
            let newer = indexes.delayed.get(&index).is_none_or(|last| {
                failures_before(last) <= failures_before(pod)
                    && backoff::finished(last) <= backoff::finished(pod)
            });
            if newer {
                indexes.delayed.insert(index, pod.clone());
            }
        }
        indexes.failed = Some(failed);
        indexes
    }

    /// Failed indexes.
    pub(super) fn failed_total(&self) -> i32 {
        self.failed.as_ref().map_or(0, Intervals::total)
    }

    /// The first `count` indexes for which a pod may be made, `busy` ones aside.
    pub(super) fn pending(&self, count: usize, completions: i32, busy: BTreeSet<i32>) -> Vec<i32> {
        let mut taken = self.succeeded.with(busy);
        if let Some(failed) = &self.failed {
            taken = taken.union(failed);
        }
        taken.missing(count, completions)
    }
}

/// Returns true if this failure was the last that the pod's index may have.
fn has_failed(spec: &JobSpec, limit: i32, pod: &Pod) -> bool {
    if !sync::failed(spec, pod) {
        return false;
    }
    let verdict = judge(spec.pod_failure_policy.as_ref(), pod);
    verdict == Verdict::FailIndex || (verdict.counts() && number(pod, FAILURES) >= limit)
}

/// Gives a pod its index; `replaced` is the failed pod whose place it takes.
pub(super) fn assign(
    pod: &mut Pod,
    job: &str,
    spec: &JobSpec,
    index: i32,
    replaced: Option<&Arc<Pod>>,
) {
    let text = index.to_string();
    let suffix = format!("-{index}-");
    let kept = job.get(..MAX_PREFIX - suffix.len()).unwrap_or(job);
    pod.metadata.generate_name = Some(format!("{kept}{suffix}"));
    let note = |map: &mut Option<BTreeMap<String, String>>, key: &str, value: String| {
        map.get_or_insert_default().insert(key.to_owned(), value);
    };
    note(&mut pod.metadata.annotations, INDEX, text.clone());
    note(&mut pod.metadata.labels, INDEX, text);
    if spec.backoff_limit_per_index.is_some() {
        let (failures, ignored) = replaced.map_or((0, 0), |old| {
            let counts = judge(spec.pod_failure_policy.as_ref(), old).counts();
            let (failures, ignored) = (number(old, FAILURES), number(old, IGNORED));
            if counts {
                (failures.saturating_add(1), ignored)
            } else {
                (failures, ignored.saturating_add(1))
            }
        });
        note(&mut pod.metadata.annotations, FAILURES, failures.to_string());
        if ignored > 0 {
            note(&mut pod.metadata.annotations, IGNORED, ignored.to_string());
        }
    }
    if let Some(spec) = &mut pod.spec {
        spec.hostname = Some(format!("{job}-{index}"));
        let init = spec.init_containers.iter_mut().flatten();
        init.chain(&mut spec.containers).for_each(add_variable);
    }
}

fn add_variable(container: &mut Container) {
    let variables = container.env.get_or_insert_default();
    if variables.iter().any(|variable| variable.name == VARIABLE) {
        return;
    }
    let field_path = format!("metadata.labels['{INDEX}']");
    variables.push(EnvVar {
        name: VARIABLE.into(),
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector { field_path, ..Default::default() }),
            ..Default::default()
        }),
        ..Default::default()
    });
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Made, job};
    use super::*;
    use serde_json::json;

    #[test]
    fn a_pod_is_told_its_index() {
        let spec = job(json!({"backoffLimitPerIndex": 2})).spec.unwrap();
        let mut pod = Made::new("a").pod();
        pod.spec.as_mut().unwrap().containers[0].env = None;
        let old = Arc::new(Made::new("old").phase("Failed").note(FAILURES, "1").pod());
        assign(&mut pod, "pi", &spec, 7, Some(&old));
        assert_eq!(pod.metadata.generate_name.as_deref(), Some("pi-7-"));
        assert_eq!(meta::annotation(&pod, INDEX), Some("7"));
        assert_eq!(meta::label(&pod, INDEX), Some("7"));
        assert_eq!(meta::annotation(&pod, FAILURES), Some("2"));
        assert_eq!(meta::annotation(&pod, IGNORED), None);
        let made = pod.spec.as_ref().unwrap();
        assert_eq!(made.hostname.as_deref(), Some("pi-7"));
        assert_eq!(made.containers[0].env.as_ref().unwrap()[0].name, VARIABLE);

        let long = "x".repeat(63);
        assign(&mut pod, &long, &spec, 12, None);
        let name = pod.metadata.generate_name.clone().unwrap();
        assert_eq!((name.len(), name.ends_with("x-12-")), (MAX_PREFIX, true));
        assert_eq!(meta::annotation(&pod, FAILURES), Some("0"));
        assert_eq!(pod.spec.unwrap().containers[0].env.as_ref().unwrap().len(), 1);
    }

    #[test]
    fn indexes_fail_by_their_own_limit() {
        let spec = json!({"completionMode": "Indexed", "completions": 5, "parallelism": 5,
            "backoffLimitPerIndex": 1});
        let spec = job(spec).spec.unwrap();
        let status = JobStatus {
            completed_indexes: Some("0".into()),
            failed_indexes: Some("4".into()),
            ..JobStatus::default()
        };
        let pods: Vec<Arc<Pod>> = [
            Made::new("done").index(1).phase("Succeeded").held(),
            Made::new("first").index(2).phase("Failed").held().note(FAILURES, "0"),
            Made::new("last").index(3).phase("Failed").held().note(FAILURES, "1"),
            Made::new("counted").index(2).phase("Failed"),
        ]
        .into_iter()
        .map(|made| Arc::new(made.pod()))
        .collect();
        let found = Indexes::find(&spec, &status, &pods, &[], |_| false);
        assert_eq!(found.recorded.to_string(), "0");
        assert_eq!(found.succeeded.to_string(), "0,1");
        assert_eq!(found.failed.as_ref().unwrap().to_string(), "3,4");
        assert_eq!(found.delayed.keys().collect::<Vec<_>>(), [&2]);
        assert_eq!(found.pending(9, 5, BTreeSet::new()), [2]);
        assert!(found.pending(9, 5, BTreeSet::from([2])).is_empty());
    }
}

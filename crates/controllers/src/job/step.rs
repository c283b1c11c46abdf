//! The next step towards the wanted number of running pods.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;

use super::backoff::{self, Record};
use super::index;
use super::sync::{SyncContext, count, suspended, waits_for_end};
use crate::common::{meta, pod, ranking};

/// Pods made or deleted in one go (upstream's `MaxPodCreateDeletePerSync`).
const BURST: usize = 500;

/// The next step of a Job.
#[derive(Debug)]
pub(super) enum Step {
    /// All is as it should be.
    Rest,
    /// These are too many.
    Delete(Vec<Arc<Pod>>),
    /// So many are missing; of an Indexed Job the ones with these indexes.
    Create(Vec<Option<i32>>),
    /// Some are missing, but too many failed a moment ago.
    Wait(Duration),
}

/// Decides; deletions come first, and creations in a later sync.
pub(super) fn next(sync: &SyncContext) -> Step {
    let spec = &sync.spec;
    let active = count(&sync.active);
    if suspended(spec) {
        return delete(sync, sync.active.len(), usize::MAX);
    }
    let parallelism = spec.parallelism.unwrap_or(1);
    let wanted = match spec.completions {
        // After a first success the others may come to their end.
        None if sync.succeeded > 0 => active,
        None => parallelism,
        Some(completions) => (completions - sync.succeeded).min(parallelism).max(0),
    };
    let excess = usize::try_from(active - wanted).unwrap_or(0);
    let step = delete(sync, excess, BURST);
    if !matches!(step, Step::Rest) {
        return step;
    }
    let terminating = if waits_for_end(spec) { sync.terminating } else { 0 };
    let missing = usize::try_from(wanted - terminating - active).unwrap_or(0).min(BURST);
    if missing == 0 {
        return Step::Rest;
    }
    if spec.backoff_limit_per_index.is_none() {
        let left = sync.backoff.remaining(sync.now.0);
        if !left.is_zero() {
            return Step::Wait(left);
        }
    }
    create(sync, missing)
}

fn create(sync: &SyncContext, missing: usize) -> Step {
    let (Some(indexes), Some(completions)) = (&sync.indexes, sync.indexes_wanted()) else {
        return Step::Create(vec![None; missing]);
    };
    let mut busy = index::all_of(&sync.active);
    if waits_for_end(&sync.spec) {
        let ending = |pod: &&Arc<Pod>| !pod::is_terminal(pod) && meta::deleting(&***pod);
        busy.extend(index::all_of(sync.pods.iter().filter(ending)));
    }
    let pending = indexes.pending(missing, completions, busy);
    if sync.spec.backoff_limit_per_index.is_none() {
        return Step::Create(pending.into_iter().map(Some).collect());
    }
    let left = |index: &i32| {
        let last = indexes.delayed.get(index)?;
        let failures = index::failures_before(last).unsigned_abs().saturating_add(1);
        let left = Record::new(failures, backoff::finished(last)).remaining(sync.now.0);
        (!left.is_zero()).then_some(left)
    };
    let due: Vec<_> = pending.iter().copied().filter(|index| left(index).is_none()).collect();
    match pending.iter().filter_map(left).min() {
        Some(wait) if due.is_empty() => Step::Wait(wait),
        _ => Step::Create(due.into_iter().map(Some).collect()),
    }
}

/// At least `excess` active pods, and any that have no place or share one.
fn delete(sync: &SyncContext, excess: usize, most: usize) -> Step {
    let order = |pods: &mut Vec<Arc<Pod>>| {
        pods.sort_by(|a, b| ranking::compare((&**a, 0), (&**b, 0), sync.now.0));
    };
    let mut rest = sync.active.clone();
    order(&mut rest);
    let mut victims = Vec::new();
    if sync.indexes.is_some() {
        // The most valuable pod of an index keeps it.
        let mut taken = std::collections::HashSet::new();
        rest.reverse();
        let (keep, doubled) = rest.into_iter().partition(|pod| {
            sync.has_place(pod) && index::of(pod).is_some_and(|index| taken.insert(index))
        });
        (rest, victims) = (keep, doubled);
        rest.reverse();
    }
    let more = excess.saturating_sub(victims.len()).min(rest.len());
    victims.extend(rest.drain(..more));
    victims.truncate(most);
    if victims.is_empty() { Step::Rest } else { Step::Delete(victims) }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Made, job};
    use super::*;
    use serde_json::{Value, json};
    use std::collections::HashSet;

    fn step(spec: Value, succeeded: i32, pods: Vec<Made>, second: i64) -> String {
        let mut job = job(spec);
        job.status.as_mut().unwrap().succeeded = Some(succeeded);
        let pods = pods.into_iter().map(|made| Arc::new(made.pod())).collect();
        let start: k8s_openapi::jiff::Timestamp = "2024-01-01T00:00:30Z".parse().unwrap();
        let now = start + Duration::from_secs(second.unsigned_abs());
        let now = k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(now);
        let sync = SyncContext::new(job, pods, HashSet::new(), Record::default(), now);
        match next(&sync) {
            Step::Rest => "rest".into(),
            Step::Delete(pods) => {
                let names: Vec<&str> = pods.iter().map(|pod| meta::name(&**pod)).collect();
                format!("delete {}", names.join(" "))
            }
            Step::Create(indexes) if indexes.iter().all(Option::is_none) => {
                format!("create {}", indexes.len())
            }
            Step::Create(indexes) => {
                format!("create {:?}", indexes.into_iter().flatten().collect::<Vec<_>>())
            }
            Step::Wait(left) => format!("wait {}", left.as_secs()),
        }
    }

    #[test]
    fn each_state_has_its_step() {
        let run = |names: &str| -> Vec<Made> {
            names.split(' ').filter(|n| !n.is_empty()).map(|n| Made::new(n).held()).collect()
        };
        let at = |name: &str, index| Made::new(name).held().index(index);
        let bad = |name: &str| Made::new(name).held().phase("Failed").exit(1);
        let many = |n: i32| json!({"completions": n, "parallelism": 3});
        let queue = |suspend: bool| {
            json!({"completions": null, "parallelism": 2,
            "suspend": suspend})
        };
        let indexed = json!({"completionMode": "Indexed", "completions": 5, "parallelism": 3});
        let mut limited = indexed.clone();
        limited["backoffLimitPerIndex"] = 5.into();
        let mut patient = many(5);
        patient["podReplacementPolicy"] = "Failed".into();
        for (spec, succeeded, pods, second, expected) in [
            (many(5), 0, vec![], 0, "create 3"),
            (many(5), 3, run("a"), 0, "create 1"),
            (many(5), 4, run("a"), 0, "rest"),
            (many(5), 4, run("a b"), 0, "delete a"),
            (many(5), 0, run("a b c d e"), 0, "delete a b"),
            (queue(false), 0, run("a"), 0, "create 1"),
            (queue(false), 1, run("a"), 0, "rest"),
            (queue(true), 0, run("a b"), 0, "delete a b"),
            (many(5), 0, vec![bad("a"), bad("b")], 5, "wait 15"),
            (many(5), 0, vec![bad("a"), bad("b")], 21, "create 3"),
            (many(5), 0, vec![Made::new("a").held().deleted()], 600, "create 3"),
            (patient, 0, vec![Made::new("a").held().deleted()], 600, "create 2"),
            (indexed.clone(), 0, vec![at("a", 1)], 0, "create [0, 2]"),
            (indexed.clone(), 0, vec![at("a", 1), at("b", 1), at("c", 7)], 0, "delete c a"),
            (indexed, 0, vec![at("a", 0), at("b", 1), at("c", 2)], 0, "rest"),
            (limited.clone(), 0, vec![bad("a").index(0)], 2, "create [1, 2]"),
            (limited, 0, vec![bad("a").index(0), at("b", 1), at("c", 2)], 2, "wait 8"),
        ] {
            assert_eq!(step(spec.clone(), succeeded, pods, second), expected, "{spec}");
        }
    }
}

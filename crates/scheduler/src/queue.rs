//! Pods waiting for a decision: active ones by priority, failed ones until something changes.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use client::ObjectKey;
use tokio::time::Instant;

use crate::change::Change;
use crate::framework::PluginSet;
use crate::metrics::{self, Metrics};
use crate::pod::PodInfo;

#[cfg(test)]
mod tests;

const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const MAX_BACKOFF: Duration = Duration::from_secs(10);
/// An unschedulable pod is tried again after this long even if nothing seems to have changed.
const MAX_WAIT: Duration = Duration::from_secs(300);

/// Where a waiting pod is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Active(Rank),
    /// Something has changed that may help: tried again at this moment, or when nobody else waits.
    Backoff(Instant),
    /// A decision could not be carried out: tried again at this moment.
    Error(Instant),
    /// Until something changes that may help, or this moment.
    Unschedulable(Instant),
    /// Room is being made. Changes are noted but not acted on, lest it be made twice.
    Preempting {
        helped: bool,
    },
}

impl Place {
    /// The queue that upstream has pods of this place in.
    fn in_metrics(self) -> metrics::Place {
        match self {
            Self::Active(_) => metrics::Place::Active,
            Self::Backoff(_) | Self::Error(_) => metrics::Place::Backoff,
            Self::Unschedulable(_) | Self::Preempting { .. } => metrics::Place::Unschedulable,
        }
    }
}

/// Highest priority first, then first come.
type Rank = (Reverse<i32>, u64);

struct Waiting {
    pod: Arc<PodInfo>,
    place: Place,
    /// Decisions so far, and when the last one was.
    attempts: u32,
    last: Instant,
    /// When it was first decided about.
    first: Instant,
    arrived: u64,
    rejected_by: PluginSet,
}

/// The queue. Every waiting pod is in the one index that belongs to its place.
#[derive(Default)]
pub(crate) struct Queue {
    waiting: HashMap<ObjectKey, Waiting>,
    active: BTreeMap<Rank, ObjectKey>,
    backoff: BTreeSet<(Instant, ObjectKey)>,
    errors: BTreeSet<(Instant, ObjectKey)>,
    unschedulable: BTreeSet<(Instant, ObjectKey)>,
    preempting: BTreeSet<ObjectKey>,
    arrivals: u64,
    /// Pods that were popped and may come back.
    popped: HashMap<ObjectKey, Past>,
    /// Pods that wait for their gates to be opened.
    gated: BTreeSet<ObjectKey>,
    /// Where it is told what comes; tests have none.
    metrics: Option<Arc<Metrics>>,
}

/// The earlier scheduling attempts of a pod.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Past {
    /// Decisions, and when the first and the last one began.
    pub(crate) attempts: u32,
    pub(crate) first: Instant,
    pub(crate) last: Instant,
    arrived: u64,
}

impl Queue {
    /// A queue that tells what comes to it.
    pub(crate) fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics: Some(metrics), ..Self::default() }
    }

    fn incoming(&self, place: Place, event: &str) {
        if let Some(metrics) = &self.metrics {
            metrics.incoming(place.in_metrics(), event);
        }
    }

    /// How many pods wait, and where.
    pub(crate) fn counts(&self) -> [(metrics::Place, usize); 4] {
        let backoff = self.backoff.len() + self.errors.len();
        let unschedulable = self.unschedulable.len() + self.preempting.len();
        [
            (metrics::Place::Active, self.active.len()),
            (metrics::Place::Backoff, backoff),
            (metrics::Place::Unschedulable, unschedulable),
            (metrics::Place::Gated, self.gated.len()),
        ]
    }

    /// The earlier attempts of a pod that was popped.
    pub(crate) fn past(&self, key: &ObjectKey) -> Option<Past> {
        self.popped.get(key).copied()
    }

    /// Notes that a pod's gates are shut.
    pub(crate) fn gate(&mut self, key: &ObjectKey) {
        self.remove(key);
        self.gated.insert(key.clone());
    }

    /// Adds a pod, or takes note of its new form. A changed pod that failed is tried again.
    pub(crate) fn add(&mut self, pod: Arc<PodInfo>) {
        if let Some(known) = self.waiting.get_mut(&pod.key) {
            let same = same_spec(&known.pod, &pod);
            known.pod = pod.clone();
            if !same && !matches!(known.place, Place::Active(_)) {
                self.activate(&pod.key, "UnschedulablePodUpdate");
            }
            return;
        }
        let opened = self.gated.remove(&pod.key);
        let Past { attempts, first, arrived, .. } = self.recall(&pod.key, 0);
        let place = Place::Active((Reverse(pod.priority()), arrived));
        let (rejected_by, last) = (PluginSet::default(), Instant::now());
        let event = if opened { "UnschedulablePodUpdate" } else { "UnschedulablePodAdd" };
        self.incoming(place, event);
        self.insert(Waiting { pod, place, attempts, first, last, arrived, rejected_by });
    }

    /// The past of a pod that was popped, or that of a new one.
    fn recall(&mut self, key: &ObjectKey, attempts: u32) -> Past {
        self.popped.remove(key).unwrap_or_else(|| {
            self.arrivals += 1;
            let now = Instant::now();
            Past { attempts, first: now, last: now, arrived: self.arrivals }
        })
    }

    fn insert(&mut self, waiting: Waiting) {
        let key = waiting.pod.key.clone();
        match waiting.place {
            Place::Active(rank) => {
                self.active.insert(rank, key.clone());
            }
            Place::Backoff(at) => _ = self.backoff.insert((at, key.clone())),
            Place::Error(at) => _ = self.errors.insert((at, key.clone())),
            Place::Unschedulable(at) => _ = self.unschedulable.insert((at, key.clone())),
            Place::Preempting { .. } => _ = self.preempting.insert(key.clone()),
        }
        self.waiting.insert(key, waiting);
    }

    fn take(&mut self, key: &ObjectKey) -> Option<Waiting> {
        let waiting = self.waiting.remove(key)?;
        match waiting.place {
            Place::Active(rank) => {
                self.active.remove(&rank);
            }
            Place::Backoff(at) => _ = self.backoff.remove(&(at, key.clone())),
            Place::Error(at) => _ = self.errors.remove(&(at, key.clone())),
            Place::Unschedulable(at) => _ = self.unschedulable.remove(&(at, key.clone())),
            Place::Preempting { .. } => _ = self.preempting.remove(key),
        }
        Some(waiting)
    }

    fn relocate(&mut self, key: &ObjectKey, event: &str, place: impl FnOnce(&Waiting) -> Place) {
        if let Some(mut waiting) = self.take(key) {
            let place = place(&waiting);
            let before = std::mem::replace(&mut waiting.place, place);
            if before.in_metrics() != waiting.place.in_metrics() {
                self.incoming(waiting.place, event);
            }
            self.insert(waiting);
        }
    }

    fn activate(&mut self, key: &ObjectKey, event: &str) {
        self.relocate(key, event, |w| Place::Active((Reverse(w.pod.priority()), w.arrived)));
    }

    /// Forgets a pod that is gone or has been placed.
    pub(crate) fn remove(&mut self, key: &ObjectKey) {
        self.popped.remove(key);
        self.gated.remove(key);
        self.take(key);
    }

    /// The next pod to decide about. When nobody is active, pods need not back off any longer.
    pub(crate) fn pop(&mut self) -> Option<Arc<PodInfo>> {
        let next = self.active.first_key_value().map(|(_, key)| key.clone());
        let key = next.or_else(|| self.backoff.first().map(|(_, key)| key.clone()))?;
        if self.active.is_empty() {
            self.activate(&key, "PopFromBackoffQ");
        }
        let waiting = self.take(&key)?;
        let last = Instant::now();
        let first = if waiting.attempts == 0 { last } else { waiting.first };
        let arrived = waiting.arrived;
        self.popped.insert(key, Past { attempts: waiting.attempts + 1, first, last, arrived });
        Some(waiting.pod)
    }

    /// Puts back a pod that these plugins have nowhere accepted. While room is made for it, it is
    /// not tried again before [`preempted`](Self::preempted).
    pub(crate) fn unschedulable(&mut self, pod: Arc<PodInfo>, by: PluginSet, preempting: bool) {
        let place = match preempting {
            true => Place::Preempting { helped: false },
            false => Place::Unschedulable(Instant::now() + MAX_WAIT),
        };
        self.put_back(pod, by, |_| place);
    }

    /// Puts back a pod whose decision could not be carried out.
    pub(crate) fn failed(&mut self, pod: Arc<PodInfo>) {
        let place = |attempts| Place::Error(Instant::now() + backoff(attempts));
        self.put_back(pod, PluginSet::default(), place);
    }

    fn put_back(
        &mut self,
        pod: Arc<PodInfo>,
        rejected_by: PluginSet,
        place: impl FnOnce(u32) -> Place,
    ) {
        if self.waiting.contains_key(&pod.key) {
            return;
        }
        let Past { attempts, first, arrived, .. } = self.recall(&pod.key, 1);
        let (place, last) = (place(attempts), Instant::now());
        self.incoming(place, "ScheduleAttemptFailure");
        self.insert(Waiting { pod, place, attempts, first, last, arrived, rejected_by });
    }

    /// Preemption for a pod has been carried out, or has failed.
    pub(crate) fn preempted(&mut self, key: &ObjectKey, done: bool) {
        self.relocate(key, "AssignedPodDelete", |waiting| match waiting.place {
            Place::Preempting { .. } if !done => {
                Place::Error(waiting.last + backoff(waiting.attempts))
            }
            Place::Preempting { helped: true } => {
                Place::Backoff(waiting.last + backoff(waiting.attempts))
            }
            Place::Preempting { .. } => Place::Unschedulable(waiting.last + MAX_WAIT),
            place => place,
        });
    }

    /// Something changed: pods that it may help are tried again, after their backoff.
    pub(crate) fn changed(&mut self, change: &Change) {
        if !change.may_help() {
            return;
        }
        let label = change.label();
        self.changed_for(label, |waiting| waiting.rejected_by.may_accept(&waiting.pod, change));
    }

    /// Room has become free that pods up to a priority may take.
    pub(crate) fn room_up_to(&mut self, priority: i32) {
        self.changed_for("AssignedPodDelete", |waiting| waiting.pod.priority() <= priority);
    }

    fn changed_for(&mut self, event: &str, helps: impl Fn(&Waiting) -> bool) {
        let idle = self.unschedulable.iter().map(|(_, key)| key).chain(&self.preempting);
        let helped: Vec<ObjectKey> =
            idle.filter(|key| self.waiting.get(key).is_some_and(&helps)).cloned().collect();
        for key in helped {
            self.relocate(&key, event, |waiting| match waiting.place {
                Place::Preempting { .. } => Place::Preempting { helped: true },
                _ => Place::Backoff(waiting.last + backoff(waiting.attempts)),
            });
        }
    }

    /// Activates pods whose moment has come.
    pub(crate) fn advance(&mut self, now: Instant) {
        let indexes = [&self.backoff, &self.errors, &self.unschedulable];
        let due =
            indexes.into_iter().flat_map(|index| index.iter().take_while(|(at, _)| *at <= now));
        let due: Vec<ObjectKey> = due.map(|(_, key)| key.clone()).collect();
        for key in due {
            let place = self.waiting.get(&key).map(|waiting| waiting.place);
            let event = match place {
                Some(Place::Unschedulable(_)) => "UnschedulableTimeout",
                _ => "BackoffComplete",
            };
            self.activate(&key, event);
        }
    }

    /// When `advance` next has something to do.
    pub(crate) fn next_moment(&self) -> Option<Instant> {
        let indexes = [&self.backoff, &self.errors, &self.unschedulable];
        indexes.into_iter().filter_map(|index| index.first()).map(|(at, _)| *at).min()
    }
}

/// One second, doubled with every attempt, up to ten.
fn backoff(attempts: u32) -> Duration {
    FIRST_BACKOFF.saturating_mul(1 << attempts.saturating_sub(1).min(10)).min(MAX_BACKOFF)
}

/// Returns true if an update changed nothing that a decision depends on.
fn same_spec(a: &PodInfo, b: &PodInfo) -> bool {
    a.uid() == b.uid()
        && a.pod.spec == b.pod.spec
        && a.pod.metadata.labels == b.pod.metadata.labels
        && a.pod.metadata.annotations == b.pod.metadata.annotations
}

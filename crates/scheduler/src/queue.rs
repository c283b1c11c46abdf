//! Pods waiting for a decision: active ones by priority, failed ones until something changes.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use client::ObjectKey;
use tokio::time::Instant;

use crate::pod::PodInfo;

const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const MAX_BACKOFF: Duration = Duration::from_secs(10);
/// An unschedulable pod is tried again after this long even if nothing seems to have changed.
const MAX_WAIT: Duration = Duration::from_secs(300);

/// Where a waiting pod is.
enum Place {
    Active(Rank),
    /// Tried again at a moment that is already known.
    Backoff(Instant),
    /// Until the cluster changes, or `MAX_WAIT` is over.
    Unschedulable(Instant),
}

/// Highest priority first, then first come.
type Rank = (std::cmp::Reverse<i32>, u64);

struct Waiting {
    pod: PodInfo,
    place: Place,
    attempts: u32,
    arrived: u64,
}

/// The queue.
#[derive(Default)]
pub(crate) struct Queue {
    waiting: HashMap<ObjectKey, Waiting>,
    active: BTreeMap<Rank, ObjectKey>,
    arrivals: u64,
    /// Attempts of pods that were popped and may come back.
    attempts: HashMap<ObjectKey, u32>,
}

impl Queue {
    /// Adds a pod, or takes note of its new form. A changed pod that failed is tried again.
    pub(crate) fn add(&mut self, pod: PodInfo) {
        let key = pod.key.clone();
        let (attempts, arrived) = match self.waiting.get(&key) {
            Some(old) if same_spec(&old.pod, &pod) => {
                if let Some(old) = self.waiting.get_mut(&key) {
                    old.pod = pod;
                }
                return;
            }
            Some(old) => (old.attempts, old.arrived),
            None => (self.attempts.remove(&key).unwrap_or(0), self.next_arrival()),
        };
        self.remove(&key);
        self.activate(Waiting {
            pod,
            place: Place::Unschedulable(Instant::now()),
            attempts,
            arrived,
        });
    }

    fn next_arrival(&mut self) -> u64 {
        self.arrivals += 1;
        self.arrivals
    }

    fn activate(&mut self, mut waiting: Waiting) {
        let rank = (std::cmp::Reverse(waiting.pod.priority()), waiting.arrived);
        let key = waiting.pod.key.clone();
        waiting.place = Place::Active(rank);
        self.active.insert(rank, key.clone());
        self.waiting.insert(key, waiting);
    }

    /// Forgets a pod that is gone or has been placed.
    pub(crate) fn remove(&mut self, key: &ObjectKey) {
        self.attempts.remove(key);
        if let Some(Waiting { place: Place::Active(rank), .. }) = self.waiting.remove(key) {
            self.active.remove(&rank);
        }
    }

    /// The next pod to decide about.
    pub(crate) fn pop(&mut self) -> Option<PodInfo> {
        let (_, key) = self.active.pop_first()?;
        let waiting = self.waiting.remove(&key)?;
        self.attempts.insert(key, waiting.attempts + 1);
        Some(waiting.pod)
    }

    /// Puts back a pod that fits nowhere at present.
    pub(crate) fn unschedulable(&mut self, pod: PodInfo) {
        self.put_back(pod, |_| Place::Unschedulable(Instant::now() + MAX_WAIT));
    }

    /// Puts back a pod whose decision could not be carried out.
    pub(crate) fn failed(&mut self, pod: PodInfo) {
        self.put_back(pod, |attempts| Place::Backoff(Instant::now() + backoff(attempts)));
    }

    fn put_back(&mut self, pod: PodInfo, place: impl FnOnce(u32) -> Place) {
        let key = pod.key.clone();
        if self.waiting.contains_key(&key) {
            return;
        }
        let attempts = self.attempts.remove(&key).unwrap_or(1);
        let arrived = self.next_arrival();
        self.waiting.insert(key, Waiting { pod, place: place(attempts), attempts, arrived });
    }

    /// Something changed that may help: every unschedulable pod is tried again after its backoff.
    pub(crate) fn cluster_changed(&mut self) {
        for waiting in self.waiting.values_mut() {
            if matches!(waiting.place, Place::Unschedulable(_)) {
                waiting.place = Place::Backoff(Instant::now() + backoff(waiting.attempts));
            }
        }
    }

    /// Activates pods whose moment has come.
    pub(crate) fn advance(&mut self, now: Instant) {
        let due: Vec<ObjectKey> = self
            .waiting
            .iter()
            .filter(|(_, w)| match w.place {
                Place::Active(_) => false,
                Place::Backoff(at) | Place::Unschedulable(at) => at <= now,
            })
            .map(|(key, _)| key.clone())
            .collect();
        for key in due {
            if let Some(waiting) = self.waiting.remove(&key) {
                self.activate(waiting);
            }
        }
    }

    /// When `advance` next has something to do.
    pub(crate) fn next_moment(&self) -> Option<Instant> {
        self.waiting
            .values()
            .filter_map(|w| match w.place {
                Place::Active(_) => None,
                Place::Backoff(at) | Place::Unschedulable(at) => Some(at),
            })
            .min()
    }
}

/// One second, doubled with every attempt, up to ten.
fn backoff(attempts: u32) -> Duration {
    FIRST_BACKOFF.saturating_mul(1 << attempts.saturating_sub(1).min(10)).min(MAX_BACKOFF)
}

/// Whether an update changed nothing that a decision depends on.
fn same_spec(a: &PodInfo, b: &PodInfo) -> bool {
    a.uid() == b.uid()
        && a.pod.spec == b.pod.spec
        && a.pod.metadata.labels == b.pod.metadata.labels
        && a.pod.metadata.annotations == b.pod.metadata.annotations
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::sync::Arc;

    fn pod(name: &str, priority: i32) -> PodInfo {
        PodInfo::new(Arc::new(
            serde_json::from_value(json!({
                "metadata": {"name": name, "namespace": "ns", "uid": name},
                "spec": {"priority": priority, "containers": []},
            }))
            .unwrap(),
        ))
    }

    fn drain(queue: &mut Queue) -> Vec<String> {
        std::iter::from_fn(|| queue.pop()).map(|p| p.key.name).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn priority_first_then_arrival() {
        let mut queue = Queue::default();
        for (name, priority) in [("a", 0), ("b", 5), ("c", 0)] {
            queue.add(pod(name, priority));
        }
        assert_eq!(drain(&mut queue), ["b", "a", "c"]);
    }

    #[tokio::test(start_paused = true)]
    async fn failures_wait_for_a_change_and_their_backoff() {
        let mut queue = Queue::default();
        queue.add(pod("a", 0));
        let mut waits = Vec::new();
        for _ in 0..6 {
            let popped = queue.pop().unwrap();
            queue.unschedulable(popped);
            queue.advance(Instant::now() + Duration::from_secs(60));
            assert_eq!(queue.pop().map(|p| p.key), None, "nothing has changed");
            queue.cluster_changed();
            let at = queue.next_moment().unwrap();
            waits.push((at - Instant::now()).as_secs());
            queue.advance(at);
        }
        assert_eq!(waits, [1, 2, 4, 8, 10, 10]);
        // The same pod again is no news; another spec is.
        let popped = queue.pop().unwrap();
        queue.unschedulable(popped);
        queue.add(pod("a", 0));
        assert!(queue.pop().is_none());
        queue.add(pod("a", 1));
        assert!(queue.pop().is_some());
    }
}

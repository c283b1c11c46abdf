//! A keyed work queue: each key is held once, worked on by one worker at a time, and retried with
//! a backoff of its own.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use telemetry::metrics::Registry;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::metrics::{self, Queues};

/// Longest wait for a key.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// First retry after a failure, as upstream's default controller rate limiter.
const BASE_DELAY: Duration = Duration::from_millis(5);
/// Longest wait between retries, as upstream's.
const MAX_DELAY: Duration = Duration::from_secs(1000);

/// A shared queue of keys. Cloning shares it.
///
/// A key added while it waits is not added again; a key added while a worker holds it is handed
/// out once more after that worker calls [`done`](WorkQueue::done).
pub struct WorkQueue<K> {
    inner: Arc<Inner<K>>,
}

impl<K> Clone for WorkQueue<K> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

struct Inner<K> {
    state: Mutex<State<K>>,
    changed: Notify,
    base: Duration,
    max: Duration,
}

struct State<K> {
    ready: VecDeque<K>,
    /// Keys to be worked on: those in `ready`, and those re-added while a worker holds them.
    dirty: HashSet<K>,
    processing: HashSet<K>,
    failures: HashMap<K, u32>,
    /// When each delayed key is due. `timers` may hold outdated entries; this map decides.
    due: HashMap<K, Instant>,
    timers: BinaryHeap<Reverse<(Instant, u64)>>,
    timer_keys: HashMap<u64, K>,
    next_timer: u64,
    shut_down: bool,
    measured: Option<Measured<K>>,
}

/// The metrics of a queue that has a name, and the times they need.
struct Measured<K> {
    metrics: metrics::Queue,
    added: HashMap<K, Instant>,
    begun: HashMap<K, Instant>,
}

impl<K: Clone + Eq + Hash> Measured<K> {
    fn add(&mut self, key: &K) {
        self.metrics.adds.inc();
        self.metrics.depth.inc();
        self.added.entry(key.clone()).or_insert_with(Instant::now);
    }

    fn get(&mut self, key: &K) {
        self.metrics.depth.dec();
        let now = Instant::now();
        if let Some(added) = self.added.remove(key) {
            self.metrics.waited.observe((now - added).as_secs_f64());
        }
        self.begun.insert(key.clone(), now);
    }

    fn done(&mut self, key: &K) {
        if let Some(begun) = self.begun.remove(key) {
            self.metrics.worked.observe(begun.elapsed().as_secs_f64());
        }
    }
}

impl<K: Send + Sync> metrics::Unfinished for Inner<K> {
    fn unfinished(&self) -> (f64, f64) {
        let state = self.state.lock();
        let begun = state.measured.iter().flat_map(|measured| measured.begun.values());
        begun
            .map(|begun| begun.elapsed().as_secs_f64())
            .fold((0.0, 0.0), |(all, longest), took| (all + took, f64::max(longest, took)))
    }
}

impl<K: Clone + Eq + Hash> State<K> {
    /// Returns whether a worker has something new to take.
    fn add(&mut self, key: K) -> bool {
        if self.shut_down || !self.dirty.insert(key.clone()) {
            return false;
        }
        if let Some(measured) = &mut self.measured {
            measured.add(&key);
        }
        if self.processing.contains(&key) {
            return false;
        }
        self.ready.push_back(key);
        true
    }

    fn release_due(&mut self, now: Instant) {
        while let Some(&Reverse((at, id))) = self.timers.peek() {
            let key = self.timer_keys.get(&id);
            let outdated = key.is_none_or(|key| self.due.get(key) != Some(&at));
            if at > now && !outdated {
                return;
            }
            self.timers.pop();
            if let Some(key) = self.timer_keys.remove(&id)
                && !outdated
            {
                self.due.remove(&key);
                self.add(key);
            }
        }
    }
}

impl<K: Clone + Eq + Hash> Default for WorkQueue<K> {
    fn default() -> Self {
        Self::with_backoff(BASE_DELAY, MAX_DELAY)
    }
}

impl<K: Clone + Eq + Hash> WorkQueue<K> {
    /// A queue with upstream's default backoff: 5 ms doubling to 1000 s, per key.
    pub fn new() -> Self {
        Self::default()
    }

    /// A queue whose retries wait `base`, doubling with each failure of the key up to `max`.
    pub fn with_backoff(base: Duration, max: Duration) -> Self {
        let state = State {
            ready: VecDeque::new(),
            dirty: HashSet::new(),
            processing: HashSet::new(),
            failures: HashMap::new(),
            due: HashMap::new(),
            timers: BinaryHeap::new(),
            timer_keys: HashMap::new(),
            next_timer: 0,
            shut_down: false,
            measured: None,
        };
        let state = Mutex::new(state);
        Self { inner: Arc::new(Inner { state, changed: Notify::new(), base, max }) }
    }

    /// The same queue, whose work is told in `registry` under a name.
    #[must_use]
    pub fn named(self, name: &'static str, registry: &Registry) -> Self
    where
        K: Send + Sync + 'static,
    {
        let inner: Weak<dyn metrics::Unfinished> = Arc::downgrade(&self.inner) as _;
        let metrics = Queues::of(registry).queue(name, inner);
        let measured = Measured { metrics, added: HashMap::new(), begun: HashMap::new() };
        self.inner.state.lock().measured = Some(measured);
        self
    }

    /// Adds a key to be worked on as soon as possible.
    pub fn add(&self, key: K) {
        if self.inner.state.lock().add(key) {
            self.inner.changed.notify_one();
        }
    }

    /// Adds a key once `delay` has passed. If it is already waiting, the earlier time counts.
    pub fn add_after(&self, key: K, delay: Duration) {
        if delay.is_zero() {
            return self.add(key);
        }
        // Delays come from objects, and may be longer than any clock runs.
        let at = Instant::now() + delay.min(LONGEST);
        let mut state = self.inner.state.lock();
        if let Some(measured) = &state.measured {
            measured.metrics.retries.inc();
        }
        if state.shut_down || state.due.get(&key).is_some_and(|known| *known <= at) {
            return;
        }
        let id = state.next_timer;
        state.next_timer += 1;
        state.due.insert(key.clone(), at);
        state.timer_keys.insert(id, key);
        state.timers.push(Reverse((at, id)));
        drop(state);
        self.inner.changed.notify_one();
    }

    /// Adds a key after its backoff, which doubles with each call until
    /// [`forget`](WorkQueue::forget).
    pub fn add_rate_limited(&self, key: K) {
        let failures = {
            let mut state = self.inner.state.lock();
            let failures = state.failures.entry(key.clone()).or_insert(0);
            *failures += 1;
            *failures
        };
        let delay = self.inner.base.saturating_mul(1 << (failures - 1).min(30));
        self.add_after(key, delay.min(self.inner.max));
    }

    /// Clears the backoff of a key.
    pub fn forget(&self, key: &K) {
        self.inner.state.lock().failures.remove(key);
    }

    /// How often a key was added rate limited since it was last forgotten.
    pub fn num_requeues(&self, key: &K) -> u32 {
        self.inner.state.lock().failures.get(key).copied().unwrap_or(0)
    }

    /// How many keys are ready and not yet taken.
    pub fn len(&self) -> usize {
        self.inner.state.lock().ready.len()
    }

    /// Returns true if no key is ready.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The next key, which the caller must give back with [`done`](WorkQueue::done); `None` once
    /// the queue is shut down and drained.
    pub async fn get(&self) -> Option<K> {
        loop {
            let changed = self.inner.changed.notified();
            let next_due = {
                let mut state = self.inner.state.lock();
                state.release_due(Instant::now());
                if let Some(key) = state.ready.pop_front() {
                    state.dirty.remove(&key);
                    state.processing.insert(key.clone());
                    if let Some(measured) = &mut state.measured {
                        measured.get(&key);
                    }
                    if !state.ready.is_empty() || !state.timers.is_empty() {
                        self.inner.changed.notify_one();
                    }
                    return Some(key);
                }
                if state.shut_down {
                    self.inner.changed.notify_one();
                    return None;
                }
                state.timers.peek().map(|Reverse((at, _))| *at)
            };
            match next_due {
                None => changed.await,
                Some(at) => {
                    let _ = tokio::time::timeout_at(at, changed).await;
                }
            }
        }
    }

    /// Ends the work on a key; if it was added meanwhile it becomes ready again.
    pub fn done(&self, key: &K) {
        let mut state = self.inner.state.lock();
        state.processing.remove(key);
        if let Some(measured) = &mut state.measured {
            measured.done(key);
        }
        if state.dirty.contains(key) {
            state.ready.push_back(key.clone());
            drop(state);
            self.inner.changed.notify_one();
        }
    }

    /// Refuses further keys, drops delayed ones, and lets [`get`](WorkQueue::get) end once the
    /// ready ones are taken.
    pub fn shut_down(&self) {
        let mut state = self.inner.state.lock();
        state.shut_down = true;
        state.due.clear();
        state.timers.clear();
        state.timer_keys.clear();
        drop(state);
        self.inner.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn next(queue: &WorkQueue<&'static str>) -> &'static str {
        queue.get().await.expect("queue is open")
    }

    #[tokio::test]
    async fn a_key_is_held_once_and_by_one_worker() {
        let queue = WorkQueue::new();
        queue.add("a");
        queue.add("b");
        queue.add("a");
        assert_eq!(queue.len(), 2);
        assert_eq!(next(&queue).await, "a");
        queue.add("a");
        assert_eq!(next(&queue).await, "b");
        assert!(queue.is_empty(), "a is still being worked on");
        queue.done(&"a");
        assert_eq!(next(&queue).await, "a");
    }

    #[tokio::test(start_paused = true)]
    async fn delays_are_kept_and_the_earlier_one_wins() {
        let queue = WorkQueue::new();
        let start = Instant::now();
        queue.add_after("late", Duration::from_secs(60));
        queue.add_after("soon", Duration::from_secs(30));
        queue.add_after("soon", Duration::from_secs(10));
        queue.add_after("soon", Duration::from_secs(40));
        assert_eq!(next(&queue).await, "soon");
        assert_eq!(start.elapsed().as_secs(), 10);
        queue.done(&"soon");
        assert_eq!(next(&queue).await, "late");
        assert_eq!(start.elapsed().as_secs(), 60);
    }

    #[tokio::test(start_paused = true)]
    async fn failures_back_off_until_forgotten() {
        let queue = WorkQueue::with_backoff(Duration::from_secs(1), Duration::from_secs(4));
        let mut waits = Vec::new();
        for round in 0..5 {
            if round == 4 {
                queue.forget(&"k");
            }
            let start = Instant::now();
            queue.add_rate_limited("k");
            let key = next(&queue).await;
            queue.done(&key);
            waits.push(start.elapsed().as_secs());
        }
        assert_eq!(waits, [1, 2, 4, 4, 1]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_queue_with_a_name_tells_of_its_work() {
        let registry = Registry::bare();
        let queue = WorkQueue::new().named("pods", &registry);
        let scrape = || registry.encode(telemetry::metrics::Format::Text);
        let has = |line: &str| {
            let text = scrape();
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        };
        queue.add("a");
        queue.add("a");
        queue.add("b");
        has("workqueue_depth{name=\"pods\"} 2");
        has("workqueue_adds_total{name=\"pods\"} 2");
        tokio::time::advance(Duration::from_secs(2)).await;
        let key = next(&queue).await;
        tokio::time::advance(Duration::from_secs(3)).await;
        has("workqueue_depth{name=\"pods\"} 1");
        has("workqueue_unfinished_work_seconds{name=\"pods\"} 3");
        has("workqueue_longest_running_processor_seconds{name=\"pods\"} 3");
        has("workqueue_queue_duration_seconds_sum{name=\"pods\"} 2.0");
        queue.add_rate_limited(key);
        queue.done(&key);
        has("workqueue_retries_total{name=\"pods\"} 1");
        has("workqueue_work_duration_seconds_sum{name=\"pods\"} 3.0");
        has("workqueue_work_duration_seconds_bucket{name=\"pods\",le=\"1\"} 0");
        has("workqueue_unfinished_work_seconds{name=\"pods\"} 0");
        // The controller is started again.
        drop(queue);
        let queue = WorkQueue::<&str>::new().named("pods", &registry);
        has("workqueue_depth{name=\"pods\"} 0");
        drop(queue);
        assert!(!scrape().contains("workqueue_unfinished_work_seconds{"));
    }

    #[tokio::test]
    async fn shutting_down_drains_and_ends_every_worker() {
        let queue = WorkQueue::new();
        queue.add("a");
        queue.add_after("never", Duration::from_secs(3600));
        let workers: Vec<_> = (0..3)
            .map(|_| {
                let queue = queue.clone();
                tokio::spawn(async move {
                    let mut taken = 0;
                    while let Some(key) = queue.get().await {
                        queue.done(&key);
                        taken += 1;
                    }
                    taken
                })
            })
            .collect();
        queue.shut_down();
        queue.add("refused");
        let mut total = 0;
        for worker in workers {
            total += worker.await.unwrap();
        }
        assert_eq!(total, 1);
    }
}

//! Metrics of the scheduler.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use telemetry::metrics::{Counter, Desc, Family, Histogram, Kind, Registry, Samples, buckets};

/// The one profile there is.
const PROFILE: &str = "default-scheduler";

/// Where waiting pods are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Active,
    Backoff,
    Unschedulable,
    Gated,
}

impl Place {
    const ALL: [Self; 4] = [Self::Active, Self::Backoff, Self::Unschedulable, Self::Gated];

    const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Backoff => "backoff",
            Self::Unschedulable => "unschedulable",
            Self::Gated => "gated",
        }
    }
}

/// How many of something there are, kept by the scheduler and read when somebody asks.
#[derive(Debug, Default)]
pub(crate) struct Sizes {
    pending: [AtomicUsize; 4],
    cache: [AtomicUsize; 2],
}

impl Sizes {
    /// Sets how many pods wait in each place.
    pub(crate) fn set_pending(&self, counts: [(Place, usize); 4]) {
        for (place, count) in counts {
            self.pending[place as usize].store(count, Ordering::Relaxed);
        }
    }

    /// Sets how many nodes and pods are known.
    pub(crate) fn set_cache(&self, counts: [usize; 2]) {
        for (size, count) in self.cache.iter().zip(counts) {
            size.store(count, Ordering::Relaxed);
        }
    }
}

/// The result of a scheduling attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attempt {
    Scheduled,
    Unschedulable,
    Error,
}

impl Attempt {
    const fn name(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Unschedulable => "unschedulable",
            Self::Error => "error",
        }
    }
}

/// All metrics of the scheduler.
#[derive(Debug)]
pub(crate) struct Metrics {
    attempts: Family<Counter, 2>,
    durations: Family<Histogram, 2>,
    algorithm: Histogram,
    points: Family<Histogram, 3>,
    sli: Family<Histogram, 1>,
    tries: Histogram,
    pub(crate) preemptions: Counter,
    pub(crate) victims: Histogram,
    incoming: Family<Counter, 2>,
    pub(crate) sizes: Arc<Sizes>,
}

impl Metrics {
    /// Those of a registry.
    pub(crate) fn of(registry: &Registry) -> Arc<Self> {
        registry.shared(Self::new)
    }

    fn new(registry: &Registry) -> Self {
        let milliseconds = buckets::exponential(0.001, 2.0, 15);
        let sizes = Arc::new(Sizes::default());
        let pending = sizes.clone();
        registry.collect(
            Desc::stable(
                "scheduler_pending_pods",
                "Number of pending pods, by the queue type. 'active' means number of pods in activeQ; 'backoff' means number of pods in backoffQ; 'unschedulable' means number of pods in unschedulablePods that the scheduler attempted to schedule and failed; 'gated' is the number of unschedulable pods that the scheduler never attempted to schedule because they are gated.",
            ),
            Kind::Gauge,
            ["queue"],
            move |samples: &mut Samples<1>| {
                for place in Place::ALL {
                    let count = pending.pending[place as usize].load(Ordering::Relaxed);
                    samples.add([place.name()], count as f64);
                }
            },
        );
        let cached = sizes.clone();
        registry.collect(
            Desc::alpha(
                "scheduler_cache_size",
                "Number of nodes, pods, and assumed (bound) pods in the scheduler cache.",
            ),
            Kind::Gauge,
            ["type"],
            move |samples: &mut Samples<1>| {
                for (name, size) in ["nodes", "pods"].into_iter().zip(&cached.cache) {
                    samples.add([name], size.load(Ordering::Relaxed) as f64);
                }
            },
        );
        Self {
            attempts: registry.counters(
                Desc::stable(
                    "scheduler_schedule_attempts_total",
                    "Number of attempts to schedule pods, by the result. 'unschedulable' means a pod could not be scheduled, while 'error' means an internal scheduler problem.",
                ),
                ["result", "profile"],
            ),
            durations: registry.histograms(
                Desc::stable(
                    "scheduler_scheduling_attempt_duration_seconds",
                    "Scheduling attempt latency in seconds (scheduling algorithm + binding)",
                ),
                ["result", "profile"],
                &milliseconds,
            ),
            algorithm: registry.histogram(
                Desc::alpha(
                    "scheduler_scheduling_algorithm_duration_seconds",
                    "Scheduling algorithm latency in seconds",
                ),
                &milliseconds,
            ),
            points: registry.histograms(
                Desc::stable(
                    "scheduler_framework_extension_point_duration_seconds",
                    "Latency for running all plugins of a specific extension point.",
                ),
                ["extension_point", "status", "profile"],
                &buckets::exponential(0.0001, 2.0, 12),
            ),
            sli: registry.histograms(
                Desc::beta(
                    "scheduler_pod_scheduling_sli_duration_seconds",
                    "E2e latency for a pod being scheduled, from the time the pod enters the scheduling queue and might involve multiple scheduling attempts.",
                ),
                ["attempts"],
                &buckets::exponential(0.01, 2.0, 20),
            ),
            tries: registry.histogram(
                Desc::stable(
                    "scheduler_pod_scheduling_attempts",
                    "Number of attempts to successfully schedule a pod.",
                ),
                &buckets::exponential(1.0, 2.0, 5),
            ),
            preemptions: registry.counter(Desc::stable(
                "scheduler_preemption_attempts_total",
                "Total preemption attempts in the cluster till now",
            )),
            victims: registry.histogram(
                Desc::stable(
                    "scheduler_preemption_victims",
                    "Number of selected preemption victims",
                ),
                &buckets::exponential(1.0, 2.0, 7),
            ),
            incoming: registry.counters(
                Desc::stable(
                    "scheduler_queue_incoming_pods_total",
                    "Number of pods added to scheduling queues by event and queue type.",
                ),
                ["queue", "event"],
            ),
            sizes,
        }
    }

    /// An attempt has ended that began so long ago.
    pub(crate) fn attempted(&self, attempt: Attempt, took: Duration) {
        let values = [attempt.name(), PROFILE];
        self.attempts.with(values).inc();
        self.durations.with(values).observe(took.as_secs_f64());
    }

    /// A node was looked for.
    pub(crate) fn decided(&self, took: Duration) {
        self.algorithm.observe(took.as_secs_f64());
    }

    /// The plugins of an extension point have run.
    pub(crate) fn point(&self, point: &str, status: &str, took: Duration) {
        self.points.with([point, status, PROFILE]).observe(took.as_secs_f64());
    }

    /// A pod was bound after so many attempts; it came to the queue so long ago.
    pub(crate) fn bound(&self, attempts: u32, waited: Duration) {
        self.tries.observe(f64::from(attempts));
        // Fifteen and more are one, lest a pod that is tried for ever makes as many series.
        let label = match attempts {
            15.. => "15+",
            _ => &attempts.to_string(),
        };
        self.sli.with([label]).observe(waited.as_secs_f64());
    }

    /// A pod came to a place of the queue because of something.
    pub(crate) fn incoming(&self, place: Place, event: &str) {
        self.incoming.with([place.name(), event]).inc();
    }
}

#[cfg(test)]
mod tests {
    use telemetry::metrics::stable;

    use super::*;

    #[test]
    fn all_that_upstream_promises_is_there() {
        let registry = Registry::bare();
        Metrics::new(&registry);
        assert_eq!(stable::differences(&registry, &["scheduler"]), [""; 0]);
        let registry = Registry::bare();
        crate::pod_resources::add(&registry, &client::Store::default());
        assert_eq!(stable::differences(&registry, &["scheduler/resources"]), [""; 0]);
    }
}

//! Metrics of queues, requests and leases.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use telemetry::metrics::{
    Counter, Desc, Family, Gauge, Histogram, Kind, Registry, Samples, buckets,
};

/// Work that has been begun and not ended: seconds of all of it, and of the longest.
pub(crate) trait Unfinished: Send + Sync {
    /// Both sums, now.
    fn unfinished(&self) -> (f64, f64);
}

type Working = Arc<Mutex<Vec<(&'static str, Weak<dyn Unfinished>)>>>;

/// Metrics of work queues, by their names.
pub(crate) struct Queues {
    depth: Family<Gauge, 1>,
    adds: Family<Counter, 1>,
    waited: Family<Histogram, 1>,
    worked: Family<Histogram, 1>,
    retries: Family<Counter, 1>,
    working: Working,
}

/// Those of one queue.
pub(crate) struct Queue {
    pub(crate) depth: Gauge,
    pub(crate) adds: Counter,
    pub(crate) waited: Histogram,
    pub(crate) worked: Histogram,
    pub(crate) retries: Counter,
}

impl Queues {
    /// Those of a registry.
    pub(crate) fn of(registry: &Registry) -> Arc<Self> {
        registry.shared(Self::new)
    }

    fn new(registry: &Registry) -> Self {
        let bounds = buckets::exponential(10e-9, 10.0, 10);
        let working = Working::default();
        let sums = |desc: Desc, of: fn((f64, f64)) -> f64| {
            let working = working.clone();
            registry.collect(desc, Kind::Gauge, ["name"], move |samples: &mut Samples<1>| {
                let mut queues = working.lock();
                queues.retain(|(_, queue)| queue.strong_count() > 0);
                for (name, queue) in queues.iter() {
                    if let Some(queue) = queue.upgrade() {
                        samples.add([name], of(queue.unfinished()));
                    }
                }
            });
        };
        sums(
            Desc::alpha(
                "workqueue_unfinished_work_seconds",
                "How many seconds of work has done that is in progress and hasn't been observed by work_duration. Large values indicate stuck threads. One can deduce the number of stuck threads by observing the rate at which this increases.",
            ),
            |(all, _)| all,
        );
        sums(
            Desc::alpha(
                "workqueue_longest_running_processor_seconds",
                "How many seconds has the longest running processor for workqueue been running.",
            ),
            |(_, longest)| longest,
        );
        Self {
            depth: registry
                .gauges(Desc::alpha("workqueue_depth", "Current depth of workqueue"), ["name"]),
            adds: registry.counters(
                Desc::alpha("workqueue_adds_total", "Total number of adds handled by workqueue"),
                ["name"],
            ),
            waited: registry.histograms(
                Desc::alpha(
                    "workqueue_queue_duration_seconds",
                    "How long in seconds an item stays in workqueue before being requested.",
                ),
                ["name"],
                &bounds,
            ),
            worked: registry.histograms(
                Desc::alpha(
                    "workqueue_work_duration_seconds",
                    "How long in seconds processing an item from workqueue takes.",
                ),
                ["name"],
                &bounds,
            ),
            retries: registry.counters(
                Desc::alpha(
                    "workqueue_retries_total",
                    "Total number of retries handled by workqueue",
                ),
                ["name"],
            ),
            working,
        }
    }

    /// Those of the queue `name`, which takes the place of one that has ended.
    pub(crate) fn queue(&self, name: &'static str, queue: Weak<dyn Unfinished>) -> Queue {
        let mut working = self.working.lock();
        working.retain(|(known, _)| *known != name);
        working.push((name, queue));
        let depth = self.depth.with([name]);
        depth.set(0.0);
        Queue {
            depth,
            adds: self.adds.with([name]),
            waited: self.waited.with([name]),
            worked: self.worked.with([name]),
            retries: self.retries.with([name]),
        }
    }
}

/// Metrics of requests to an API server.
pub(crate) struct Requests {
    pub(crate) results: Family<Counter, 3>,
    pub(crate) durations: Family<Histogram, 2>,
}

impl Requests {
    /// Those of a registry.
    pub(crate) fn of(registry: &Registry) -> Arc<Self> {
        registry.shared(|registry| Self {
            results: registry.counters(
                Desc::alpha(
                    "rest_client_requests_total",
                    "Number of HTTP requests, partitioned by status code, method, and host.",
                ),
                ["code", "method", "host"],
            ),
            durations: registry.histograms(
                Desc::alpha(
                    "rest_client_request_duration_seconds",
                    "Request latency in seconds. Broken down by verb, and host.",
                ),
                ["verb", "host"],
                &[0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0],
            ),
        })
    }
}

/// The gauge `leader_election_master_status`: 1 while this process leads.
pub(crate) struct Leases(pub(crate) Family<Gauge, 1>);

impl Leases {
    /// Those of a registry.
    pub(crate) fn of(registry: &Registry) -> Arc<Self> {
        registry.shared(|registry| {
            Self(registry.gauges(
                Desc::alpha(
                    "leader_election_master_status",
                    "Gauge of if the reporting system is master of the relevant lease, 0 indicates backup, 1 indicates master. 'name' is the string used to identify the lease. Please make sure to group by name.",
                ),
                ["name"],
            ))
        })
    }
}

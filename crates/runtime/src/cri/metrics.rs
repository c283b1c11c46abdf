//! How the events of a runtime's containers come: upstream's metrics of the pod lifecycle event
//! generator (PLEG), by listing and by subscription.

use std::time::Duration;

use telemetry::metrics::{Counter, Desc, Gauge, Histogram, Registry, buckets};
use tokio::time::Instant;

/// All metrics of one connection.
#[derive(Debug)]
pub(super) struct Metrics {
    durations: Histogram,
    intervals: Histogram,
    seen: Gauge,
    subscribed: Counter,
    refused: Counter,
    latency: Histogram,
    last: Option<Instant>,
}

impl Metrics {
    pub(super) fn new(registry: &Registry) -> Self {
        let times = |name, help| registry.histogram(Desc::alpha(name, help), &buckets::DEFAULT);
        Self {
            durations: times(
                "kubelet_pleg_relist_duration_seconds",
                "Duration in seconds for relisting pods in PLEG.",
            ),
            intervals: times(
                "kubelet_pleg_relist_interval_seconds",
                "Interval in seconds between relisting in PLEG.",
            ),
            seen: registry.gauge(Desc::alpha(
                "kubelet_pleg_last_seen_seconds",
                "Timestamp in seconds when PLEG was last seen active.",
            )),
            subscribed: registry.counter(Desc::alpha(
                "kubelet_evented_pleg_connection_success_count",
                "The number of times a streaming client was obtained to receive CRI Events.",
            )),
            refused: registry.counter(Desc::alpha(
                "kubelet_evented_pleg_connection_error_count",
                "The number of errors encountered during the establishment of streaming connection with the CRI runtime.",
            )),
            latency: times(
                "kubelet_evented_pleg_connection_latency_seconds",
                "The latency of streaming connection with the CRI runtime, measured in seconds.",
            ),
            last: None,
        }
    }

    /// Counts a listing that began at `begun` and ends now.
    pub(super) fn listed(&mut self, begun: Instant) {
        if let Some(last) = self.last.replace(begun) {
            self.intervals.observe((begun - last).as_secs_f64());
        }
        self.durations.observe(begun.elapsed().as_secs_f64());
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        self.seen.set(now.as_secs_f64());
    }

    /// Counts an attempt to subscribe.
    pub(super) fn subscribed(&self, succeeded: bool, took: Duration) {
        if succeeded {
            self.subscribed.inc();
            self.latency.observe(took.as_secs_f64());
        } else {
            self.refused.inc();
        }
    }
}

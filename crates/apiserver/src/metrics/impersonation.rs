//! Metrics of impersonation.

use std::time::Duration;

use telemetry::metrics::{Counter, Desc, Family, Histogram, Registry, buckets};

/// Attempts to impersonate, and the checks that they take.
pub(crate) struct Impersonation {
    attempts: Family<Counter, 2>,
    attempt_durations: Family<Histogram, 2>,
    checks: Family<Counter, 2>,
    check_durations: Family<Histogram, 2>,
}

impl Impersonation {
    pub(super) fn new(registry: &Registry) -> Self {
        let bounds = buckets::exponential(0.001, 2.0, 15);
        let labels = ["mode", "decision"];
        Self {
            attempts: registry.counters(
                Desc::alpha(
                    "apiserver_impersonation_attempts_total",
                    "Total number of impersonation attempts split by mode and decision.",
                ),
                labels,
            ),
            attempt_durations: registry.histograms(
                Desc::alpha(
                    "apiserver_impersonation_attempts_duration_seconds",
                    "Latency of impersonation attempts in seconds split by mode and decision.",
                ),
                labels,
                &bounds,
            ),
            checks: registry.counters(
                Desc::alpha(
                    "apiserver_impersonation_authorization_attempts_total",
                    "Total number of authorization checks made by the impersonation handler split by mode and decision.",
                ),
                labels,
            ),
            check_durations: registry.histograms(
                Desc::alpha(
                    "apiserver_impersonation_authorization_attempts_duration_seconds",
                    "Latency of authorization checks made by the impersonation handler in seconds split by mode and decision.",
                ),
                labels,
                &bounds,
            ),
        }
    }

    /// Records an attempt, and the mode that allowed it.
    pub(crate) fn attempted(&self, allowed_by: Option<&str>, took: Duration) {
        let labels = match allowed_by {
            Some(mode) => [mode, "allowed"],
            None => ["", "denied"],
        };
        self.attempts.with(labels).inc();
        self.attempt_durations.with(labels).observe(took.as_secs_f64());
    }

    /// Records one check of a mode.
    pub(crate) fn authorized(&self, mode: &str, allowed: bool, took: Duration) {
        let labels = [mode, if allowed { "allowed" } else { "denied" }];
        self.checks.with(labels).inc();
        self.check_durations.with(labels).observe(took.as_secs_f64());
    }
}

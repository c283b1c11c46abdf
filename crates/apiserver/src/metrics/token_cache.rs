//! Metrics of answers about tokens.

use std::time::Duration;

use telemetry::metrics::{Counter, Desc, Family, Gauge, Held, Histogram, Registry};

/// Questions about tokens, and how many are answered by what is known. Cloning shares them.
#[derive(Clone)]
pub(crate) struct TokenCache {
    durations: Family<Histogram, 1>,
    requests: Family<Counter, 1>,
    fetches: Family<Counter, 1>,
    active: Family<Gauge, 1>,
}

/// A question under way.
pub(crate) struct Fetching {
    fetches: Family<Counter, 1>,
    _active: Held,
}

impl TokenCache {
    pub(super) fn new(registry: &Registry) -> Self {
        let bounds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
        let status = ["status"];
        Self {
            durations: registry.histograms(
                Desc::alpha("authentication_token_cache_request_duration_seconds", ""),
                status,
                &bounds,
            ),
            requests: registry
                .counters(Desc::alpha("authentication_token_cache_request_total", ""), status),
            fetches: registry
                .counters(Desc::alpha("authentication_token_cache_fetch_total", ""), status),
            active: registry
                .gauges(Desc::alpha("authentication_token_cache_active_fetch_count", ""), status),
        }
    }

    /// Records a question, which was answered by what is known or not.
    pub(crate) fn asked(&self, hit: bool, took: Duration) {
        let status = [if hit { "hit" } else { "miss" }];
        self.requests.with(status).inc();
        self.durations.with(status).observe(took.as_secs_f64());
    }

    /// Counts a question to the webhook as long as it is under way.
    pub(crate) fn fetching(&self) -> Fetching {
        let active = self.active.with(["in_flight"]);
        Fetching { fetches: self.fetches.clone(), _active: active.held() }
    }
}

impl Fetching {
    /// Records its end.
    pub(crate) fn done(self, success: bool) {
        self.fetches.with([if success { "ok" } else { "error" }]).inc();
    }
}

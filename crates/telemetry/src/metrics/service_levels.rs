//! Metrics of health checks (KEP-3466).

use super::{Counter, Desc, Exposition, Family, Gauge, Registry};

/// The last result of each health check, and how many there were: `/metrics/slis`, beside all other
/// metrics, so that it can be scraped more often than they.
#[derive(Clone, Debug)]
pub struct ServiceLevels {
    pub(super) registry: Registry,
    last: Family<Gauge, 2>,
    all: Family<Counter, 3>,
}

impl Default for ServiceLevels {
    fn default() -> Self {
        let registry = Registry::bare();
        registry.process_start();
        Self {
            last: registry.gauges(
                Desc::stable(
                    "kubernetes_healthcheck",
                    "This metric records the result of a single healthcheck.",
                ),
                ["name", "type"],
            ),
            all: registry.counters(
                Desc::stable(
                    "kubernetes_healthchecks_total",
                    "This metric records the results of all healthcheck.",
                ),
                ["name", "status", "type"],
            ),
            registry,
        }
    }
}

impl ServiceLevels {
    /// Counts a check of `healthz`, `livez` or `readyz`.
    pub fn checked(&self, name: &'static str, of: &'static str, passes: bool) {
        let status = if passes { "success" } else { "error" };
        self.last.with([name, of]).set(f64::from(u8::from(passes)));
        self.all.with([name, status, of]).inc();
    }

    /// The answer to a scrape.
    pub fn scrape(&self, accept: Option<&str>) -> Exposition {
        self.registry.scrape(accept)
    }
}

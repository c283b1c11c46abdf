//! What came of health checks (KEP-3466).

use super::{Counter, Desc, Exposition, Family, Gauge, Registry};

/// The last result of each health check, and how many there were. They are served by themselves at
/// `/metrics/slis`, and among all metrics.
#[derive(Clone, Debug)]
pub struct ServiceLevels {
    registry: Registry,
    last: [Family<Gauge, 2>; 2],
    all: [Family<Counter, 3>; 2],
}

impl ServiceLevels {
    /// Adds them to the main registry, and to one of their own.
    pub fn new(main: &Registry) -> Self {
        let registry = Registry::bare();
        registry.process_start();
        let last = Desc::stable(
            "kubernetes_healthcheck",
            "This metric records the result of a single healthcheck.",
        );
        let all = Desc::stable(
            "kubernetes_healthchecks_total",
            "This metric records the results of all healthcheck.",
        );
        Self {
            last: [main, &registry].map(|r| r.gauges(last, ["name", "type"])),
            all: [main, &registry].map(|r| r.counters(all, ["name", "status", "type"])),
            registry,
        }
    }

    /// Counts a check of `healthz`, `livez` or `readyz`.
    pub fn checked(&self, name: &'static str, of: &'static str, passes: bool) {
        let status = if passes { "success" } else { "error" };
        self.last.iter().for_each(|last| last.with([name, of]).set(f64::from(u8::from(passes))));
        self.all.iter().for_each(|all| all.with([name, status, of]).inc());
    }

    /// The answer to a scrape of them alone.
    pub fn scrape(&self, accept: Option<&str>) -> Exposition {
        self.registry.scrape(accept)
    }
}

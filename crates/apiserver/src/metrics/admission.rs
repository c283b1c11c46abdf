//! How long admission takes.

use std::time::Instant;

use telemetry::metrics::{Desc, Family, Histogram, Registry};

const BOUNDS: [f64; 6] = [0.005, 0.025, 0.1, 0.5, 1.0, 2.5];

/// Metrics of plugins and of whole phases.
pub(crate) struct Admission {
    controllers: Family<Histogram, 4>,
    steps: Family<Histogram, 3>,
}

impl Admission {
    pub(super) fn new(registry: &Registry) -> Self {
        Self {
            controllers: registry.histograms(
                Desc::stable(
                    "apiserver_admission_controller_admission_duration_seconds",
                    "Admission controller latency histogram in seconds, identified by name and broken out for each operation and API resource and type (validate or admit).",
                ),
                ["name", "type", "operation", "rejected"],
                &BOUNDS,
            ),
            steps: registry.histograms(
                Desc::stable(
                    "apiserver_admission_step_admission_duration_seconds",
                    "Admission sub-step latency histogram in seconds, broken out for each operation and API resource and step type (validate or admit).",
                ),
                ["type", "operation", "rejected"],
                &BOUNDS,
            ),
        }
    }

    /// One plugin has looked at a write since `begun`. `phase` is `admit` or `validate`.
    pub(crate) fn plugin(
        &self,
        name: &str,
        phase: &str,
        operation: &str,
        rejected: bool,
        begun: Instant,
    ) {
        let series = self.controllers.with([name, phase, operation, word(rejected)]);
        series.observe(begun.elapsed().as_secs_f64());
    }

    /// All of them have.
    pub(crate) fn step(&self, phase: &str, operation: &str, rejected: bool, begun: Instant) {
        let series = self.steps.with([phase, operation, word(rejected)]);
        series.observe(begun.elapsed().as_secs_f64());
    }
}

const fn word(yes: bool) -> &'static str {
    if yes { "true" } else { "false" }
}

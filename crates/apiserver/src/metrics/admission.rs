//! Duration of admission.

use std::sync::OnceLock;
use std::time::Instant;

use telemetry::metrics::{Desc, Family, Histogram, Registry};

use crate::admission::{Operation, PLUGINS};

const BOUNDS: [f64; 6] = [0.005, 0.025, 0.1, 0.5, 1.0, 2.5];

/// The phase in which a plugin runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Admit,
    Validate,
}

impl Phase {
    const fn name(self) -> &'static str {
        match self {
            Self::Admit => "admit",
            Self::Validate => "validate",
        }
    }
}

/// Metrics of plugins and of whole phases.
pub(crate) struct Admission {
    controllers: Family<Histogram, 4>,
    steps: Family<Histogram, 3>,
    /// The series of plugins that do not refuse, by phase and operation, looked up once.
    content: Vec<[[OnceLock<Histogram>; 4]; 2]>,
}

/// One phase of one write.
pub(crate) struct Step<'a> {
    metrics: &'a Admission,
    phase: Phase,
    operation: Operation,
    begun: Instant,
    /// End of the previous plugin.
    last: Instant,
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
            content: PLUGINS.iter().map(|_| Default::default()).collect(),
        }
    }

    /// Begins a phase.
    pub(crate) fn begin(&self, phase: Phase, operation: Operation) -> Step<'_> {
        let now = Instant::now();
        Step { metrics: self, phase, operation, begun: now, last: now }
    }
}

impl Step<'_> {
    /// Records the end of the plugin at this place of the table.
    pub(crate) fn plugin(&mut self, at: usize, rejected: bool) {
        let (phase, operation) = (self.phase, self.operation);
        let look_up = || {
            let name = PLUGINS[at].name;
            let rejected = if rejected { "true" } else { "false" };
            let values = [name, phase.name(), operation.name(), rejected];
            self.metrics.controllers.with(values)
        };
        let now = Instant::now();
        let took = (now - self.last).as_secs_f64();
        if rejected {
            look_up().observe(took);
        } else {
            let known = &self.metrics.content[at][phase as usize][operation as usize];
            known.get_or_init(look_up).observe(took);
        }
        self.last = now;
    }

    /// Ends the phase: all plugins have run, or one has refused.
    pub(crate) fn end(self, rejected: bool) {
        let rejected = if rejected { "true" } else { "false" };
        let values = [self.phase.name(), self.operation.name(), rejected];
        let took = self.begun.elapsed().as_secs_f64();
        self.metrics.steps.with(values).observe(took);
    }
}

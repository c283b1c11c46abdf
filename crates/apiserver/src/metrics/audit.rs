//! Metrics of the audit.

use telemetry::metrics::{Counter, Desc, Family, Registry};

/// Events, errors, levels and rejected requests. Cloning shares them.
#[derive(Clone)]
pub(crate) struct Audit {
    /// Events that were generated.
    pub(crate) events: Counter,
    /// Requests that were rejected because their event could not be stored.
    pub(crate) rejected: Counter,
    errors: Family<Counter, 1>,
    levels: Family<Counter, 1>,
}

impl Audit {
    pub(super) fn new(registry: &Registry) -> Self {
        Self {
            events: registry.counter(Desc::alpha(
                "apiserver_audit_event_total",
                "Counter of audit events generated and sent to the audit backend.",
            )),
            rejected: registry.counter(Desc::alpha(
                "apiserver_audit_requests_rejected_total",
                "Counter of apiserver requests rejected due to an error in audit logging backend.",
            )),
            errors: registry.counters(
                Desc::alpha(
                    "apiserver_audit_error_total",
                    "Counter of audit events that failed to be audited properly. Plugin identifies the plugin affected by the error.",
                ),
                ["plugin"],
            ),
            levels: registry.counters(
                Desc::alpha(
                    "apiserver_audit_level_total",
                    "Counter of policy levels for audit events (1 per request).",
                ),
                ["level"],
            ),
        }
    }

    /// Counts an event that a plugin has lost.
    pub(crate) fn failed(&self, plugin: &'static str) {
        self.errors.with([plugin]).inc();
    }

    /// Counts a request by its level.
    pub(crate) fn level(&self, level: &'static str) {
        self.levels.with([level]).inc();
    }
}

//! Metrics of authorizers and of the webhooks among them.

use std::time::Duration;

use telemetry::metrics::{Counter, Desc, Family, Histogram, Registry};

/// The type of webhooks in the metrics of their conditions.
const WEBHOOK: &str = "Webhook";

/// Metrics of authorizers. Cloning shares them.
#[derive(Clone)]
pub(crate) struct Authorization {
    decisions: Family<Counter, 3>,
    pub(crate) webhooks: AuthorizationWebhooks,
}

/// Metrics of webhooks that authorize. Cloning shares them.
#[derive(Clone)]
pub(crate) struct AuthorizationWebhooks {
    evaluations: Family<Counter, 2>,
    durations: Family<Histogram, 2>,
    failed_open: Family<Counter, 2>,
    condition_errors: Family<Counter, 2>,
    condition_exclusions: Family<Counter, 2>,
    condition_durations: Family<Histogram, 2>,
}

impl Authorization {
    pub(super) fn new(registry: &Registry) -> Self {
        Self {
            decisions: registry.counters(
                Desc::alpha(
                    "apiserver_authorization_decisions_total",
                    "Total number of terminal decisions made by an authorizer split by authorizer type, name, and decision.",
                ),
                ["type", "name", "decision"],
            ),
            webhooks: AuthorizationWebhooks::new(registry),
        }
    }

    /// Counts the decisions of an authorizer.
    pub(crate) fn decisions(&self, ty: &str, name: &str, decision: &str) -> Counter {
        self.decisions.with([ty, name, decision])
    }

    /// Forgets authorizers that are not among these.
    pub(crate) fn retain<'a>(&self, names: impl Iterator<Item = &'a str>) {
        let names: Vec<&str> = names.collect();
        let known = |name: &str| names.contains(&name);
        let webhooks = &self.webhooks;
        self.decisions.retain(|[_, name, _]| known(name));
        webhooks.evaluations.retain(|[name, _]| known(name));
        webhooks.durations.retain(|[name, _]| known(name));
        webhooks.failed_open.retain(|[name, _]| known(name));
        webhooks.condition_errors.retain(|[_, name]| known(name));
        webhooks.condition_exclusions.retain(|[_, name]| known(name));
        webhooks.condition_durations.retain(|[_, name]| known(name));
    }
}

impl AuthorizationWebhooks {
    fn new(registry: &Registry) -> Self {
        let bounds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
        let condition_bounds = [0.001, 0.005, 0.01, 0.025, 0.1, 0.2, 0.25];
        Self {
            evaluations: registry.counters(
                Desc::alpha(
                    "apiserver_authorization_webhook_evaluations_total",
                    "Round-trips to authorization webhooks.",
                ),
                ["name", "result"],
            ),
            durations: registry.histograms(
                Desc::alpha(
                    "apiserver_authorization_webhook_duration_seconds",
                    "Request latency in seconds.",
                ),
                ["name", "result"],
                &bounds,
            ),
            failed_open: registry.counters(
                Desc::alpha(
                    "apiserver_authorization_webhook_evaluations_fail_open_total",
                    "NoOpinion results due to webhook timeout or error.",
                ),
                ["name", "result"],
            ),
            condition_errors: registry.counters(
                Desc::alpha(
                    "apiserver_authorization_match_condition_evaluation_errors_total",
                    "Total number of errors when an authorization webhook encounters a match condition error split by authorizer type and name.",
                ),
                ["type", "name"],
            ),
            condition_exclusions: registry.counters(
                Desc::alpha(
                    "apiserver_authorization_match_condition_exclusions_total",
                    "Total number of exclusions when an authorization webhook is skipped because match conditions exclude it.",
                ),
                ["type", "name"],
            ),
            condition_durations: registry.histograms(
                Desc::alpha(
                    "apiserver_authorization_match_condition_evaluation_seconds",
                    "Authorization match condition evaluation time in seconds, split by authorizer type and name.",
                ),
                ["type", "name"],
                &condition_bounds,
            ),
        }
    }

    /// Records a call, which ended like this.
    pub(crate) fn called(&self, name: &str, result: &str, took: Duration) {
        self.evaluations.with([name, result]).inc();
        self.durations.with([name, result]).observe(took.as_secs_f64());
    }

    /// Records that a failure left the decision to others.
    pub(crate) fn failed_open(&self, name: &str, result: &str) {
        self.failed_open.with([name, result]).inc();
    }

    /// Records an evaluation of conditions; `None` if it failed.
    pub(crate) fn matched(&self, name: &str, took: Duration, held: Option<bool>) {
        self.condition_durations.with([WEBHOOK, name]).observe(took.as_secs_f64());
        match held {
            Some(true) => {}
            Some(false) => self.condition_exclusions.with([WEBHOOK, name]).inc(),
            None => self.condition_errors.with([WEBHOOK, name]).inc(),
        }
    }
}

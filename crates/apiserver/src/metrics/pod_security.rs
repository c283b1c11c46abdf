//! Decisions of PodSecurity.

use telemetry::metrics::{Counter, Desc, Family, Registry};

/// The outcome of an evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    Allow,
    Deny,
}

/// Counts of evaluations, exemptions and errors. The last three labels of each say what was asked:
/// the operation, the resource (`pod` or `controller`) and the subresource.
pub(crate) struct PodSecurity {
    evaluations: Family<Counter, 7>,
    exemptions: Family<Counter, 3>,
    errors: Family<Counter, 4>,
}

impl PodSecurity {
    pub(super) fn new(registry: &Registry) -> Self {
        let new = Self {
            evaluations: registry.counters(
                Desc::alpha(
                    "pod_security_evaluations_total",
                    "Number of policy evaluations that occurred, not counting ignored or exempt requests.",
                ),
                [
                    "decision",
                    "policy_level",
                    "policy_version",
                    "mode",
                    "request_operation",
                    "resource",
                    "subresource",
                ],
            ),
            exemptions: registry.counters(
                Desc::alpha(
                    "pod_security_exemptions_total",
                    "Number of exempt requests, not counting ignored or out of scope requests.",
                ),
                ["request_operation", "resource", "subresource"],
            ),
            errors: registry.counters(
                Desc::alpha(
                    "pod_security_errors_total",
                    "Number of errors preventing normal evaluation. Non-fatal errors may result in the latest restricted profile being used for evaluation.",
                ),
                ["fatal", "request_operation", "resource", "subresource"],
            ),
        };
        // Upstream serves these from the start.
        for operation in ["create", "update"] {
            let pod = ["allow", "privileged", "latest", "enforce", operation, "pod", ""];
            new.evaluations.with(pod);
            for resource in ["pod", "controller"] {
                new.exemptions.with([operation, resource, ""]);
            }
        }
        new
    }

    pub(crate) fn evaluated(
        &self,
        decision: Decision,
        level: &str,
        version: &str,
        mode: &str,
        [operation, resource, sub]: [&str; 3],
    ) {
        let decision = match decision {
            Decision::Allow => "allow",
            Decision::Deny => "deny",
        };
        let values = [decision, level, version, mode, operation, resource, sub];
        self.evaluations.with(values).inc();
    }

    pub(crate) fn exempted(&self, asked: [&str; 3]) {
        self.exemptions.with(asked).inc();
    }

    pub(crate) fn failed(&self, fatal: bool, [operation, resource, sub]: [&str; 3]) {
        let fatal = if fatal { "true" } else { "false" };
        self.errors.with([fatal, operation, resource, sub]).inc();
    }
}

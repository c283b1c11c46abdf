//! The annotations that policies add to the audit event of a request.

use serde::Serialize;
use serde_json::Value;

use crate::admission::Request;
use crate::audit::{Audit, cut};

/// Longest value of an annotation, in bytes, and most failures that are told (upstream's).
const LONGEST_VALUE: usize = 10 * 1024;
const MOST_FAILURES: usize = 50;

/// A validation that does not hold, whose binding has the action `Audit`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Failure {
    pub(super) message: String,
    pub(super) policy: String,
    pub(super) binding: String,
    pub(super) expression_index: usize,
    pub(super) validation_actions: Value,
}

/// The failures that all policies find.
#[derive(Default)]
pub(super) struct Failures(Vec<Failure>);

impl Failures {
    pub(super) fn add(&mut self, failure: Failure) {
        self.0.push(failure);
    }

    pub(super) fn publish(mut self, request: &Request<'_>) {
        let audit = &request.call.audit;
        if self.0.is_empty() || !audit.is_on() {
            return;
        }
        if self.0.len() > MOST_FAILURES {
            let (count, resource) = (self.0.len(), request.kind.resource);
            tracing::warn!(count, resource, "too many validation failures for an audit event");
            self.0.truncate(MOST_FAILURES);
        }
        let key = "validation.policy.admission.k8s.io/validation_failure";
        audit.annotate(key, serde_json::to_string(&self.0).unwrap_or_default());
    }
}

/// The annotations of one policy, by all of its bindings and parameters.
#[derive(Default)]
pub(super) struct Published<'p>(Vec<(&'p str, Vec<String>)>);

impl<'p> Published<'p> {
    /// Adds a value; the same value of a key is told once.
    pub(super) fn add(&mut self, key: &'p str, mut value: String) {
        value.truncate(cut(&value, LONGEST_VALUE).len());
        let at = self.0.iter().position(|(known, _)| *known == key).unwrap_or_else(|| {
            self.0.push((key, Vec::new()));
            self.0.len() - 1
        });
        let values = &mut self.0[at].1;
        if !values.contains(&value) {
            values.push(value);
        }
    }

    pub(super) fn publish(self, policy: &str, audit: &Audit) {
        for (key, values) in self.0 {
            audit.annotate_as_asked(&format!("{policy}/{key}"), values.join(", "));
        }
    }
}

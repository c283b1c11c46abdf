//! The coordination.k8s.io group.

use super::check::check;
use super::column::{AGE, Column, NAME};
use super::kind::Kind;
use super::strategy::{Context, Strategy};
use apimachinery::field::{ErrorList, FieldError};
use apimachinery::{Object, ObjectExt, names};

pub(super) static KINDS: &[Kind] =
    &[Kind::new("coordination.k8s.io", "v1", "Lease", "leases", "lease")
        .rechecks(0, 1)
        .any_finalizer()
        .namespaced()
        .strategy(&Lease)
        .columns(&[NAME, Column::text_or("Holder", &["spec", "holderIdentity"], ""), AGE])];

struct Lease;

impl Strategy for Lease {
    fn create_on_update(&self) -> bool {
        true
    }

    fn unconditional_update(&self) -> bool {
        false
    }

    fn prepare_for_update(
        &self,
        _ctx: &Context<'_>,
        object: &mut Object,
        old: &Object,
    ) -> ErrorList {
        for field in ["strategy", "preferredHolder"] {
            if old["spec"][field].is_null() {
                object.remove_path(&["spec", field]);
            }
        }
        ErrorList::new()
    }

    /// Coordinated leader election is disabled.
    fn prepare_for_create(&self, _ctx: &Context<'_>, object: &mut Object) -> ErrorList {
        for field in ["strategy", "preferredHolder"] {
            object.remove_path(&["spec", field]);
        }
        ErrorList::new()
    }

    fn validate(&self, object: &Object) -> ErrorList {
        check(object, |object| {
            let spec = object.at("spec");
            if spec.int("leaseDurationSeconds").is_some_and(|n| n <= 0) {
                spec.at("leaseDurationSeconds").invalid("must be greater than 0");
            }
            spec.non_negative("leaseTransitions");
            let strategy = spec.at("strategy");
            if spec.has("strategy") {
                if strategy.text().contains('/') {
                    for message in names::qualified_name(strategy.text()) {
                        strategy.at("strategy").invalid_value(strategy.text(), message);
                    }
                } else if strategy.text() != "OldestEmulationVersion" {
                    let at = strategy.at("strategy");
                    at.push(FieldError::not_supported(
                        at.path(),
                        strategy.text(),
                        &["OldestEmulationVersion"],
                    ));
                }
            }
            if !spec.str("preferredHolder").is_empty() && strategy.text().is_empty() {
                spec.at("preferredHolder")
                    .forbidden("may only be specified if `strategy` is defined");
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::subject;
    use serde_json::json;

    #[test]
    fn leases() {
        subject("coordination.k8s.io", "v1", "Lease", json!({})).creates(&[
            (json!({"spec": {"leaseDurationSeconds": 40}}), &[]),
            (
                json!({"spec": {"leaseDurationSeconds": 0, "leaseTransitions": -1, "strategy": "Mine", "preferredHolder": "x"}}),
                &[
                    "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0",
                    "spec.leaseTransitions: Invalid value: -1: must be greater than or equal to 0",
                    "spec.strategy.strategy: Unsupported value: \"Mine\": supported values: \"OldestEmulationVersion\"",
                ],
            ),
        ]);
    }
}

//! The policy group.

use super::Sub;
use super::check::{check, check_conditions, check_label_selector};
use super::column::{AGE, Column, NAME};
use super::kind::Kind;
use super::strategy::{Context, Strategy, clear_status};
use super::workload::{check_at_most_all, check_int_or_percent};
use apimachinery::field::ErrorList;
use apimachinery::{Object, ObjectExt, names};
use serde_json::Value;

fn amount(object: &Value, field: &str) -> Value {
    match object.get_path(&["spec", field]) {
        Some(Value::String(s)) => s.clone().into(),
        Some(n @ Value::Number(_)) => n.to_string().into(),
        _ => "N/A".into(),
    }
}

pub(super) static KINDS: &[Kind] = &[Kind::new(
    "policy",
    "v1",
    "PodDisruptionBudget",
    "poddisruptionbudgets",
    "poddisruptionbudget",
)
.rechecks(0, 0)
.any_finalizer()
.namespaced()
.short(&["pdb"])
.subs(&[Sub::Status])
.strategy(&Budget)
.generation()
.columns(&[
    NAME,
    Column::make("Min Available", |o| amount(o, "minAvailable")),
    Column::make("Max Unavailable", |o| amount(o, "maxUnavailable")),
    Column::number("Allowed Disruptions", &["status", "disruptionsAllowed"]),
    AGE,
])];

struct Budget;

impl Strategy for Budget {
    fn unconditional_update(&self) -> bool {
        false
    }

    fn prepare_for_create(&self, _ctx: &Context<'_>, object: &mut Object) -> ErrorList {
        clear_status(object);
        ErrorList::new()
    }

    /// Upstream only requires a name that is valid in a path.
    fn validate_name(&self, name: &str) -> Vec<String> {
        names::path_segment_name(name)
    }

    fn validate(&self, object: &Object) -> ErrorList {
        check(object, |object| {
            let spec = object.at("spec");
            if spec.has("minAvailable") && spec.has("maxUnavailable") {
                spec.invalid_as(
                    "PodDisruptionBudgetSpec",
                    "minAvailable and maxUnavailable cannot be both set",
                );
            }
            for field in ["minAvailable", "maxUnavailable"] {
                check_int_or_percent(&spec, field);
                check_at_most_all(&spec, field);
            }
            if let Some(selector) = spec.opt("selector") {
                check_label_selector(&selector);
            }
            spec.maybe_one_of("unhealthyPodEvictionPolicy", &["AlwaysAllow", "IfHealthyBudget"]);
        })
    }

    fn validate_status(&self, object: &Object, _old: &Object) -> ErrorList {
        check(object, |object| {
            object.at("status").non_negative_all(&[
                "disruptionsAllowed",
                "currentHealthy",
                "desiredHealthy",
                "expectedPods",
            ]);
            check_conditions(&object.at("status"));
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::subject;
    use serde_json::json;

    #[test]
    fn budgets() {
        let base = json!({"spec": {"selector": {"matchLabels": {"a": "b"}}}});
        subject("policy", "v1", "PodDisruptionBudget", base).creates(&[
            (json!({"spec": {"minAvailable": "50%"}}), &[]),
            (
                json!({"spec": {"minAvailable": -1, "maxUnavailable": "200%", "unhealthyPodEvictionPolicy": "No"}}),
                &[
                    "spec: Invalid value: {\"MinAvailable\":-1,\"Selector\":{\"matchLabels\":{\"a\":\"b\"}},\"MaxUnavailable\":\"200%\",\"UnhealthyPodEvictionPolicy\":\"No\"}: minAvailable and maxUnavailable cannot be both set",
                    "spec.minAvailable: Invalid value: -1: must be greater than or equal to 0",
                    "spec.maxUnavailable: Invalid value: \"200%\": must not be greater than 100%",
                    "spec.unhealthyPodEvictionPolicy: Unsupported value: \"No\": supported values: \"AlwaysAllow\", \"IfHealthyBudget\"",
                ],
            ),
        ]);
    }
}

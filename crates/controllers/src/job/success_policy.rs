//! When a few indexes are enough: `spec.successPolicy`.
//!
//! <https://kubernetes.io/docs/concepts/workloads/controllers/job/#success-policy>

use k8s_openapi::api::batch::v1::{SuccessPolicy, SuccessPolicyRule};

use super::intervals::Intervals;

/// The message for the first rule that these succeeded indexes fulfil.
pub(super) fn met(
    policy: Option<&SuccessPolicy>,
    completions: i32,
    succeeded: &Intervals,
) -> Option<String> {
    if succeeded.total() == 0 {
        return None;
    }
    let index = policy?.rules.iter().position(|rule| fulfils(rule, completions, succeeded))?;
    Some(format!("Matched rules at index {index}"))
}

fn fulfils(rule: &SuccessPolicyRule, completions: i32, succeeded: &Intervals) -> bool {
    let enough = |count: i32| rule.succeeded_count.is_some_and(|wanted| count >= wanted);
    match &rule.succeeded_indexes {
        None => enough(succeeded.total()),
        Some(text) => {
            let required = Intervals::parse(text, completions);
            let common = required.common(succeeded);
            required.total() > 0 && (common == required.total() || enough(common))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rules_ask_for_a_number_or_for_certain_indexes() {
        for (rules, succeeded, expected) in [
            (json!([{"succeededCount": 2}]), "0", None),
            (json!([{"succeededCount": 2}]), "0,7", Some(0)),
            (json!([{"succeededIndexes": "0,2"}]), "0-1", None),
            (json!([{"succeededIndexes": "0,2"}]), "0-2", Some(0)),
            (json!([{"succeededIndexes": "0-4", "succeededCount": 2}]), "4-9", None),
            (json!([{"succeededIndexes": "0-4", "succeededCount": 2}]), "3-9", Some(0)),
            (json!([{"succeededIndexes": "9"}, {"succeededCount": 1}]), "1", Some(1)),
            (json!([{"succeededCount": 0}]), "", None),
        ] {
            let policy = serde_json::from_value(json!({ "rules": rules })).unwrap();
            let found = met(Some(&policy), 10, &Intervals::parse(succeeded, 10));
            let expected = expected.map(|index| format!("Matched rules at index {index}"));
            assert_eq!(found, expected, "{rules} {succeeded}");
        }
    }
}

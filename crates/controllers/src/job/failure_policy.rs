//! The effect of a failed pod on its Job: `spec.podFailurePolicy`.
//!
//! <https://kubernetes.io/docs/concepts/workloads/controllers/job/#pod-failure-policy>

use k8s_openapi::api::batch::v1::{
    PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement as ExitCodes,
    PodFailurePolicyOnPodConditionsPattern as ConditionPattern,
};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodCondition};

use crate::common::meta;

/// The answer of the first rule that applies.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It counts towards the backoff limits; so it is without a policy.
    Count,
    /// It does not count.
    Ignore,
    /// The Job fails, with this message.
    FailJob(String),
    /// The pod's index fails.
    FailIndex,
}

impl Verdict {
    /// Returns true if the failure counts towards the backoff limits.
    pub(super) fn counts(&self) -> bool {
        *self != Self::Ignore
    }
}

/// Judges a failed pod.
pub(super) fn judge(policy: Option<&PodFailurePolicy>, pod: &Pod) -> Verdict {
    for (index, rule) in policy.iter().flat_map(|policy| &policy.rules).enumerate() {
        let action = rule.action.as_str();
        let found = if let Some(wanted) = &rule.on_exit_codes {
            exit_code(pod, wanted).map(|(container, code)| {
                let name = &container.name;
                format!(
                    "Container {name} for pod {}/{} failed with exit code {code} matching \
                     {action} rule at index {index}",
                    meta::namespace(pod),
                    meta::name(pod),
                )
            })
        } else if let Some(wanted) = &rule.on_pod_conditions {
            condition(pod, wanted).map(|condition| {
                format!(
                    "Pod {}/{} has condition {} matching {action} rule at index {index}",
                    meta::namespace(pod),
                    meta::name(pod),
                    condition.type_,
                )
            })
        } else {
            None
        };
        let Some(message) = found else { continue };
        match action {
            "Ignore" => return Verdict::Ignore,
            "FailIndex" => return Verdict::FailIndex,
            "FailJob" => return Verdict::FailJob(message),
            "Count" => return Verdict::Count,
            // A later version's action: the next rule may apply.
            _ => {}
        }
    }
    Verdict::Count
}

/// The first container that ended as asked, init containers last.
fn exit_code<'a>(pod: &'a Pod, wanted: &ExitCodes) -> Option<(&'a ContainerStatus, i32)> {
    let status = pod.status.as_ref()?;
    let containers = status.container_statuses.iter().flatten();
    let all = containers.chain(status.init_container_statuses.iter().flatten());
    let mut ended = all.filter_map(|container| {
        let state = container.state.as_ref()?.terminated.as_ref()?;
        Some((container, state.exit_code))
    });
    ended.find(|(container, code)| {
        let named = wanted.container_name.as_ref().is_none_or(|name| *name == container.name);
        let listed = wanted.values.contains(code);
        named
            && *code != 0
            && match wanted.operator.as_str() {
                "In" => listed,
                "NotIn" => !listed,
                _ => false,
            }
    })
}

fn condition<'a>(pod: &'a Pod, wanted: &[ConditionPattern]) -> Option<&'a PodCondition> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|condition| {
        wanted.iter().any(|pattern| {
            let status = pattern.status.as_deref().unwrap_or("True");
            pattern.type_ == condition.type_ && status == condition.status
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn the_first_rule_that_applies_decides() {
        let codes = |action: &str, operator: &str, values: Value, name: Value| {
            json!({"action": action,
                "onExitCodes": {"operator": operator, "values": values, "containerName": name}})
        };
        let disrupted = json!({"action": "Ignore",
            "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]});
        let pod = |exits: &[(&str, i32)], condition: &str| -> Pod {
            let statuses: Vec<Value> = exits
                .iter()
                .map(|(name, code)| {
                    json!({"name": name, "image": "", "imageID": "", "ready": false,
                    "restartCount": 0, "state": {"terminated": {"exitCode": code}}})
                })
                .collect();
            serde_json::from_value(json!({
                "metadata": {"name": "p", "namespace": "ns"},
                "status": {"phase": "Failed", "containerStatuses": statuses,
                    "conditions": [{"type": condition, "status": "True"}]},
            }))
            .unwrap()
        };
        let fail = |text: &str| Verdict::FailJob(text.into());
        let table = [
            (vec![], pod(&[("c", 1)], "Ready"), Verdict::Count),
            (
                vec![codes("FailJob", "In", json!([42]), Value::Null)],
                pod(&[("c", 0), ("d", 42)], "Ready"),
                fail(
                    "Container d for pod ns/p failed with exit code 42 matching FailJob rule at \
                     index 0",
                ),
            ),
            (
                vec![codes("FailJob", "In", json!([42]), json!("c"))],
                pod(&[("d", 42)], "Ready"),
                Verdict::Count,
            ),
            (
                vec![codes("FailIndex", "NotIn", json!([1, 2]), Value::Null)],
                pod(&[("c", 3)], "Ready"),
                Verdict::FailIndex,
            ),
            (
                vec![codes("FailIndex", "NotIn", json!([1, 2]), Value::Null)],
                pod(&[("c", 0)], "Ready"),
                Verdict::Count,
            ),
            (
                vec![disrupted.clone(), codes("FailJob", "In", json!([1]), Value::Null)],
                pod(&[("c", 1)], "DisruptionTarget"),
                Verdict::Ignore,
            ),
            (
                vec![codes("Count", "In", json!([1]), Value::Null), disrupted],
                pod(&[("c", 1)], "DisruptionTarget"),
                Verdict::Count,
            ),
            (
                vec![json!({"action": "FailJob",
                    "onPodConditions": [{"type": "ConfigIssue", "status": "True"}]})],
                pod(&[], "ConfigIssue"),
                fail("Pod ns/p has condition ConfigIssue matching FailJob rule at index 0"),
            ),
        ];
        for (rules, pod, expected) in table {
            let policy = serde_json::from_value(json!({ "rules": rules })).unwrap();
            assert_eq!(judge(Some(&policy), &pod), expected, "{rules:?}");
        }
    }
}

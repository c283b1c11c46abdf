//! Which nodes a pod or a volume may be on, by the nodes' labels and names.
//!
//! <https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/>

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, PodSpec,
};

/// The facts of a node that selectors ask about.
#[derive(Clone, Copy, Debug)]
pub struct NodeFacts<'n> {
    /// The node's name.
    pub name: &'n str,
    /// Its labels.
    pub labels: Option<&'n BTreeMap<String, String>>,
}

impl<'n> NodeFacts<'n> {
    fn label(self, key: &str) -> Option<&'n str> {
        self.labels?.get(key).map(String::as_str)
    }
}

/// The node has the labels that the pod's node selector and required node affinity ask for
/// (upstream's `GetRequiredNodeAffinity`).
#[must_use]
pub fn admits(spec: &PodSpec, node: NodeFacts<'_>) -> bool {
    let wanted = spec.node_selector.iter().flatten();
    let required = spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
    let required =
        required.and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref());
    wanted.into_iter().all(|(key, value)| node.label(key) == Some(value))
        && required.is_none_or(|selector| selects(selector, node))
}

/// One of the selector's terms holds.
#[must_use]
pub fn selects(selector: &NodeSelector, node: NodeFacts<'_>) -> bool {
    selector.node_selector_terms.iter().any(|term| holds(term, node))
}

/// The node meets every requirement of the term. A term that asks for nothing holds nowhere.
#[must_use]
pub fn holds(term: &NodeSelectorTerm, node: NodeFacts<'_>) -> bool {
    let expressions = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    let field = |key: &str| (key == "metadata.name").then_some(node.name);
    !(expressions.is_empty() && fields.is_empty())
        && expressions.iter().all(|requirement| meets(requirement, node.label(&requirement.key)))
        && fields.iter().all(|requirement| {
            field(&requirement.key).is_some_and(|value| meets(requirement, Some(value)))
        })
}

fn meets(requirement: &NodeSelectorRequirement, value: Option<&str>) -> bool {
    let values = requirement.values.as_deref().unwrap_or_default();
    let listed = || value.is_some_and(|value| values.iter().any(|known| known == value));
    let number = |text: &str| text.parse::<i64>().ok();
    let compared = || Some(number(value?)?.cmp(&number(values.first()?)?));
    match requirement.operator.as_str() {
        "In" => listed(),
        "NotIn" => !listed(),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => compared().is_some_and(std::cmp::Ordering::is_gt),
        "Lt" => compared().is_some_and(std::cmp::Ordering::is_lt),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn every_operator_decides() {
        let labels = [("zone", "a"), ("cores", "8")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        let labels = BTreeMap::from(labels);
        let node = NodeFacts { name: "n1", labels: Some(&labels) };
        let term = |key: &str, operator: &str, values: Value| json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]});
        let field = |key: &str, operator: &str, value: &str| json!({"matchFields": [{"key": key, "operator": operator, "values": [value]}]});
        for (terms, expected) in [
            (json!([term("zone", "In", json!(["a", "b"]))]), true),
            (json!([term("zone", "NotIn", json!(["a"]))]), false),
            (json!([term("rack", "NotIn", json!(["a"]))]), true),
            (json!([term("zone", "Exists", Value::Null)]), true),
            (json!([term("zone", "DoesNotExist", Value::Null)]), false),
            (json!([term("cores", "Gt", json!(["7"]))]), true),
            (json!([term("cores", "Gt", json!(["many"]))]), false),
            (json!([term("cores", "Lt", json!(["8"]))]), false),
            (json!([term("cores", "Like", json!(["8"]))]), false),
            (json!([{}]), false),
            (json!([{}, field("metadata.name", "In", "n1")]), true),
            (json!([field("metadata.name", "In", "n2")]), false),
            (json!([field("metadata.uid", "NotIn", "u")]), false),
        ] {
            let spec = serde_json::from_value(json!({"containers": [], "affinity": {
                "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
                    {"nodeSelectorTerms": terms}}}}))
            .unwrap();
            assert_eq!(admits(&spec, node), expected, "{terms}");
        }
        for (selector, expected) in [(json!({"zone": "a"}), true), (json!({"zone": "b"}), false)] {
            let spec = json!({"containers": [], "nodeSelector": selector});
            assert_eq!(admits(&serde_json::from_value(spec).unwrap(), node), expected);
        }
    }
}

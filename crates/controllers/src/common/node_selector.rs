//! Which nodes a pod may run on, as far as the pod itself says.
//!
//! <https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/>

use k8s_openapi::api::core::v1::{Node, NodeSelectorRequirement, NodeSelectorTerm, PodSpec};

use super::meta;

/// Whether the node has the labels that the pod's node selector and required affinity ask for.
pub(crate) fn matches(spec: &PodSpec, node: &Node) -> bool {
    let label = |key: &str| meta::label(node, key);
    let selector = spec.node_selector.iter().flatten();
    let required = spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
    let required =
        required.and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref());
    selector.into_iter().all(|(key, value)| label(key) == Some(value))
        && required.is_none_or(|r| r.node_selector_terms.iter().any(|term| holds(term, node)))
}

fn holds(term: &NodeSelectorTerm, node: &Node) -> bool {
    let (labels, fields) = (term.match_expressions.iter(), term.match_fields.iter());
    let (labels, fields) = (labels.flatten(), fields.flatten());
    // A term that asks for nothing selects nothing.
    let asks = labels.clone().next().is_some() || fields.clone().next().is_some();
    let field = |key: &str| (key == "metadata.name").then(|| meta::name(node));
    asks && { labels }.all(|r| meets(r, meta::label(node, &r.key))) && { fields }
        .all(|r| meets(r, field(&r.key)))
}

fn meets(requirement: &NodeSelectorRequirement, value: Option<&str>) -> bool {
    let values = requirement.values.as_deref().unwrap_or_default();
    let listed = || value.is_some_and(|value| values.iter().any(|known| known == value));
    let number = |text: Option<&str>| text.and_then(|text| text.parse::<i64>().ok());
    let bound = || number(values.first().map(String::as_str));
    match requirement.operator.as_str() {
        "In" => listed(),
        "NotIn" => !listed(),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => matches!((number(value), bound()), (Some(value), Some(bound)) if value > bound),
        "Lt" => matches!((number(value), bound()), (Some(value), Some(bound)) if value < bound),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn every_operator_decides() {
        let node: Node = serde_json::from_value(json!({
            "metadata": {"name": "n1", "labels": {"zone": "a", "cores": "8"}}}))
        .unwrap();
        let term = |key: &str, operator: &str, values: Value| json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]});
        let named = |name: &str| {
            json!({"matchFields": [
            {"key": "metadata.name", "operator": "In", "values": [name]}]})
        };
        for (terms, expected) in [
            (json!([term("zone", "In", json!(["a", "b"]))]), true),
            (json!([term("zone", "NotIn", json!(["a"]))]), false),
            (json!([term("rack", "NotIn", json!(["a"]))]), true),
            (json!([term("zone", "Exists", Value::Null)]), true),
            (json!([term("zone", "DoesNotExist", Value::Null)]), false),
            (json!([term("cores", "Gt", json!(["7"]))]), true),
            (json!([term("cores", "Lt", json!(["8"]))]), false),
            (json!([{}]), false),
            (json!([{}, named("n1")]), true),
            (json!([named("n2")]), false),
        ] {
            let spec = serde_json::from_value(json!({"containers": [], "affinity": {
                "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
                    {"nodeSelectorTerms": terms}}}}))
            .unwrap();
            assert_eq!(matches(&spec, &node), expected, "{terms}");
        }
        for (selector, expected) in [(json!({"zone": "a"}), true), (json!({"zone": "b"}), false)] {
            let spec = json!({"containers": [], "nodeSelector": selector});
            assert_eq!(matches(&serde_json::from_value(spec).unwrap(), &node), expected);
        }
    }
}

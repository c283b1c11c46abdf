//! Scheduling fields of a new pod that the server fills in.

use apimachinery::{Object, ObjectExt};
use serde_json::{Map, Value, json};

/// A pod with gates is not scheduled, and has a condition for that from the start (KEP-3521).
pub(super) fn note_gates(pod: &mut Object) {
    let gates = pod.get_path(&["spec", "schedulingGates"]).and_then(Value::as_array);
    if gates.is_some_and(|gates| !gates.is_empty()) {
        let condition = json!({
            "type": "PodScheduled", "status": "False", "reason": "SchedulingGated",
            "message": "Scheduling is blocked due to non-empty scheduling gates",
            "lastProbeTime": null, "lastTransitionTime": apimachinery::time::now_rfc3339(),
        });
        pod["status"]["conditions"] = json!([condition]);
    }
}

/// Adds the pod's own labels to selectors whose terms list their keys (KEP-3633, KEP-3243).
pub(super) fn merge_label_keys(pod: &mut Object) {
    let labels = pod.get_path(&["metadata", "labels"]).and_then(Value::as_object).cloned();
    let (Some(labels), Some(spec)) = (labels, pod.get_mut("spec")) else { return };
    for (list, term) in [
        ("/topologySpreadConstraints", ""),
        ("/affinity/podAffinity/requiredDuringSchedulingIgnoredDuringExecution", ""),
        ("/affinity/podAntiAffinity/requiredDuringSchedulingIgnoredDuringExecution", ""),
        (
            "/affinity/podAffinity/preferredDuringSchedulingIgnoredDuringExecution",
            "/podAffinityTerm",
        ),
        (
            "/affinity/podAntiAffinity/preferredDuringSchedulingIgnoredDuringExecution",
            "/podAffinityTerm",
        ),
    ] {
        let items = spec.pointer_mut(list).and_then(Value::as_array_mut);
        for term in items.into_iter().flatten().filter_map(|item| item.pointer_mut(term)) {
            merge(term, &labels);
        }
    }
}

/// A term without a selector selects nothing, regardless of its keys.
fn merge(term: &mut Value, labels: &Map<String, Value>) {
    let mut added = Vec::new();
    for (field, operator) in [("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn")] {
        let keys = term[field].as_array().into_iter().flatten().filter_map(Value::as_str);
        added.extend(keys.filter_map(|key| {
            let value = labels.get(key)?;
            Some(json!({"key": key, "operator": operator, "values": [value]}))
        }));
    }
    let selector = term.get_mut("labelSelector").and_then(Value::as_object_mut);
    let Some(selector) = selector.filter(|_| !added.is_empty()) else { return };
    match selector.get_mut("matchExpressions").and_then(Value::as_array_mut) {
        Some(expressions) => expressions.append(&mut added),
        None => drop(selector.insert("matchExpressions".to_owned(), added.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_labels_are_selected_by() {
        let term = json!({
            "labelSelector": {"matchLabels": {"app": "web"}},
            "matchLabelKeys": ["hash", "absent"],
            "mismatchLabelKeys": ["tenant"],
        });
        let unselective = json!({"matchLabelKeys": ["hash"]});
        let mut pod = json!({
            "metadata": {"labels": {"hash": "1", "tenant": "a"}},
            "spec": {
                "topologySpreadConstraints": [
                    {"labelSelector": {"matchExpressions": [{"key": "x", "operator": "Exists"}]},
                     "matchLabelKeys": ["hash"]},
                    unselective,
                ],
                "affinity": {"podAntiAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": [term],
                    "preferredDuringSchedulingIgnoredDuringExecution":
                        [{"weight": 1, "podAffinityTerm": term}],
                }},
            },
        });
        merge_label_keys(&mut pod);
        let expressions = |at: &str| pod.pointer(at).map(|s| s["matchExpressions"].clone());
        let same = json!({"key": "hash", "operator": "In", "values": ["1"]});
        let other = json!({"key": "tenant", "operator": "NotIn", "values": ["a"]});
        let spread = "/spec/topologySpreadConstraints";
        let anti = "/spec/affinity/podAntiAffinity";
        for (at, expected) in [
            (
                format!("{spread}/0/labelSelector"),
                json!([{"key": "x", "operator": "Exists"}, same]),
            ),
            (
                format!("{anti}/requiredDuringSchedulingIgnoredDuringExecution/0/labelSelector"),
                json!([same, other]),
            ),
            (
                format!(
                    "{anti}/preferredDuringSchedulingIgnoredDuringExecution/0/podAffinityTerm/\
                      labelSelector"
                ),
                json!([same, other]),
            ),
        ] {
            assert_eq!(expressions(&at), Some(expected), "{at}");
        }
        assert_eq!(pod.pointer(&format!("{spread}/1")), Some(&unselective));
    }

    #[test]
    fn gates_show_in_the_conditions() {
        let mut pod = json!({"spec": {"schedulingGates": [{"name": "g"}]}, "status": {}});
        note_gates(&mut pod);
        assert_eq!(pod["status"]["conditions"][0]["reason"], "SchedulingGated");
        let mut free = json!({"spec": {"schedulingGates": []}, "status": {}});
        note_gates(&mut free);
        assert!(free["status"]["conditions"].is_null());
    }
}

//! The pods of a DaemonSet, and the nodes they are for.

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{
    Node, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, Pod, PodSpec, Toleration,
};

use crate::common::history::REVISION_LABEL;
use crate::common::{meta, pod, pod_control};
use rules::node_selector::{self, NodeFacts};
use rules::tolerations::{self, untolerated};

const FIELD: &str = "metadata.name";
const GENERATION: &str = "deprecated.daemonset.template.generation";
const GENERATION_LABEL: &str = "pod-template-generation";

/// Taints that daemons work in spite of.
///
/// <https://kubernetes.io/docs/concepts/workloads/controllers/daemonset/#taints-and-tolerations>
const TOLERATED: &[(&str, &str)] = &[
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
];
/// Only for those that bring their network along.
const WITHOUT_NETWORK: (&str, &str) = ("node.kubernetes.io/network-unavailable", "NoSchedule");

fn tolerate(spec: &mut PodSpec) {
    let own_network = spec.host_network == Some(true);
    let more = own_network.then_some(&WITHOUT_NETWORK);
    for (key, effect) in TOLERATED.iter().chain(more) {
        let every = Toleration {
            key: Some((*key).into()),
            operator: Some("Exists".into()),
            effect: Some((*effect).into()),
            ..Toleration::default()
        };
        tolerations::add(spec.tolerations.get_or_insert_default(), every);
    }
}

/// The spec of the DaemonSet's pods.
pub(super) fn spec(set: &DaemonSet) -> PodSpec {
    let template = set.spec.template.spec.clone();
    let mut spec = template.unwrap_or_default();
    tolerate(&mut spec);
    spec
}

/// A pod of this revision for a node.
pub(super) fn pod_for(set: &DaemonSet, hash: &str, node: &str) -> Pod {
    let template = set.spec.template.clone();
    let mut pod = pod_control::pod_from(set, &template);
    let labels = pod.metadata.labels.get_or_insert_default();
    if let Some(generation) = generation(set) {
        labels.insert(GENERATION_LABEL.into(), generation.to_owned());
    }
    labels.insert(REVISION_LABEL.into(), hash.into());
    let mut spec = spec(set);
    pin(&mut spec, node);
    pod.spec = Some(spec);
    pod
}

fn generation(set: &DaemonSet) -> Option<&str> {
    meta::annotation(set, GENERATION).filter(|text| text.parse::<i64>().is_ok())
}

/// Returns true if a pod is of the present template. (Upstream compares generations of pods that
/// are older than revisions; this cluster has none.)
pub(super) fn is_updated(hash: &str, pod: &Pod) -> bool {
    meta::label(pod, REVISION_LABEL) == Some(hash)
}

/// Lets the scheduler choose nothing but this node. The terms of the template are replaced: that
/// the node meets them was checked.
fn pin(spec: &mut PodSpec, node: &str) {
    let requirement = NodeSelectorRequirement {
        key: FIELD.into(),
        operator: "In".into(),
        values: Some(vec![node.into()]),
    };
    let term = NodeSelectorTerm { match_fields: Some(vec![requirement]), match_expressions: None };
    let affinity = spec.affinity.get_or_insert_default().node_affinity.get_or_insert_default();
    affinity.required_during_scheduling_ignored_during_execution =
        Some(NodeSelector { node_selector_terms: vec![term] });
}

/// The node a pod runs on, or is meant for.
pub(super) fn target(pod: &Pod) -> Option<&str> {
    if let Some(node) = pod::node(pod) {
        return Some(node);
    }
    let affinity = pod.spec.as_ref()?.affinity.as_ref()?.node_affinity.as_ref()?;
    let required = affinity.required_during_scheduling_ignored_during_execution.as_ref()?;
    let fields = required.node_selector_terms.iter().flat_map(|t| t.match_fields.iter().flatten());
    let mut names = fields.filter(|field| field.key == FIELD && field.operator == "In");
    match names.next()?.values.as_deref() {
        Some([node]) => Some(node),
        _ => None,
    }
}

/// The DaemonSet's wish for a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wants {
    /// A pod there.
    Run,
    /// No new pod, but one that is there may stay.
    Keep,
    /// No pod there.
    Nothing,
}

/// Decides if pods of this spec belong on a node.
pub(super) fn wants(spec: &PodSpec, node: &Node) -> Wants {
    let elsewhere =
        spec.node_name.as_deref().is_some_and(|n| !n.is_empty() && n != meta::name(node));
    let facts = NodeFacts { name: meta::name(node), labels: node.metadata.labels.as_ref() };
    let taints = || node.spec.iter().flat_map(|spec| spec.taints.iter().flatten());
    let tolerations = spec.tolerations.as_deref().unwrap_or_default();
    let tolerates = |effects| untolerated(tolerations, taints(), effects).is_none();
    if elsewhere || !node_selector::admits(spec, facts) {
        Wants::Nothing
    } else if tolerates(&["NoSchedule", "NoExecute"]) {
        Wants::Run
    } else if tolerates(&["NoExecute"]) {
        Wants::Keep
    } else {
        Wants::Nothing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn set(template: Value) -> DaemonSet {
        serde_json::from_value(json!({
            "metadata": {"name": "d", "namespace": "ns", "uid": "u",
                "annotations": {GENERATION: "3"}},
            "spec": {"selector": {}, "template": {"metadata": {"labels": {"app": "d"}},
                "spec": template}}}))
        .unwrap()
    }

    #[test]
    fn a_pod_is_pinned_and_tolerant() {
        let d = set(json!({"containers": [], "hostNetwork": true, "tolerations": [
            {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute",
                "tolerationSeconds": 5}]}));
        let pod = pod_for(&d, "abc", "n1");
        assert_eq!(target(&pod), Some("n1"));
        assert_eq!(meta::label(&pod, REVISION_LABEL), Some("abc"));
        assert_eq!(meta::label(&pod, GENERATION_LABEL), Some("3"));
        assert!(is_updated("abc", &pod) && !is_updated("other", &pod));
        let tolerations = pod.spec.unwrap().tolerations.unwrap();
        assert_eq!(tolerations.len(), 7);
        assert!(tolerations.iter().all(|t| t.toleration_seconds.is_none()));
    }

    #[test]
    fn nodes_are_chosen_by_name_labels_and_taints() {
        let node = |taints: Value| -> Node {
            serde_json::from_value(json!({
                "metadata": {"name": "n1", "labels": {"disk": "ssd"}}, "spec": {"taints": taints}}))
            .unwrap()
        };
        let taint = |key: &str, effect: &str| json!([{"key": key, "effect": effect}]);
        let none = || json!([]);
        for (spec, taints, expected) in [
            (json!({}), none(), Wants::Run),
            (json!({"nodeSelector": {"disk": "ssd"}}), none(), Wants::Run),
            (json!({"nodeSelector": {"disk": "hdd"}}), none(), Wants::Nothing),
            (json!({"nodeName": "n2"}), none(), Wants::Nothing),
            (json!({}), taint("node.kubernetes.io/unschedulable", "NoSchedule"), Wants::Run),
            (json!({}), taint("dedicated", "NoSchedule"), Wants::Keep),
            (json!({}), taint("dedicated", "NoExecute"), Wants::Nothing),
            (json!({}), taint("dedicated", "PreferNoSchedule"), Wants::Run),
        ] {
            let mut whole = json!({"containers": []});
            whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
            assert_eq!(wants(&super::spec(&set(whole)), &node(taints)), expected, "{spec}");
        }
    }
}

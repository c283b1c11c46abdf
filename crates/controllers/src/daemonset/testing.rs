//! Nodes and pods for the tests of this controller.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Node;
use serde_json::{Value, json};

use super::snapshot::Snapshot;

/// A pod in the making.
pub(super) struct Made(Value);

impl Made {
    /// On a node, of a former template, running, not ready.
    pub(super) fn on(name: &str, node: &str) -> Self {
        Self(json!({
            "metadata": {"name": name, "namespace": "ns", "uid": name,
                "creationTimestamp": "2024-01-01T00:00:00Z",
                "labels": {"controller-revision-hash": "old"}},
            "spec": {"containers": [], "nodeName": node}, "status": {"phase": "Running"}}))
    }

    /// Not yet on its node.
    pub(super) fn meant_for(name: &str, node: &str) -> Self {
        let mut made = Self::on(name, "");
        made.0["spec"]["affinity"] = json!({"nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
                {"matchFields": [{"key": "metadata.name", "operator": "In",
                    "values": [node]}]}]}}});
        made
    }

    pub(super) fn updated(mut self) -> Self {
        self.0["metadata"]["labels"]["controller-revision-hash"] = "new".into();
        self
    }

    pub(super) fn ready(mut self) -> Self {
        self.0["status"]["conditions"] = json!([{"type": "Ready", "status": "True"}]);
        self
    }

    pub(super) fn phase(mut self, phase: &str) -> Self {
        self.0["status"]["phase"] = phase.into();
        self
    }

    pub(super) fn going(mut self) -> Self {
        self.0["metadata"]["deletionTimestamp"] = "2024-01-01T00:01:00Z".into();
        self
    }
}

/// Nodes `n1` to `n3`, and two that want no new pod: `tainted`, where none may be, and `cordoned`.
pub(super) fn snapshot(strategy: Value, pods: Vec<Made>) -> Snapshot {
    let set = serde_json::from_value(json!({
        "metadata": {"name": "d", "namespace": "ns", "uid": "u"},
        "spec": {"selector": {}, "updateStrategy": strategy,
            "template": {"spec": {"containers": []}}}}))
    .unwrap();
    let taints = [
        ("n1", json!([])),
        ("n2", json!([])),
        ("n3", json!([])),
        ("tainted", json!([{"key": "k", "effect": "NoExecute"}])),
        ("cordoned", json!([{"key": "k", "effect": "NoSchedule"}])),
    ];
    let node = |(name, taints): (&str, Value)| -> Arc<Node> {
        let node = json!({"metadata": {"name": name}, "spec": {"taints": taints}});
        Arc::new(serde_json::from_value(node).unwrap())
    };
    let nodes: Vec<_> = taints.into_iter().map(node).collect();
    let pods = pods.into_iter().map(|made| Arc::new(serde_json::from_value(made.0).unwrap()));
    let now = "2024-01-01T01:00:00Z".parse().unwrap();
    Snapshot::new(Arc::new(set), "new".into(), &nodes, pods.collect(), now)
}

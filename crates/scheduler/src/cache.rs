//! The scheduler's picture of the nodes: what they have and what is taken, assumed pods included.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use client::ObjectKey;
use k8s_openapi::api::core::v1::{Node, Pod, Taint};

use crate::pod::{PodInfo, is_over, node_name};
use crate::resources::Amounts;

/// A node with its pods.
#[derive(Clone, Debug, Default)]
pub(crate) struct NodeInfo {
    pub(crate) node: Option<Arc<Node>>,
    pub(crate) allocatable: Amounts,
    pub(crate) requested: Amounts,
    /// CPU and memory for scoring.
    pub(crate) scored: (i64, i64),
    pub(crate) pods: HashMap<ObjectKey, PodInfo>,
    /// Sizes of the images present, by every name they have.
    pub(crate) images: HashMap<String, i64>,
}

impl NodeInfo {
    pub(crate) fn name(&self) -> &str {
        self.node.as_ref().and_then(|n| n.metadata.name.as_deref()).unwrap_or_default()
    }

    pub(crate) fn labels(&self) -> Option<&BTreeMap<String, String>> {
        self.node.as_ref()?.metadata.labels.as_ref()
    }

    pub(crate) fn taints(&self) -> impl Iterator<Item = &Taint> {
        let spec = self.node.as_ref().and_then(|n| n.spec.as_ref());
        spec.and_then(|s| s.taints.as_ref()).into_iter().flatten()
    }

    pub(crate) fn unschedulable(&self) -> bool {
        let spec = self.node.as_ref().and_then(|n| n.spec.as_ref());
        spec.and_then(|s| s.unschedulable).unwrap_or(false)
    }

    fn set_node(&mut self, node: Arc<Node>) {
        let status = node.status.as_ref();
        self.allocatable = Amounts::parse(status.and_then(|s| s.allocatable.as_ref()));
        self.images = status
            .and_then(|s| s.images.as_ref())
            .into_iter()
            .flatten()
            .flat_map(|image| {
                let size = image.size_bytes.unwrap_or(0);
                image.names.iter().flatten().map(move |name| (name.clone(), size))
            })
            .collect();
        self.node = Some(node);
    }

    fn add(&mut self, pod: PodInfo) {
        self.remove(&pod.key);
        self.requested.add(&pod.requests);
        self.scored.0 += pod.scored.0;
        self.scored.1 += pod.scored.1;
        self.pods.insert(pod.key.clone(), pod);
    }

    fn remove(&mut self, key: &ObjectKey) {
        if let Some(pod) = self.pods.remove(key) {
            self.requested.subtract(&pod.requests);
            self.scored.0 -= pod.scored.0;
            self.scored.1 -= pod.scored.1;
        }
    }
}

/// Every node, and where each pod is counted.
#[derive(Default)]
pub(crate) struct Cache {
    nodes: BTreeMap<String, NodeInfo>,
    places: HashMap<ObjectKey, String>,
}

impl Cache {
    /// The nodes that exist.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = &NodeInfo> {
        self.nodes.values().filter(|n| n.node.is_some())
    }

    pub(crate) fn node_changed(&mut self, node: Arc<Node>) {
        let name = node.metadata.name.clone().unwrap_or_default();
        self.nodes.entry(name).or_default().set_node(node);
    }

    pub(crate) fn node_gone(&mut self, name: &str) {
        if let Some(info) = self.nodes.get_mut(name) {
            info.node = None;
            if info.pods.is_empty() {
                self.nodes.remove(name);
            }
        }
    }

    /// Counts a bound pod on its node; an assumption about it is confirmed or corrected.
    pub(crate) fn pod_changed(&mut self, pod: &Arc<Pod>) {
        let key = ObjectKey::of(&**pod);
        match node_name(pod) {
            Some(node) if !is_over(pod) => self.place(PodInfo::new(pod.clone()), node),
            Some(_) => self.pod_gone(&key),
            // Not bound yet: an assumption stands until its binding fails.
            None => {}
        }
    }

    pub(crate) fn pod_gone(&mut self, key: &ObjectKey) {
        if let Some(node) = self.places.remove(key)
            && let Some(info) = self.nodes.get_mut(&node)
        {
            info.remove(key);
        }
    }

    /// Whether a pod is counted somewhere.
    pub(crate) fn holds(&self, key: &ObjectKey) -> bool {
        self.places.contains_key(key)
    }

    /// Counts a pod where it has been decided to go, before the API knows.
    pub(crate) fn assume(&mut self, pod: PodInfo, node: &str) {
        self.place(pod, node);
    }

    fn place(&mut self, pod: PodInfo, node: &str) {
        if self.places.get(&pod.key).is_some_and(|at| at != node) {
            self.pod_gone(&pod.key);
        }
        self.places.insert(pod.key.clone(), node.to_owned());
        self.nodes.entry(node.to_owned()).or_default().add(pod);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(name: &str, node: &str, phase: &str) -> Arc<Pod> {
        let mut pod = json!({
            "metadata": {"name": name, "namespace": "ns"},
            "spec": {"containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "1"}}}]},
            "status": {"phase": phase},
        });
        if !node.is_empty() {
            pod["spec"]["nodeName"] = node.into();
        }
        Arc::new(serde_json::from_value(pod).unwrap())
    }

    #[test]
    fn an_assumption_is_counted_once_and_corrected() {
        let mut cache = Cache::default();
        let cpu = |cache: &Cache, node: &str| cache.nodes[node].requested.get("cpu");
        cache.assume(PodInfo::new(pod("a", "", "Pending")), "n1");
        assert_eq!(cpu(&cache, "n1"), 1000);
        cache.pod_changed(&pod("a", "", "Pending"));
        cache.pod_changed(&pod("a", "n1", "Pending"));
        assert_eq!(cpu(&cache, "n1"), 1000);
        cache.pod_changed(&pod("a", "n2", "Running"));
        assert_eq!((cpu(&cache, "n1"), cpu(&cache, "n2")), (0, 1000));
        cache.pod_changed(&pod("a", "n2", "Succeeded"));
        assert_eq!(cpu(&cache, "n2"), 0);
    }
}

//! The scheduler's picture of the nodes: what they have and what is taken, assumed pods included.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use client::ObjectKey;
use k8s_openapi::api::core::v1::{Node, Pod, Taint};

use crate::pod::{PodInfo, node_name};
use crate::resources::Amounts;
use groups::{GroupCount, GroupId, Groups};
use rules::node_selector::NodeFacts;
use rules::selector::Labels;

mod groups;

/// A node with its pods. Copies share the pods and the rest that is large.
#[derive(Clone, Debug, Default)]
pub(crate) struct NodeInfo {
    pub(crate) node: Option<Arc<Node>>,
    pub(crate) allocatable: Arc<Amounts>,
    pub(crate) requested: Amounts,
    /// CPU and memory for scoring.
    pub(crate) scored: (i64, i64),
    pub(crate) pods: Vec<Arc<PodInfo>>,
    /// The pods by likeness, as the cache has placed them; a copy's changes are not counted.
    pub(crate) groups: Vec<GroupCount>,
    /// Sizes of the images present, by every name they have.
    pub(crate) images: Arc<HashMap<String, i64>>,
}

impl NodeInfo {
    pub(crate) fn name(&self) -> &str {
        self.node.as_ref().and_then(|n| n.metadata.name.as_deref()).unwrap_or_default()
    }

    pub(crate) fn labels(&self) -> Option<&Labels> {
        self.node.as_ref()?.metadata.labels.as_ref()
    }

    pub(crate) fn label(&self, key: &str) -> Option<&str> {
        self.labels()?.get(key).map(String::as_str)
    }

    /// The properties that node selectors match.
    pub(crate) fn facts(&self) -> NodeFacts<'_> {
        NodeFacts { name: self.name(), labels: self.labels() }
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
        self.allocatable = {
            let given = status.and_then(|s| s.allocatable.as_ref());
            Arc::new((&rules::resources::Amounts::of(given)).into())
        };
        let sizes =
            status.and_then(|s| s.images.as_ref()).into_iter().flatten().flat_map(|image| {
                let size = image.size_bytes.unwrap_or(0);
                image.names.iter().flatten().map(move |name| (name.clone(), size))
            });
        self.images = Arc::new(sizes.collect());
        self.node = Some(node);
    }

    pub(crate) fn add(&mut self, pod: Arc<PodInfo>) {
        self.remove(&pod.key);
        self.requested.add(&pod.requests);
        self.scored.0 = self.scored.0.saturating_add(pod.scored.0);
        self.scored.1 = self.scored.1.saturating_add(pod.scored.1);
        self.pods.push(pod);
    }

    pub(crate) fn remove(&mut self, key: &ObjectKey) {
        if let Some(at) = self.pods.iter().position(|pod| pod.key == *key) {
            let pod = self.pods.swap_remove(at);
            self.requested.subtract(&pod.requests);
            self.scored.0 = self.scored.0.saturating_sub(pod.scored.0);
            self.scored.1 = self.scored.1.saturating_sub(pod.scored.1);
        }
    }
}

/// Where a pod is counted, and as what.
#[derive(Debug)]
struct Place {
    pod: Arc<PodInfo>,
    node: String,
    group: GroupId,
    /// Decided, but not yet heard of as bound.
    assumed: bool,
}

/// One for a pod that is not being deleted.
fn staying(pod: &PodInfo) -> i64 {
    i64::from(!pod.is_terminating())
}

/// Every node, and where each pod is counted.
#[derive(Default)]
pub(crate) struct Cache {
    nodes: BTreeMap<String, NodeInfo>,
    places: HashMap<ObjectKey, Place>,
    pub(crate) groups: Groups,
}

impl Cache {
    /// How many nodes and pods there are.
    pub(crate) fn sizes(&self) -> [usize; 2] {
        [self.nodes.len(), self.places.len()]
    }

    /// The nodes that exist.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = &NodeInfo> {
        self.nodes.values().filter(|n| n.node.is_some())
    }

    /// The nodes that exist, beginning after one of them.
    pub(crate) fn nodes_after(&self, name: &str) -> impl Iterator<Item = &NodeInfo> {
        let after = self.nodes.range::<str, _>((Bound::Excluded(name), Bound::Unbounded));
        let until = self.nodes.range::<str, _>((Bound::Unbounded, Bound::Included(name)));
        after.chain(until).map(|(_, node)| node).filter(|n| n.node.is_some())
    }

    pub(crate) fn node(&self, name: &str) -> Option<&NodeInfo> {
        self.nodes.get(name).filter(|n| n.node.is_some())
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

    /// Counts a bound pod on its node; an assumption about it is confirmed or corrected. A pod that
    /// is not bound yet changes nothing: an assumption stands until its binding fails.
    pub(crate) fn pod_changed(&mut self, pod: &Arc<Pod>) {
        if let Some(node) = node_name(pod) {
            self.place(Arc::new(PodInfo::new(pod.clone())), node, false);
        }
    }

    pub(crate) fn pod_gone(&mut self, key: &ObjectKey) {
        let Some(place) = self.places.remove(key) else { return };
        self.groups.leave(place.group);
        if let Some(info) = self.nodes.get_mut(&place.node) {
            info.remove(key);
            groups::count(&mut info.groups, place.group, -1, -staying(&place.pod));
            if info.node.is_none() && info.pods.is_empty() {
                self.nodes.remove(&place.node);
            }
        }
    }

    /// Returns true if a pod is counted somewhere.
    pub(crate) fn holds(&self, key: &ObjectKey) -> bool {
        self.places.contains_key(key)
    }

    /// Returns true if the pod of this uid is assumed on a node, and not yet known to be bound.
    pub(crate) fn assumes(&self, key: &ObjectKey, uid: &str) -> bool {
        self.places.get(key).is_some_and(|place| place.assumed && place.pod.uid() == uid)
    }

    /// Returns true if the pod of this uid is counted and not terminating.
    pub(crate) fn keeps(&self, pod: &PodInfo) -> bool {
        let place = self.places.get(&pod.key);
        place.is_some_and(|p| p.pod.uid() == pod.uid() && !p.pod.is_terminating())
    }

    /// Counts a pod where it has been decided to go, before the API knows.
    pub(crate) fn assume(&mut self, pod: Arc<PodInfo>, node: &str) {
        self.place(pod, node, true);
    }

    fn place(&mut self, pod: Arc<PodInfo>, node: &str, assumed: bool) {
        let group = self.groups.join(&pod);
        self.pod_gone(&pod.key);
        let place = Place { pod: pod.clone(), node: node.to_owned(), group, assumed };
        self.places.insert(pod.key.clone(), place);
        let info = self.nodes.entry(node.to_owned()).or_default();
        groups::count(&mut info.groups, group, 1, staying(&pod));
        info.add(pod);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(name: &str, node: &str) -> Arc<Pod> {
        let mut pod = json!({
            "metadata": {"name": name, "namespace": "ns", "uid": name, "labels": {"app": "a"}},
            "spec": {"containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "1"}}}]},
        });
        if !node.is_empty() {
            pod["spec"]["nodeName"] = node.into();
        }
        Arc::new(serde_json::from_value(pod).unwrap())
    }

    #[test]
    fn an_assumption_is_counted_once_and_corrected() {
        let mut cache = Cache::default();
        for name in ["n1", "n2"] {
            let node = json!({"metadata": {"name": name}});
            cache.node_changed(Arc::new(serde_json::from_value(node).unwrap()));
        }
        let cpu = |cache: &Cache, node: &str| cache.nodes[node].requested.get("cpu");
        let key = ObjectKey::new("ns", "a");
        cache.assume(Arc::new(PodInfo::new(pod("a", ""))), "n1");
        assert_eq!((cpu(&cache, "n1"), cache.assumes(&key, "a")), (1000, true));
        cache.pod_changed(&pod("a", ""));
        cache.pod_changed(&pod("a", "n1"));
        assert_eq!((cpu(&cache, "n1"), cache.assumes(&key, "a")), (1000, false));
        cache.pod_changed(&pod("a", "n2"));
        assert_eq!((cpu(&cache, "n1"), cpu(&cache, "n2")), (0, 1000));
        cache.pod_gone(&key);
        assert_eq!((cpu(&cache, "n2"), cache.groups.all().count()), (0, 0));
    }

    #[test]
    fn like_pods_are_one_group() {
        let mut cache = Cache::default();
        for name in ["a", "b", "c"] {
            cache.pod_changed(&pod(name, "n1"));
        }
        assert_eq!(cache.groups.all().count(), 1);
        assert_eq!(cache.nodes["n1"].groups[0].pods, 3);
        cache.pod_gone(&ObjectKey::new("ns", "b"));
        assert_eq!(cache.nodes["n1"].groups[0].pods, 2);
    }
}

//! Pods for which room is being made on a node: those of lower priority must not take it.

use std::collections::HashMap;
use std::sync::Arc;

use client::ObjectKey;

use crate::pod::PodInfo;

/// Nominated pods by node.
#[derive(Default)]
pub(crate) struct Nominations {
    by_node: HashMap<String, Vec<Arc<PodInfo>>>,
    nodes: HashMap<ObjectKey, String>,
}

impl Nominations {
    pub(crate) fn set(&mut self, pod: Arc<PodInfo>, node: &str) {
        self.remove(&pod.key);
        self.nodes.insert(pod.key.clone(), node.to_owned());
        self.by_node.entry(node.to_owned()).or_default().push(pod);
    }

    pub(crate) fn remove(&mut self, key: &ObjectKey) {
        let Some(node) = self.nodes.remove(key) else { return };
        if let Some(pods) = self.by_node.get_mut(&node) {
            pods.retain(|pod| pod.key != *key);
            if pods.is_empty() {
                self.by_node.remove(&node);
            }
        }
    }

    /// The node a pod is nominated for.
    pub(crate) fn of(&self, key: &ObjectKey) -> Option<&str> {
        self.nodes.get(key).map(String::as_str)
    }

    /// Other pods nominated for a node.
    pub(crate) fn others<'a>(
        &'a self,
        node: &str,
        pod: &'a PodInfo,
    ) -> impl Iterator<Item = &'a Arc<PodInfo>> {
        let nominated = self.by_node.get(node).into_iter().flatten();
        nominated.filter(move |other| other.key != pod.key)
    }
}

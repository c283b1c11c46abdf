//! The in-memory copy of one kind that an informer keeps.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use kube::Resource;
use parking_lot::RwLock;

use crate::key::ObjectKey;

type IndexFn<K> = dyn Fn(&K) -> Vec<String> + Send + Sync;

/// Objects by key, with optional named indexes. Cloning shares the content.
pub struct Store<K> {
    inner: Arc<RwLock<Content<K>>>,
}

impl<K> Clone for Store<K> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

struct Content<K> {
    objects: HashMap<ObjectKey, Arc<K>>,
    indexes: HashMap<String, Index<K>>,
}

struct Index<K> {
    function: Arc<IndexFn<K>>,
    keys: HashMap<String, BTreeSet<ObjectKey>>,
}

impl<K> Index<K> {
    fn insert(&mut self, key: &ObjectKey, object: &K) {
        for value in (self.function)(object) {
            self.keys.entry(value).or_default().insert(key.clone());
        }
    }

    fn remove(&mut self, key: &ObjectKey, object: &K) {
        for value in (self.function)(object) {
            if let Some(keys) = self.keys.get_mut(&value) {
                keys.remove(key);
                if keys.is_empty() {
                    self.keys.remove(&value);
                }
            }
        }
    }
}

impl<K> Default for Store<K> {
    fn default() -> Self {
        let content = Content { objects: HashMap::new(), indexes: HashMap::new() };
        Self { inner: Arc::new(RwLock::new(content)) }
    }
}

impl<K: Resource> Store<K> {
    /// The object with this key.
    pub fn get(&self, key: &ObjectKey) -> Option<Arc<K>> {
        self.inner.read().objects.get(key).cloned()
    }

    /// The object with this namespace and name.
    pub fn get_in(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        self.get(&ObjectKey::new(namespace, name))
    }

    /// All objects, in no particular order.
    pub fn list(&self) -> Vec<Arc<K>> {
        self.inner.read().objects.values().cloned().collect()
    }

    /// All objects of one namespace, in no particular order.
    pub fn list_in(&self, namespace: &str) -> Vec<Arc<K>> {
        let content = self.inner.read();
        content
            .objects
            .iter()
            .filter(|(key, _)| key.namespace == namespace)
            .map(|(_, object)| object.clone())
            .collect()
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.inner.read().objects.len()
    }

    /// Returns true if there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds an index, computed at once for the present objects and kept up to date from then on.
    /// The first function registered under a name wins, so that several components may ask for
    /// the same index.
    pub fn add_index<F>(&self, name: &str, function: F)
    where
        F: Fn(&K) -> Vec<String> + Send + Sync + 'static,
    {
        let mut content = self.inner.write();
        let Content { objects, indexes } = &mut *content;
        indexes.entry(name.to_owned()).or_insert_with(|| {
            let mut index = Index { function: Arc::new(function), keys: HashMap::new() };
            for (key, object) in objects.iter() {
                index.insert(key, object);
            }
            index
        });
    }

    /// The objects for which index `name` gave `value`, ordered by key; none if there is no such
    /// index.
    pub fn by_index(&self, name: &str, value: &str) -> Vec<Arc<K>> {
        let content = self.inner.read();
        let Some(keys) = content.indexes.get(name).and_then(|index| index.keys.get(value)) else {
            return Vec::new();
        };
        keys.iter().filter_map(|key| content.objects.get(key).cloned()).collect()
    }

    /// The keys of all objects.
    pub(crate) fn keys(&self) -> Vec<ObjectKey> {
        self.inner.read().objects.keys().cloned().collect()
    }

    /// Inserts or replaces, and returns what was there before.
    pub(crate) fn insert(&self, key: ObjectKey, object: Arc<K>) -> Option<Arc<K>> {
        let mut content = self.inner.write();
        let Content { objects, indexes } = &mut *content;
        let old = objects.insert(key.clone(), object.clone());
        for index in indexes.values_mut() {
            if let Some(old) = &old {
                index.remove(&key, old);
            }
            index.insert(&key, &object);
        }
        old
    }

    /// Removes, and returns what was there.
    pub(crate) fn remove(&self, key: &ObjectKey) -> Option<Arc<K>> {
        let mut content = self.inner.write();
        let Content { objects, indexes } = &mut *content;
        let old = objects.remove(key)?;
        for index in indexes.values_mut() {
            index.remove(key, &old);
        }
        Some(old)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::{Pod, PodSpec};

    fn pod(name: &str, node: &str) -> Arc<Pod> {
        let mut pod = Pod::default();
        pod.metadata.namespace = Some("ns".into());
        pod.metadata.name = Some(name.into());
        pod.spec = Some(PodSpec { node_name: Some(node.into()), ..Default::default() });
        Arc::new(pod)
    }

    fn names(pods: &[Arc<Pod>]) -> Vec<&str> {
        pods.iter().map(|pod| pod.metadata.name.as_deref().unwrap()).collect()
    }

    #[test]
    fn indexes_follow_every_change() {
        let store = Store::<Pod>::default();
        store.insert(ObjectKey::new("ns", "a"), pod("a", "n1"));
        store.add_index("node", |pod: &Pod| {
            pod.spec.iter().filter_map(|spec| spec.node_name.clone()).collect()
        });
        store.insert(ObjectKey::new("ns", "b"), pod("b", "n1"));
        assert_eq!(names(&store.by_index("node", "n1")), ["a", "b"]);

        store.insert(ObjectKey::new("ns", "a"), pod("a", "n2"));
        assert_eq!(names(&store.by_index("node", "n1")), ["b"]);
        assert_eq!(names(&store.by_index("node", "n2")), ["a"]);

        store.remove(&ObjectKey::new("ns", "a"));
        assert!(store.by_index("node", "n2").is_empty());
        assert!(store.by_index("other", "n1").is_empty());
        assert_eq!(store.list_in("ns").len(), 1);
        assert!(store.list_in("elsewhere").is_empty());
    }
}

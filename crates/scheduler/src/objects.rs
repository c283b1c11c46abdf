//! Objects of one kind by key: pointers to what the informers hold, in the order of events.

use std::collections::BTreeMap;
use std::sync::Arc;

use client::{Event, ObjectKey};
use kube::Resource;

/// The objects of one kind that exist.
pub(crate) struct Objects<K>(BTreeMap<ObjectKey, Arc<K>>);

impl<K> Default for Objects<K> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Resource> Objects<K> {
    pub(crate) fn apply(&mut self, event: &Event<K>) {
        match event {
            Event::Added(object) | Event::Modified { new: object, .. } => self.put(object.clone()),
            Event::Deleted(object) => {
                self.0.remove(&ObjectKey::of(&**object));
            }
        }
    }

    pub(crate) fn put(&mut self, object: Arc<K>) {
        self.0.insert(ObjectKey::of(&*object), object);
    }

    pub(crate) fn get(&self, key: &ObjectKey) -> Option<&Arc<K>> {
        self.0.get(key)
    }

    /// The object of a cluster-scoped kind with this name.
    pub(crate) fn named(&self, name: &str) -> Option<&Arc<K>> {
        self.0.get(&ObjectKey::cluster(name))
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<K>> {
        self.0.values()
    }

    /// The objects of one namespace.
    pub(crate) fn within(&self, namespace: &str) -> impl Iterator<Item = &Arc<K>> {
        let from = self.0.range(ObjectKey::new(namespace, "")..);
        from.take_while(move |(key, _)| key.namespace == namespace).map(|(_, object)| object)
    }
}

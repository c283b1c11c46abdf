//! Which DaemonSet a change concerns.

use client::helpers::controller_of;
use client::{Event, ObjectKey};
use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Resource;

use super::Controller;
use crate::common::meta;
use rules::selector::Selector;

impl Controller {
    pub(super) fn set_event(&self, event: &Event<DaemonSet>) {
        let key = ObjectKey::of(&**event.object());
        if matches!(event, Event::Deleted(_)) {
            self.expectations.forget(&key);
        }
        self.queue.add(key);
    }

    /// Nodes change all the time; only what decides about pods matters.
    pub(super) fn node_event(&self, event: &Event<Node>) {
        if let Event::Modified { old, new } = event {
            let taints = |node: &Node| node.spec.as_ref().and_then(|spec| spec.taints.clone());
            let empty = |taints: Option<Vec<_>>| taints.unwrap_or_default();
            let same = old.metadata.labels == new.metadata.labels
                && empty(taints(old)) == empty(taints(new));
            if same {
                return;
            }
        }
        for set in self.sets.list() {
            self.queue.add(ObjectKey::of(&*set));
        }
    }

    pub(super) fn pod_event(&self, event: &Event<Pod>) {
        match event {
            Event::Added(pod) if meta::deleting(&**pod) => self.pod_going(pod),
            Event::Added(pod) => match self.owner_of(&**pod) {
                Some(owner) => {
                    self.expectations.created(&owner);
                    self.queue.add(owner);
                }
                None => self.offer(&**pod),
            },
            Event::Deleted(pod) => self.pod_going(pod),
            Event::Modified { new, .. } if meta::deleting(&**new) => self.pod_going(new),
            Event::Modified { old, new } => self.modified(&**old, &**new),
        }
    }

    pub(super) fn revision_event(&self, event: &Event<ControllerRevision>) {
        match event {
            Event::Modified { old, new } => self.modified(&**old, &**new),
            _ => match self.owner_of(&**event.object()) {
                Some(owner) => self.queue.add(owner),
                None if matches!(event, Event::Added(_)) => self.offer(&**event.object()),
                None => {}
            },
        }
    }

    fn modified<K: Resource>(&self, old: &K, new: &K) {
        let moved = controller_of(old) != controller_of(new);
        let before = self.owner_of(old).filter(|_| moved);
        let after = self.owner_of(new);
        before.into_iter().chain(after).for_each(|owner| self.queue.add(owner));
        if moved || old.meta().labels != new.meta().labels {
            self.offer(new);
        }
    }

    fn pod_going(&self, pod: &Pod) {
        if let Some(owner) = self.owner_of(pod) {
            self.expectations.deleted(&owner, meta::uid(pod));
            self.queue.add(owner);
        }
    }

    fn owner_of(&self, object: &impl Resource) -> Option<ObjectKey> {
        let reference = controller_of(object).filter(|owner| owner.kind == "DaemonSet")?;
        let key = ObjectKey::new(meta::namespace(object), &*reference.name);
        let owner = self.sets.get(&key)?;
        (meta::uid(&*owner) == reference.uid).then_some(key)
    }

    /// Shows an orphan to those who might adopt it.
    fn offer(&self, orphan: &impl Resource) {
        if controller_of(orphan).is_some() {
            return;
        }
        for set in self.sets.list_in(meta::namespace(orphan)) {
            let selector = Some(&set.spec.selector);
            if Selector::new(selector).matches_labels(orphan.meta().labels.as_ref()) {
                self.queue.add(ObjectKey::of(&*set));
            }
        }
    }
}

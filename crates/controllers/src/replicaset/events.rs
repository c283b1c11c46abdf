//! Which owner a change concerns.

use client::helpers::controller_of;
use client::{Event, ObjectKey};
use k8s_openapi::api::core::v1::Pod;

use super::Controller;
use super::kinds::Replicated;
use crate::common::{meta, pod};

impl<K: Replicated> Controller<K> {
    pub(super) fn owner_event(&self, event: &Event<K>) {
        let key = ObjectKey::of(&**event.object());
        if matches!(event, Event::Deleted(_)) {
            self.expectations.forget(&key);
        }
        self.queue.add(key);
    }

    pub(super) fn pod_event(&self, event: &Event<Pod>) {
        match event {
            Event::Added(pod) if meta::deleting(&**pod) => self.pod_going(pod),
            Event::Added(pod) => match self.owner_of(pod) {
                Some(owner) => {
                    self.expectations.created(&owner);
                    self.queue.add(owner);
                }
                None => self.enqueue_matching(pod),
            },
            Event::Deleted(pod) => self.pod_going(pod),
            Event::Modified { old, new } => {
                if meta::deleting(&**new) {
                    // The kubelet deletes it for good much later; for us it is as good as gone.
                    self.pod_going(new);
                    if self.owner_of(old) != self.owner_of(new) {
                        self.pod_going(old);
                    }
                    return;
                }
                let (before, after) = (self.owner_of(old), self.owner_of(new));
                if before != after
                    && let Some(before) = before
                {
                    self.queue.add(before);
                }
                match after {
                    Some(after) => self.queue.add(after),
                    None if controller_of(&**new).is_none() => {
                        let changed = old.metadata.labels != new.metadata.labels
                            || controller_of(&**old).is_some();
                        if changed {
                            self.enqueue_matching(new);
                        }
                    }
                    None => {}
                }
            }
        }
    }

    fn pod_going(&self, pod: &Pod) {
        if let Some(owner) = self.owner_of(pod) {
            self.expectations.deleted(&owner, meta::uid(pod));
            self.queue.add(owner);
        }
    }

    /// The owner of our kind that controls the pod, if it is the one we know by that name.
    fn owner_of(&self, pod: &Pod) -> Option<ObjectKey> {
        let reference = controller_of(pod).filter(|owner| owner.kind == K::kind(&()))?;
        let key = ObjectKey::new(meta::namespace(pod), &*reference.name);
        let owner = self.owners.get(&key)?;
        (meta::uid(&*owner) == reference.uid).then_some(key)
    }

    /// Everybody who might adopt an orphan.
    fn enqueue_matching(&self, orphan: &Pod) {
        if controller_of(orphan).is_some() || pod::is_terminal(orphan) {
            return;
        }
        for owner in self.owners.list_in(meta::namespace(orphan)) {
            if owner.selector().matches(orphan) {
                self.queue.add(ObjectKey::of(&*owner));
            }
        }
    }
}

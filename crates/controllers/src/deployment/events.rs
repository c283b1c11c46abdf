//! Which Deployment a change concerns.

use client::helpers::controller_of;
use client::{Event, ObjectKey};
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;

use super::{Controller, update};
use crate::common::{claim, meta};
use rules::selector::Selector;

impl Controller {
    pub(super) fn deployment_event(&self, event: &Event<Deployment>) {
        self.queue.add(ObjectKey::of(&**event.object()));
    }

    pub(super) fn set_event(&self, event: &Event<ReplicaSet>) {
        if let Event::Modified { old, new } = event {
            let (before, after) = (self.owner_of(old), self.owner_of(new));
            if before != after
                && let Some(before) = before
            {
                self.queue.add(before);
            }
        }
        let set = event.object();
        match self.owner_of(set) {
            Some(owner) => self.queue.add(owner),
            None if controller_of(&**set).is_some() || matches!(event, Event::Deleted(_)) => {}
            None => self.enqueue_matching(set),
        }
    }

    /// A pod that goes may be the last one that a `Recreate` waits for.
    pub(super) fn pod_event(&self, event: &Event<Pod>) {
        let Event::Deleted(pod) = event else { return };
        let Some(reference) = controller_of(&**pod).filter(|owner| owner.kind == "ReplicaSet")
        else {
            return;
        };
        let Some(set) = self.sets.get_in(meta::namespace(&**pod), &reference.name) else { return };
        let Some(owner) = self.owner_of(&set) else { return };
        let Some(deployment) = self.deployments.get(&owner) else { return };
        if !update::recreates(&deployment) {
            return;
        }
        let sets = claim::controlled_by(&self.sets, meta::uid(&*deployment));
        let left = |set: &ReplicaSet| claim::controlled_by(&self.pods, meta::uid(set)).len();
        if sets.iter().all(|set| left(set) == 0) {
            self.queue.add(owner);
        }
    }

    fn owner_of(&self, set: &ReplicaSet) -> Option<ObjectKey> {
        let reference = controller_of(set).filter(|owner| owner.kind == "Deployment")?;
        let key = ObjectKey::new(meta::namespace(set), &*reference.name);
        let owner = self.deployments.get(&key)?;
        (meta::uid(&*owner) == reference.uid).then_some(key)
    }

    fn enqueue_matching(&self, orphan: &ReplicaSet) {
        for deployment in self.deployments.list_in(meta::namespace(orphan)) {
            let selector = Some(&deployment.spec.selector);
            let selector = Selector::new(selector);
            if !selector.is_everything() && selector.matches(orphan) {
                self.queue.add(ObjectKey::of(&*deployment));
            }
        }
    }
}

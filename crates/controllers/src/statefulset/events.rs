//! Which StatefulSet a change concerns.

use client::helpers::controller_of;
use client::{Event, ObjectKey};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::Resource;

use super::{Controller, identity};
use crate::common::meta;
use rules::selector::Selector;

impl Controller {
    pub(super) fn set_event(&self, event: &Event<StatefulSet>) {
        self.queue.add(ObjectKey::of(&**event.object()));
    }

    pub(super) fn pod_event(&self, event: &Event<Pod>) {
        let pod = event.object();
        let mut news = matches!(event, Event::Added(_));
        if let Event::Modified { old, new } = event {
            let moved = controller_of(&**old) != controller_of(&**new);
            if moved && let Some(before) = self.owner_of(&**old) {
                self.queue.add(before);
            }
            news = moved || old.metadata.labels != new.metadata.labels;
        }
        match self.owner_of(&**pod) {
            Some(owner) => self.queue.add(owner),
            None if news => self.offer(pod),
            None => {}
        }
    }

    /// A claim that appears may need owners; one that goes may have been waited for.
    pub(super) fn claim_event(&self, event: &Event<PersistentVolumeClaim>) {
        if matches!(event, Event::Modified { .. }) {
            return;
        }
        let claim = event.object();
        for set in self.sets.list_in(meta::namespace(&**claim)) {
            let templates = set.spec.volume_claim_templates.iter().flatten();
            let ours = templates.into_iter().any(|template| {
                let prefix = format!("{}-{}-", meta::name(template), meta::name(&*set));
                meta::name(&**claim).starts_with(&prefix)
            });
            if ours {
                self.queue.add(ObjectKey::of(&*set));
            }
        }
    }

    fn owner_of(&self, object: &impl Resource) -> Option<ObjectKey> {
        let reference = controller_of(object).filter(|owner| owner.kind == "StatefulSet")?;
        let key = ObjectKey::new(meta::namespace(object), &*reference.name);
        let owner = self.sets.get(&key)?;
        (meta::uid(&*owner) == reference.uid).then_some(key)
    }

    /// Shows an orphan to those who might adopt it.
    fn offer(&self, orphan: &Pod) {
        if controller_of(orphan).is_some() {
            return;
        }
        for set in self.sets.list_in(meta::namespace(orphan)) {
            let selector = Selector::new(Some(&set.spec.selector));
            if selector.matches(orphan) && identity::is_member(&set, orphan) {
                self.queue.add(ObjectKey::of(&*set));
            }
        }
    }
}

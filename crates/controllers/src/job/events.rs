//! Which Job a change concerns.

use std::time::Duration;

use client::helpers::controller_of;
use client::{Event, ObjectKey};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;

use super::orphans::Orphan;
use super::{Controller, conditions, finalizer};
use crate::common::meta;
use rules::selector::Selector;

/// Pods of one Job change together: waiting a little saves writes of its status. (Upstream waits
/// a second; within one process that would be most of a short Job's time.)
const BATCH: Duration = Duration::from_millis(50);

impl Controller {
    pub(super) fn job_event(&self, event: &Event<Job>) {
        let job = event.object();
        let (key, uid) = (ObjectKey::of(&**job), meta::uid(&**job).to_owned());
        if matches!(event, Event::Deleted(_)) {
            self.backoffs.forget(&key);
            self.orphans.add(Orphan::Of(uid));
            self.queue.add(key);
        } else if conditions::finished(job) {
            // They should all be counted by now; this is for those that came late.
            self.orphans.add(Orphan::Of(uid));
            self.queue.add(key);
        } else {
            match event {
                Event::Modified { old, new }
                    if old.metadata.generation == new.metadata.generation =>
                {
                    self.queue.add_after(key, BATCH);
                }
                _ => self.queue.add(key),
            }
        }
    }

    pub(super) fn pod_event(&self, event: &Event<Pod>) {
        match event {
            Event::Added(pod) if meta::deleting(&**pod) => self.pod_going(pod, false),
            Event::Added(pod) => match self.owner_of(pod) {
                Some(owner) => {
                    self.expectations.created(&owner);
                    self.queue.add_after(owner, BATCH);
                }
                None => {
                    self.offer(pod, true);
                }
            },
            Event::Deleted(pod) => self.pod_going(pod, true),
            Event::Modified { new, .. } if meta::deleting(&**new) => self.pod_going(new, false),
            Event::Modified { old, new } => {
                let (before, after) = (self.owner_of(old), self.owner_of(new));
                let moved = controller_of(&**old) != controller_of(&**new);
                let owners = [before.filter(|_| moved), after];
                for owner in owners.into_iter().flatten() {
                    if !finalizer::present(new) {
                        self.removals.settle(&owner, meta::uid(&**new));
                    }
                    self.queue.add_after(owner, BATCH);
                }
                self.offer(new, moved || old.metadata.labels != new.metadata.labels);
            }
        }
    }

    fn pod_going(&self, pod: &Pod, gone: bool) {
        let held = finalizer::present(pod);
        let owner = self
            .owner_of(pod)
            .filter(|key| self.jobs.get(key).is_some_and(|job| !conditions::finished(&job)));
        let Some(owner) = owner else {
            if held {
                self.orphans.add(Orphan::Pod(ObjectKey::of(pod)));
            }
            return;
        };
        self.expectations.deleted(&owner, meta::uid(pod));
        if gone || !held {
            self.removals.settle(&owner, meta::uid(pod));
        }
        self.queue.add_after(owner, BATCH);
    }

    /// Shows an orphan to those who might adopt it.
    fn offer(&self, orphan: &Pod, news: bool) {
        if controller_of(orphan).is_some() {
            return;
        }
        if finalizer::present(orphan) {
            self.orphans.add(Orphan::Pod(ObjectKey::of(orphan)));
        }
        if !news {
            return;
        }
        for job in self.jobs.list_in(meta::namespace(orphan)) {
            let selector = job.spec.as_ref().and_then(|spec| spec.selector.as_ref());
            if Selector::new(selector).matches(orphan) {
                self.queue.add_after(ObjectKey::of(&*job), BATCH);
            }
        }
    }

    /// The Job that controls the pod, if it is the one we know by that name.
    pub(super) fn owner_of(&self, pod: &Pod) -> Option<ObjectKey> {
        let reference = controller_of(pod).filter(|owner| owner.kind == "Job")?;
        let key = ObjectKey::new(meta::namespace(pod), &*reference.name);
        let owner = self.jobs.get(&key)?;
        (meta::uid(&*owner) == reference.uid).then_some(key)
    }
}

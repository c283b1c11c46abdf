//! Pods that are being removed to make room, until the cache shows that they leave.

use std::collections::HashMap;
use std::sync::Arc;

use client::ObjectKey;

use crate::cache::Cache;
use crate::pod::PodInfo;

struct Eviction {
    victims: Vec<Arc<PodInfo>>,
    /// True if all victims are deleted in the API.
    written: bool,
}

/// Victims by preemptor. Before they are seen to leave, an attempt would choose further ones.
#[derive(Default)]
pub(crate) struct Evictions(HashMap<ObjectKey, Eviction>);

impl Evictions {
    pub(crate) fn begin(&mut self, preemptor: ObjectKey, victims: Vec<Arc<PodInfo>>) {
        self.0.insert(preemptor, Eviction { victims, written: false });
    }

    pub(crate) fn written(&mut self, preemptor: &ObjectKey) {
        if let Some(eviction) = self.0.get_mut(preemptor) {
            eviction.written = true;
        }
    }

    pub(crate) fn failed(&mut self, preemptor: &ObjectKey) {
        self.0.remove(preemptor);
    }

    /// Returns true if a pod is a victim of a preemption under way.
    pub(crate) fn include(&self, pod: &PodInfo) -> bool {
        let victims = self.0.values().flat_map(|eviction| &eviction.victims);
        victims.into_iter().any(|victim| victim.key == pod.key && victim.uid() == pod.uid())
    }

    /// Takes out the preemptors all of whose victims are gone or on their way.
    pub(crate) fn done(&mut self, cache: &Cache) -> Vec<ObjectKey> {
        if self.0.is_empty() {
            return Vec::new();
        }
        let done = |eviction: &Eviction| {
            eviction.written && !eviction.victims.iter().any(|victim| cache.keeps(victim))
        };
        self.0.extract_if(|_, eviction| done(eviction)).map(|(preemptor, _)| preemptor).collect()
    }
}

//! The last write of each object, to tell a cache that does not show it yet.
//!
//! A decision made on an older copy could count something twice. Resource versions of one resource
//! can be compared as numbers (KEP-5504).

use std::collections::HashMap;

use client::ObjectKey;
use kube::Resource;
use parking_lot::Mutex;

/// Versions of the last writes.
#[derive(Default)]
pub(crate) struct Written(Mutex<HashMap<ObjectKey, u64>>);

fn version(object: &impl Resource) -> Option<u64> {
    object.meta().resource_version.as_ref()?.parse().ok()
}

impl Written {
    /// Notes what the server answered to a write.
    pub(crate) fn note(&self, object: &impl Resource) {
        if let Some(version) = version(object) {
            self.0.lock().insert(ObjectKey::of(object), version);
        }
    }

    /// Returns true if `object`, from the cache, is as new as the last write. If not, its event is
    /// still to come.
    pub(crate) fn seen(&self, object: &impl Resource) -> bool {
        let known = self.0.lock().get(&ObjectKey::of(object)).copied();
        known.is_none_or(|written| version(object).is_none_or(|version| version >= written))
    }

    /// The object is gone.
    pub(crate) fn forget(&self, key: &ObjectKey) {
        self.0.lock().remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::Pod;

    #[test]
    fn an_older_copy_is_told_from_a_newer_one() {
        let at = |version: &str| {
            let mut pod = Pod::default();
            pod.metadata.name = Some("a".into());
            pod.metadata.resource_version = Some(version.into());
            pod
        };
        let written = Written::default();
        assert!(written.seen(&at("1")));
        written.note(&at("9"));
        for (version, seen) in [("8", false), ("9", true), ("10", true)] {
            assert_eq!(written.seen(&at(version)), seen);
        }
        written.forget(&ObjectKey::of(&at("1")));
        assert!(written.seen(&at("1")));
    }
}

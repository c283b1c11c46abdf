//! Slices that were written and may not be observed yet.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use client::ObjectKey;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use parking_lot::Mutex;

use super::super::meta;

#[derive(Default)]
pub(super) struct Tracker {
    services: Mutex<HashMap<ObjectKey, Written>>,
}

#[derive(Default)]
struct Written {
    /// Version of each slice as last written, by uid.
    versions: HashMap<String, u64>,
    /// Uids of slices that were deleted.
    deleted: HashSet<String>,
}

fn version(slice: &EndpointSlice) -> u64 {
    slice.metadata.resource_version.as_ref().and_then(|text| text.parse().ok()).unwrap_or(0)
}

impl Tracker {
    pub(super) fn wrote(&self, service: &ObjectKey, slice: &EndpointSlice) {
        let mut services = self.services.lock();
        let written = services.entry(service.clone()).or_default();
        written.versions.insert(meta::uid(slice).to_owned(), version(slice));
    }

    pub(super) fn deleted(&self, service: &ObjectKey, uid: &str) {
        let mut services = self.services.lock();
        let written = services.entry(service.clone()).or_default();
        written.versions.remove(uid);
        written.deleted.insert(uid.to_owned());
    }

    /// A slice was seen to go, whoever deleted it.
    pub(super) fn gone(&self, service: &ObjectKey, uid: &str) {
        if let Some(written) = self.services.lock().get_mut(service) {
            written.versions.remove(uid);
            written.deleted.remove(uid);
        }
    }

    pub(super) fn forget(&self, service: &ObjectKey) {
        self.services.lock().remove(service);
    }

    /// Returns true if `present` shows everything that was written.
    pub(super) fn caught_up(&self, service: &ObjectKey, present: &[Arc<EndpointSlice>]) -> bool {
        let services = self.services.lock();
        let Some(written) = services.get(service) else { return true };
        let seen: HashMap<&str, u64> =
            present.iter().map(|slice| (meta::uid(&**slice), version(slice))).collect();
        let current = |(uid, at): (&String, &u64)| seen.get(uid.as_str()).is_some_and(|v| v >= at);
        written.versions.iter().all(current)
            && !written.deleted.iter().any(|uid| seen.contains_key(uid.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slice(uid: &str, version: &str) -> Arc<EndpointSlice> {
        let mut slice = EndpointSlice::default();
        slice.metadata.uid = Some(uid.into());
        slice.metadata.resource_version = Some(version.into());
        Arc::new(slice)
    }

    #[test]
    fn only_what_was_written_is_waited_for() {
        let (tracker, service) = (Tracker::default(), ObjectKey::new("ns", "svc"));
        assert!(tracker.caught_up(&service, &[]));
        tracker.wrote(&service, &slice("a", "10"));
        assert!(!tracker.caught_up(&service, &[]));
        assert!(!tracker.caught_up(&service, &[slice("a", "9")]));
        assert!(tracker.caught_up(&service, &[slice("a", "11"), slice("b", "1")]));
        tracker.deleted(&service, "a");
        assert!(!tracker.caught_up(&service, &[slice("a", "11")]));
        tracker.gone(&service, "a");
        assert!(tracker.caught_up(&service, &[]));
    }
}

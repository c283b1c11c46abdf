//! Creations and deletions that a controller has requested but not observed.
//!
//! After creating pods a controller's cache lags behind; looked at too early it would seem that
//! they still have to be made. So the controller notes what it expects to see and waits for it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use client::ObjectKey;
use parking_lot::Mutex;
use tokio::time::Instant;

/// Afterwards what is still missing was lost (upstream's `ExpectationsTimeout`).
pub(crate) const TIMEOUT: Duration = Duration::from_secs(5 * 60);

#[derive(Clone, Default)]
pub(crate) struct Expectations {
    entries: Arc<Mutex<HashMap<ObjectKey, Entry>>>,
}

struct Entry {
    creations: usize,
    deletions: HashSet<String>,
    since: Instant,
}

impl Expectations {
    /// Notes that `creations` objects will appear and those with the uids `deletions` will go.
    pub(crate) fn expect(
        &self,
        owner: &ObjectKey,
        creations: usize,
        deletions: impl IntoIterator<Item = String>,
    ) {
        let deletions = deletions.into_iter().collect();
        let entry = Entry { creations, deletions, since: Instant::now() };
        self.entries.lock().insert(owner.clone(), entry);
    }

    /// One of the creations was seen, or failed.
    pub(crate) fn created(&self, owner: &ObjectKey) {
        self.not_created(owner, 1);
    }

    /// `count` of the creations will not happen.
    pub(crate) fn not_created(&self, owner: &ObjectKey, count: usize) {
        if let Some(entry) = self.entries.lock().get_mut(owner) {
            entry.creations = entry.creations.saturating_sub(count);
        }
    }

    /// The deletion of `uid` was seen, or failed.
    pub(crate) fn deleted(&self, owner: &ObjectKey, uid: &str) {
        if let Some(entry) = self.entries.lock().get_mut(owner) {
            entry.deletions.remove(uid);
        }
    }

    /// Returns true if all expectations were observed, so that the cache can be trusted.
    pub(crate) fn satisfied(&self, owner: &ObjectKey) -> bool {
        self.entries.lock().get(owner).is_none_or(|entry| {
            (entry.creations == 0 && entry.deletions.is_empty()) || entry.since.elapsed() > TIMEOUT
        })
    }

    /// The owner is gone.
    pub(crate) fn forget(&self, owner: &ObjectKey) {
        self.entries.lock().remove(owner);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn all_must_be_seen_or_time_out() {
        let expectations = Expectations::default();
        let owner = ObjectKey::new("ns", "rs");
        assert!(expectations.satisfied(&owner));
        expectations.expect(&owner, 2, ["a".to_owned()]);
        expectations.created(&owner);
        expectations.deleted(&owner, "a");
        expectations.deleted(&owner, "a");
        assert!(!expectations.satisfied(&owner));
        expectations.created(&owner);
        assert!(expectations.satisfied(&owner));
        expectations.created(&owner);
        assert!(expectations.satisfied(&owner), "more than expected does no harm");

        expectations.expect(&owner, 1, []);
        tokio::time::advance(TIMEOUT).await;
        assert!(!expectations.satisfied(&owner));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(expectations.satisfied(&owner));
    }
}

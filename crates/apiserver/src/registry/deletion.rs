//! Differences between kinds in how they are deleted.

use super::kind::Kind;

/// Default treatment of an object's dependents (upstream's `DefaultGarbageCollectionPolicy`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DefaultPolicy {
    /// Dependents are deleted after the object.
    Delete,
    /// Dependents are kept.
    Orphan,
    /// The kind has no policy.
    None,
}

/// Kinds that kept their original default.
const ORPHANS: &[(&str, &str)] = &[("batch", "jobs"), ("", "replicationcontrollers")];
/// Events own nothing.
const WITHOUT: &[(&str, &str)] = &[("", "events"), ("events.k8s.io", "events")];
/// Kinds whose deletion answers with the object instead of a Status (upstream's
/// `ReturnDeletedObject`).
const RETURNED: &[(&str, &str)] = &[
    ("", "namespaces"),
    ("", "persistentvolumeclaims"),
    ("", "persistentvolumes"),
    ("", "pods"),
    ("", "podtemplates"),
    ("", "resourcequotas"),
    ("", "serviceaccounts"),
    ("", "services"),
    ("apiextensions.k8s.io", "customresourcedefinitions"),
    ("resource.k8s.io", "deviceclasses"),
    ("resource.k8s.io", "resourceclaims"),
    ("resource.k8s.io", "resourceclaimtemplates"),
    ("resource.k8s.io", "resourceslices"),
    ("storage.k8s.io", "csidrivers"),
    ("storage.k8s.io", "csinodes"),
    ("storage.k8s.io", "storageclasses"),
    ("storage.k8s.io", "volumeattachments"),
    ("storage.k8s.io", "volumeattributesclasses"),
];

impl Kind {
    fn is_among(&self, list: &[(&str, &str)]) -> bool {
        list.contains(&(self.group, self.resource))
    }

    /// The default treatment of dependents.
    pub(crate) fn default_policy(&self) -> DefaultPolicy {
        if self.is_among(ORPHANS) {
            DefaultPolicy::Orphan
        } else if self.is_among(WITHOUT) {
            DefaultPolicy::None
        } else {
            DefaultPolicy::Delete
        }
    }

    /// Returns true if DELETE answers with the object.
    pub(crate) fn returns_deleted(&self) -> bool {
        self.is_among(RETURNED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::kinds;

    #[test]
    fn every_entry_is_a_kind() {
        for (group, resource) in ORPHANS.iter().chain(WITHOUT).chain(RETURNED) {
            let found = kinds().any(|k| k.group == *group && k.resource == *resource);
            assert!(found, "{resource}.{group}");
        }
    }
}

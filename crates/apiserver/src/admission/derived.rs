//! Values read from objects of the configuration, once for each change of them.

use std::sync::Arc;

use arc_swap::ArcSwapOption;

use crate::cache::Snapshot;
use crate::registry;
use crate::server::Server;

const GROUP: &str = "admissionregistration.k8s.io";

/// A value made of all objects of some resources.
pub(super) struct Derived<T, const N: usize>(ArcSwapOption<Made<T, N>>);

struct Made<T, const N: usize> {
    revisions: [u64; N],
    value: Arc<T>,
}

impl<T, const N: usize> Default for Derived<T, N> {
    fn default() -> Self {
        Self(ArcSwapOption::empty())
    }
}

impl<T: Default, const N: usize> Derived<T, N> {
    /// The value as of the objects that are there now.
    pub(super) fn get(
        &self,
        server: &Server,
        resources: [&str; N],
        make: impl FnOnce([&Snapshot; N]) -> T,
    ) -> Arc<T> {
        let snapshots: Option<Vec<Arc<Snapshot>>> = resources
            .iter()
            .map(|resource| {
                let kind = registry::find(GROUP, "v1", resource)?;
                Some(server.collection(kind).ok()?.snapshot())
            })
            .collect();
        let Some(Ok(snapshots)) = snapshots.map(<[_; N]>::try_from) else { return Arc::default() };
        let revisions = snapshots.each_ref().map(|snapshot| snapshot.revision);
        if let Some(known) = &*self.0.load()
            && known.revisions == revisions
        {
            return known.value.clone();
        }
        let value = Arc::new(make(snapshots.each_ref().map(|snapshot| &**snapshot)));
        self.0.store(Some(Arc::new(Made { revisions, value: value.clone() })));
        value
    }
}

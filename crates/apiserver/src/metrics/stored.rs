//! Sizes of stored data, read on each scrape.

use std::sync::Arc;

use store::Store;
use telemetry::metrics::{Desc, Kind, Registry, Samples};

use crate::cache::Cache;
use crate::registry;

const COUNT: &str = "Number of stored objects at the time of last check split by kind. In case of a fetching error, the value will be -1.";

/// Group, resource and number of objects of every stored kind.
fn counts(cache: &Cache, mut each: impl FnMut(&str, &str, usize)) {
    for kind in registry::kinds().filter(|kind| kind.conversion.is_none()) {
        if let Some(collection) = cache.collection(kind.group, kind.resource) {
            each(kind.group, kind.resource, collection.snapshot().entries.len());
        }
    }
}

pub(super) fn add(registry: &Registry, cache: &Arc<Cache>, store: &Arc<dyn Store>) {
    let of = cache.clone();
    registry.collect(
        Desc::alpha("apiserver_resource_objects", COUNT),
        Kind::Gauge,
        ["group", "resource"],
        move |samples: &mut Samples<2>| {
            counts(&of, |group, resource, count| samples.add([group, resource], count as f64));
        },
    );
    let store = store.clone();
    registry.collect(
        Desc::stable(
            "apiserver_storage_size_bytes",
            "Size of the storage database file physically allocated in bytes.",
        ),
        Kind::Gauge,
        ["storage_cluster_id"],
        // Upstream's name of an etcd cluster; there is one.
        move |samples: &mut Samples<1>| samples.add(["etcd-0"], store.size() as f64),
    );
}

//! Objects by namespace, without looking at those of others.

use std::sync::Arc;

use client::Store;
use client::informer::Kind;

use super::meta;

const INDEX: &str = "namespace";

/// Lets objects be found by namespace; see [`list`].
pub(crate) fn index<K: Kind>(store: &Store<K>) {
    store.add_index(INDEX, |object| vec![meta::namespace(object).to_owned()]);
}

/// The objects of a namespace, by name.
pub(crate) fn list<K: Kind>(store: &Store<K>, namespace: &str) -> Vec<Arc<K>> {
    store.by_index(INDEX, namespace)
}

//! List and watch of one kind, kept in a [`Store`] and told to subscribers.

use std::fmt::Debug;
use std::sync::Arc;

use kube::{Api, Resource};
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use telemetry::task;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::key::ObjectKey;
use crate::store::Store;

mod item;
mod reflector;

/// A kind that an informer can hold: any `k8s_openapi` type, `DynamicObject`, or
/// `PartialObjectMeta` of either (which asks the server for metadata only).
pub trait Kind: Resource + Clone + Debug + DeserializeOwned + Send + Sync + 'static {}
impl<K: Resource + Clone + Debug + DeserializeOwned + Send + Sync + 'static> Kind for K {}

/// A change of an object in an informer's store.
#[derive(Debug)]
pub enum Event<K> {
    /// It is new to this informer.
    Added(Arc<K>),
    /// It changed. After a lost watch several changes may arrive as one.
    Modified {
        /// As it was known before.
        old: Arc<K>,
        /// As it is now.
        new: Arc<K>,
    },
    /// It is gone; its last known form.
    Deleted(Arc<K>),
}

impl<K> Event<K> {
    /// The object in its latest known form.
    pub fn object(&self) -> &Arc<K> {
        match self {
            Self::Added(object) | Self::Deleted(object) => object,
            Self::Modified { new, .. } => new,
        }
    }
}

impl<K> Clone for Event<K> {
    fn clone(&self) -> Self {
        match self {
            Self::Added(object) => Self::Added(object.clone()),
            Self::Modified { old, new } => Self::Modified { old: old.clone(), new: new.clone() },
            Self::Deleted(object) => Self::Deleted(object.clone()),
        }
    }
}

/// Which objects of a kind to hold; the default is all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Selection {
    /// A field selector, such as `spec.nodeName=n1`.
    pub fields: Option<String>,
    /// A label selector.
    pub labels: Option<String>,
}

impl Selection {
    /// Objects matching a field selector.
    pub fn fields(selector: impl Into<String>) -> Self {
        Self { fields: Some(selector.into()), ..Self::default() }
    }
}

/// A running list and watch. Cloning shares it; it ends with the token it was started with.
pub struct Informer<K> {
    shared: Arc<Shared<K>>,
}

impl<K> Clone for Informer<K> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

impl<K: Kind> Informer<K> {
    /// Starts to list and watch in a task of its own.
    pub fn start(api: Api<K>, selection: &Selection, cancel: CancellationToken) -> Self {
        let shared = Arc::new(Shared {
            store: Store::default(),
            synced: watch::Sender::new(false),
            subscribers: Mutex::new(Vec::new()),
        });
        let (filled, selection) = (shared.clone(), selection.clone());
        task::spawn(
            "informer",
            task::keep_until_cancelled("informer", cancel, move || {
                reflector::Reflector::new(api.clone(), &selection, filled.clone()).run()
            }),
        );
        Self { shared }
    }

    /// The objects.
    pub fn store(&self) -> &Store<K> {
        &self.shared.store
    }

    /// Returns true if the first list is complete.
    pub fn has_synced(&self) -> bool {
        *self.shared.synced.borrow()
    }

    /// Returns when the first list is complete.
    pub async fn wait_synced(&self) {
        let mut synced = self.shared.synced.subscribe();
        // The sender lives as long as `self`.
        let _ = synced.wait_for(|synced| *synced).await;
    }

    /// All further events, beginning with an `Added` for each object already held. Nothing is
    /// lost or repeated between the two. The channel is unbounded: events are pointers, and a
    /// subscriber is expected to do no more than enqueue keys.
    pub fn subscribe(&self) -> mpsc::UnboundedReceiver<Event<K>> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut subscribers = self.shared.subscribers.lock();
        for object in self.shared.store.list() {
            // The receiver is still in our hands.
            let _ = sender.send(Event::Added(object));
        }
        subscribers.push(sender);
        receiver
    }
}

/// The state that the reflector writes and all users of the informer read.
struct Shared<K> {
    store: Store<K>,
    synced: watch::Sender<bool>,
    /// Held over each change of the store, so that a new subscriber sees every object once.
    subscribers: Mutex<Vec<mpsc::UnboundedSender<Event<K>>>>,
}

impl<K: Kind> Shared<K> {
    fn upsert(&self, object: K) {
        let key = ObjectKey::of(&object);
        let new = Arc::new(object);
        let mut subscribers = self.subscribers.lock();
        let event = match self.store.insert(key, new.clone()) {
            None => Event::Added(new),
            Some(old) if same_version(&*old, &*new) => return,
            Some(old) if old.meta().uid != new.meta().uid => {
                tell(&mut subscribers, &Event::Deleted(old));
                Event::Added(new)
            }
            Some(old) => Event::Modified { old, new },
        };
        tell(&mut subscribers, &event);
    }

    /// `last` is the form in which it was deleted, where the server told it.
    fn remove(&self, key: &ObjectKey, last: Option<K>) {
        let mut subscribers = self.subscribers.lock();
        if let Some(old) = self.store.remove(key) {
            tell(&mut subscribers, &Event::Deleted(last.map_or(old, Arc::new)));
        }
    }
}

fn same_version<K: Resource>(a: &K, b: &K) -> bool {
    a.meta().uid == b.meta().uid
        && a.meta().resource_version.is_some()
        && a.meta().resource_version == b.meta().resource_version
}

fn tell<K>(subscribers: &mut Vec<mpsc::UnboundedSender<Event<K>>>, event: &Event<K>) {
    subscribers.retain(|subscriber| subscriber.send(event.clone()).is_ok());
}

#[cfg(test)]
mod tests;

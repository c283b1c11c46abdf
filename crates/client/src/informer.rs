//! List and watch of one kind, kept in a [`Store`] and told to subscribers.

use std::collections::HashSet;
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
use item::Item;
use reflector::{Reflector, Sink, Told};
use serde_json::value::RawValue;

mod item;
mod kinds;
mod reflector;
mod trim;

/// A kind that an informer can hold.
pub trait Kind: Resource + Clone + Debug + DeserializeOwned + Send + Sync + 'static {
    /// Decodes an object from JSON.
    ///
    /// # Errors
    /// The text is not JSON, or does not fit the type.
    fn decode(text: &str) -> serde_json::Result<Self>;

    /// Drops what no component reads, and gives back what is reserved and not used: objects are kept
    /// for long.
    fn trim(&mut self) {
        trim::metadata(self.meta_mut());
    }

    /// Leaves out what no component reads that takes its informers from a factory. Such an object must
    /// not be written back as a whole.
    fn share(&mut self) {}
}

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
        Self::holding(api, selection, |_| {}, cancel)
    }

    /// As [`Informer::start`], for components that share it: objects are without what
    /// [`Kind::share`] leaves out.
    pub(crate) fn share(api: Api<K>, selection: &Selection, cancel: CancellationToken) -> Self {
        Self::holding(api, selection, K::share, cancel)
    }

    fn holding(
        api: Api<K>,
        selection: &Selection,
        reduce: fn(&mut K),
        cancel: CancellationToken,
    ) -> Self {
        let shared = Arc::new(Shared {
            reduce,
            store: Store::default(),
            synced: watch::Sender::new(false),
            subscribers: Mutex::new(Vec::new()),
        });
        let (filled, selection): (Arc<dyn Sink>, _) = (shared.clone(), selection.clone());
        let (url, client) = (api.resource_url().to_owned(), api.into_client());
        task::spawn(
            "informer",
            task::keep_until_cancelled("informer", cancel, move || {
                let (client, url) = (client.clone(), url.clone());
                Reflector::new(client, url, &selection, filled.clone()).run()
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
    /// Leaves out of an object what nobody reads here.
    reduce: fn(&mut K),
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

impl<K: Kind> Sink for Shared<K> {
    fn present(&self, object: &RawValue, url: &str) -> Result<Told, serde_json::Error> {
        let item = Item::<K>::read(object)?;
        let told = Told { key: item.key(), version: item.version() };
        if let Some(mut object) = item.known(url) {
            (self.reduce)(&mut object);
            object.trim();
            self.upsert(object);
        }
        Ok(told)
    }

    fn gone(&self, object: &RawValue, url: &str) -> Result<Told, serde_json::Error> {
        let item = Item::<K>::read(object)?;
        let told = Told { key: item.key(), version: item.version() };
        let mut object = item.known(url);
        object.iter_mut().for_each(self.reduce);
        object.iter_mut().for_each(K::trim);
        self.remove(&told.key, object);
        Ok(told)
    }

    fn complete(&self, seen: &HashSet<ObjectKey>) {
        for key in self.store.keys() {
            if !seen.contains(&key) {
                self.remove(&key, None);
            }
        }
        self.synced.send_replace(true);
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

//! Serves every read: entries, one collection per resource, one event log each.
//!
//! The dispatcher is the only writer. It applies the store's feed in order, then publishes the
//! applied revision; a handler waits for its commit to be applied before it answers.

mod collection;
mod entry;
mod horizon;
mod index;
mod log;
mod parts;
mod wait_queue;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use store::{Event, Feed, Key, Record, Revision};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;

pub use collection::Corrupt;
pub(crate) use collection::{Collection, Snapshot};
pub(crate) use entry::{Entry, REVISION_KEY};
use horizon::Horizon;
pub(crate) use index::{By, Demand};
pub(crate) use log::{Change, ChangeKind, Cursor, Expired, json_frame};

use crate::registry::Selectable;

/// The caches of every resource, fed by the store.
pub(crate) struct Cache {
    collections: Arc<Collections>,
    applied: watch::Receiver<Revision>,
    horizon: Horizon,
}

/// The collections by the prefix of their keys.
#[derive(Default)]
struct Collections {
    by_prefix: ArcSwap<HashMap<String, Arc<Collection>>>,
    /// Held while changes are applied, and while a collection takes another's place.
    changing: Mutex<()>,
}

impl Collections {
    fn insert(&self, prefix: &str, collection: Arc<Collection>) {
        let mut all = HashMap::clone(&self.by_prefix.load());
        all.insert(prefix.to_owned(), collection);
        self.by_prefix.store(Arc::new(all));
    }
}

/// `/registry/<group or core>/<resource>`: the prefix of a resource's keys.
pub(crate) fn prefix(group: &str, resource: &str) -> String {
    let group = if group.is_empty() { "core" } else { group };
    [group, "/", resource].concat()
}

/// Splits `/registry/<prefix>/<rest>`.
pub(crate) fn split(key: &str) -> Option<(&str, &str)> {
    let path = key.strip_prefix("/registry/")?;
    let second = path.find('/')? + 1;
    let end = second + path[second..].find('/')?;
    Some((&path[..end], &path[end + 1..]))
}

impl Cache {
    /// Fills the caches from `feed` and keeps them up to date until the store closes.
    pub(crate) fn start(
        feed: Feed,
        resources: impl Iterator<Item = (String, &'static [Selectable])>,
    ) -> Result<Self, Corrupt> {
        let mut collections: HashMap<_, _> = resources
            .map(|(prefix, fields)| (prefix, Arc::new(Collection::new(fields, feed.revision))))
            .collect();
        let mut filling: HashMap<&str, Vec<(&str, &Record)>> = HashMap::new();
        for (key, record) in &feed.records {
            match split(key) {
                Some((prefix, rest)) => filling.entry(prefix).or_default().push((rest, record)),
                None => tracing::warn!(%key, "a key outside the registry is ignored"),
            }
        }
        for (prefix, records) in filling {
            // Custom resources, whose definitions say later which fields they are selected by.
            let unknown = || Arc::new(Collection::new(&[], feed.revision));
            collections.entry(prefix.to_owned()).or_insert_with(unknown).fill(&records)?;
        }
        let collections = Arc::new(Collections {
            by_prefix: ArcSwap::from_pointee(collections),
            changing: Mutex::default(),
        });
        let (publish, applied) = watch::channel(feed.revision);
        let dispatch = dispatch(collections.clone(), feed.events, publish);
        telemetry::task::spawn_vital("cache-dispatch", dispatch);
        Ok(Self { collections, applied, horizon: Horizon::default() })
    }

    /// The collection of a resource.
    pub(crate) fn collection(&self, group: &str, resource: &str) -> Option<Arc<Collection>> {
        self.collections.by_prefix.load().get(&prefix(group, resource)).cloned()
    }

    /// Sees to it that there is a collection of a resource which is selected by these fields. One
    /// with other fields is replaced: its watchers end, and list again.
    ///
    /// # Errors
    /// A stored value is not an object.
    pub(crate) fn provide(
        &self,
        group: &str,
        resource: &str,
        selectable: &'static [Selectable],
    ) -> Result<(), Corrupt> {
        let _changing = self.collections.changing.lock();
        let prefix = prefix(group, resource);
        let known = self.collections.by_prefix.load().get(&prefix).cloned();
        let made = match &known {
            Some(known) if known.selects_by(selectable) => return Ok(()),
            Some(known) => known.reselected(selectable)?,
            None => Collection::new(selectable, self.revision()),
        };
        self.collections.insert(&prefix, Arc::new(made));
        if let Some(known) = known {
            known.close();
        }
        Ok(())
    }

    /// Ends the watches of a resource that is no longer served. Its objects stay, if there are any.
    pub(crate) fn retire(&self, group: &str, resource: &str) {
        let _changing = self.collections.changing.lock();
        let prefix = prefix(group, resource);
        let Some(known) = self.collections.by_prefix.load().get(&prefix).cloned() else { return };
        let mut all = HashMap::clone(&self.collections.by_prefix.load());
        all.remove(&prefix);
        if !known.snapshot().entries.is_empty()
            && let Ok(made) = known.reselected(&[])
        {
            all.insert(prefix, Arc::new(made));
        }
        self.collections.by_prefix.store(Arc::new(all));
        known.close();
    }

    /// The revision up to which every collection is current.
    pub(crate) fn revision(&self) -> Revision {
        *self.applied.borrow()
    }

    /// The state of a resource at an earlier `revision`, if that is recent enough.
    pub(crate) fn snapshot_at(
        &self,
        collection: &Collection,
        revision: Revision,
    ) -> Result<Arc<Snapshot>, Expired> {
        if revision < self.horizon.oldest(Instant::now(), self.revision()) {
            return Err(Expired);
        }
        collection.snapshot_at(revision)
    }

    /// Waits until reads see everything up to `revision`.
    pub(crate) async fn wait_for(&self, revision: Revision) {
        let mut applied = self.applied.clone();
        // An error means that the store closed: nothing newer will come.
        let _ = applied.wait_for(|at| *at >= revision).await;
    }
}

/// Logs are checked for old changes no sooner than this after the first change.
const TRIM_AFTER: Duration = Duration::from_secs(60);
/// Number of readers woken before other tasks get a turn.
const WAKE_AT_ONCE: usize = 32;

/// Applies the store's commits and wakes waiting readers.
async fn dispatch(
    collections: Arc<Collections>,
    mut events: UnboundedReceiver<Arc<[Event]>>,
    publish: watch::Sender<Revision>,
) {
    let mut waking: Vec<Arc<Collection>> = Vec::new();
    // Time at which a log has changes that no reader can request any more. Active logs trim
    // themselves on writes; this is for quiet ones.
    let mut trim_at: Option<Instant> = None;
    loop {
        // Changes are applied before readers are woken, so that readers send them at once.
        let batch = if waking.is_empty() {
            let quiet = async {
                match trim_at {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                batch = events.recv() => match batch {
                    Some(batch) => Some(batch),
                    None => return,
                },
                () = quiet => {
                    let now = log::now();
                    let all = collections.by_prefix.load();
                    let due = all.values().filter_map(|collection| collection.trim(now)).min();
                    trim_at = due.map(|at| at.max(now + TRIM_AFTER));
                    None
                }
            }
        } else {
            events.try_recv().ok()
        };
        if let Some(batch) = batch {
            // The first trim determines the actual time.
            trim_at.get_or_insert_with(|| log::now() + TRIM_AFTER);
            let mut changed: Vec<Arc<Collection>> = Vec::new();
            let changing = collections.changing.lock();
            for event in batch.iter() {
                if let Some((prefix, rest)) = split(&event.key) {
                    let known = collections.by_prefix.load().get(prefix).cloned();
                    let collection = known.unwrap_or_else(|| {
                        // Of a definition that this server has not read yet.
                        let made = Arc::new(Collection::new(&[], event.revision - 1));
                        collections.insert(prefix, made.clone());
                        made
                    });
                    if let Err(corrupt) = collection.apply(rest, event) {
                        // The event was acknowledged but cannot be served: the process must not
                        // continue as if it did not exist.
                        panic!("{corrupt}");
                    }
                    if !changed.iter().any(|c| Arc::ptr_eq(c, &collection)) {
                        changed.push(collection);
                    }
                }
            }
            drop(changing);
            if let Some(last) = batch.last() {
                publish.send_replace(last.revision);
            }
            for collection in changed {
                collection.readers().publish();
                if !waking.iter().any(|c| Arc::ptr_eq(c, &collection)) {
                    waking.push(collection);
                }
            }
        }
        waking.retain(|collection| collection.readers().wake(WAKE_AT_ONCE));
        if !waking.is_empty() {
            tokio::task::yield_now().await;
        }
    }
}

/// The store key of an object.
pub(crate) fn key(prefix: &str, namespace: &str, name: &str) -> Key {
    match namespace {
        "" => ["/registry/", prefix, "/", name].concat().into(),
        _ => ["/registry/", prefix, "/", namespace, "/", name].concat().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_split_where_they_were_joined() {
        assert_eq!(split(&key("core/pods", "ns", "a")), Some(("core/pods", "ns/a")));
        assert_eq!(split(&key("core/nodes", "", "a")), Some(("core/nodes", "a")));
        assert_eq!(split("/registry/core"), None);
    }

    #[tokio::test]
    async fn every_reader_of_many_hears_of_every_change() {
        let (send, events) = tokio::sync::mpsc::unbounded_channel();
        let feed = Feed { revision: 0, records: Default::default(), events };
        let cache = Cache::start(feed, [(prefix("", "pods"), &[][..])].into_iter()).unwrap();
        let collection = cache.collection("", "pods").unwrap().clone();
        let readers: Vec<_> = (0..10 * WAKE_AT_ONCE)
            .map(|_| {
                let (collection, mut cursor) =
                    (collection.clone(), collection.watch_after(0).unwrap());
                tokio::spawn(async move {
                    let mut seen = Vec::new();
                    while seen.len() < 50 {
                        cursor.wait().await;
                        let changes = collection.read(&mut cursor, usize::MAX).unwrap();
                        seen.extend(changes.iter().map(|change| change.revision));
                    }
                    seen
                })
            })
            .collect();
        for revision in 1..=50 {
            let record =
                Record { bytes: "{}".into(), revision_at: 0, created: 1, modified: revision };
            let event = Event { revision, key: key("core/pods", "a", "b"), record: Some(record) };
            send.send([event].into()).unwrap();
            if revision % 3 == 0 {
                // Occasionally all readers wait again.
                cache.wait_for(revision).await;
                tokio::task::yield_now().await;
            }
        }
        let all: Vec<Revision> = (1..=50).collect();
        for reader in readers {
            assert_eq!(reader.await.unwrap(), all);
        }
    }
}

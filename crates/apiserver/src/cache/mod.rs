//! Serves every read: entries, one collection per resource, one event log each.
//!
//! The dispatcher is the only writer. It applies the store's feed in order, then publishes the
//! applied revision; a handler waits for its commit to be applied before it answers.

mod collection;
mod entry;
mod horizon;
mod log;
mod parts;
mod wait_queue;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use store::{Event, Feed, Key, Record, Revision};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;

pub use collection::Corrupt;
pub(crate) use collection::{Collection, Snapshot};
pub(crate) use entry::{Entry, REVISION_KEY};
use horizon::Horizon;
pub(crate) use log::{Change, ChangeKind, Cursor, Expired, json_frame};

use crate::registry::Selectable;

/// The caches of every resource, fed by the store.
pub(crate) struct Cache {
    collections: HashMap<String, Arc<Collection>>,
    applied: watch::Receiver<Revision>,
    horizon: Horizon,
}

/// `/registry/<group or core>/<resource>`: the prefix of a resource's keys.
pub(crate) fn prefix(group: &str, resource: &str) -> String {
    let group = if group.is_empty() { "core" } else { group };
    format!("{group}/{resource}")
}

/// Splits `/registry/<prefix>/<rest>`.
fn split(key: &str) -> Option<(&str, &str)> {
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
        let collections: HashMap<_, _> = resources
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
            match collections.get(prefix) {
                Some(collection) => collection.fill(&records)?,
                None => tracing::warn!(prefix, "stored objects of an unknown resource are kept"),
            }
        }
        let (publish, applied) = watch::channel(feed.revision);
        let dispatch = dispatch(collections.clone(), feed.events, publish);
        telemetry::task::spawn_vital("cache-dispatch", dispatch);
        Ok(Self { collections, applied, horizon: Horizon::default() })
    }

    /// The collection of a resource.
    pub(crate) fn collection(&self, group: &str, resource: &str) -> Option<&Arc<Collection>> {
        self.collections.get(&prefix(group, resource))
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
    collections: HashMap<String, Arc<Collection>>,
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
                    let due = collections.values().filter_map(|collection| collection.trim(now)).min();
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
            let mut changed: Vec<&Arc<Collection>> = Vec::new();
            for event in batch.iter() {
                if let Some((prefix, rest)) = split(&event.key)
                    && let Some(collection) = collections.get(prefix)
                {
                    if let Err(corrupt) = collection.apply(rest, event) {
                        // The event was acknowledged but cannot be served: the process must not
                        // continue as if it did not exist.
                        panic!("{corrupt}");
                    }
                    if !changed.iter().any(|c| Arc::ptr_eq(c, collection)) {
                        changed.push(collection);
                    }
                }
            }
            if let Some(last) = batch.last() {
                publish.send_replace(last.revision);
            }
            for collection in changed {
                collection.readers().publish();
                if !waking.iter().any(|c| Arc::ptr_eq(c, collection)) {
                    waking.push(collection.clone());
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
        "" => format!("/registry/{prefix}/{name}").into(),
        _ => format!("/registry/{prefix}/{namespace}/{name}").into(),
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

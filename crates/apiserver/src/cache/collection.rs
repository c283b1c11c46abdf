//! All objects of one resource: an ordered persistent map with O(1) snapshots, and its log.

use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use imbl::OrdMap;
use parking_lot::Mutex;
use store::{Event, Record, Revision};

use super::index::{Demand, Index, Indexes, LARGE};
use super::log::Log;
use super::parts::Paths;
use super::wait_queue::WaitQueue;
use super::{Change, ChangeKind, Cursor, Entry, Expired};
use crate::registry::Selectable;

/// The objects of a resource at one revision, keyed by `namespace/name`.
#[derive(Clone)]
pub(crate) struct Snapshot {
    /// Revision of the last change in this resource.
    pub(crate) revision: Revision,
    pub(crate) entries: OrdMap<Arc<str>, Arc<Entry>>,
    indexes: Indexes,
}

impl Snapshot {
    fn new(revision: Revision, entries: OrdMap<Arc<str>, Arc<Entry>>) -> Self {
        Self { revision, entries, indexes: Indexes::default() }
    }

    /// As [`Snapshot::range`], but without objects that an index shows not to meet the demands.
    pub(crate) fn candidates<'a>(
        &'a self,
        namespace: &str,
        start: &str,
        demands: &[Demand],
    ) -> impl Iterator<Item = &'a Arc<Entry>> + use<'a> {
        let prefix = prefix(namespace);
        let from: Arc<str> = if start > prefix.as_str() { start } else { &prefix }.into();
        let found = self.indexes.paths(demands, &prefix, &from, self.entries.len());
        let all = if found.is_none() { Some(self.range(namespace, start)) } else { None };
        let found = found.into_iter().flatten().filter_map(|path| self.entries.get(path));
        all.into_iter().flatten().chain(found)
    }

    /// The entries whose path starts with `namespace/`, or all, beginning at `start`.
    pub(crate) fn range<'a>(
        &'a self,
        namespace: &str,
        start: &str,
    ) -> impl Iterator<Item = &'a Arc<Entry>> + use<'a> {
        let prefix = prefix(namespace);
        let from: Arc<str> = if start > prefix.as_str() { start } else { &prefix }.into();
        self.entries
            .range(from..)
            .map(|(_, entry)| entry)
            .take_while(move |entry| entry.path().starts_with(&prefix))
    }
}

/// The beginning of the paths of a namespace's objects; empty for all.
fn prefix(namespace: &str) -> String {
    if namespace.is_empty() { String::new() } else { format!("{namespace}/") }
}

/// The live state of a resource.
pub(crate) struct Collection {
    selectable: &'static [Selectable],
    /// Fields read from each object when it arrives.
    read: Paths,
    snapshot: ArcSwap<Snapshot>,
    /// Held while one snapshot takes the place of another.
    changing: Mutex<()>,
    log: Log,
}

/// Stored bytes that are not an object: no request may be answered from them.
#[derive(Debug, thiserror::Error)]
#[error("the stored object {path} is corrupt: {source}")]
pub struct Corrupt {
    path: String,
    source: serde_json::Error,
}

impl Collection {
    pub(crate) fn new(selectable: &'static [Selectable], revision: Revision) -> Self {
        Self {
            selectable,
            read: Entry::paths(selectable),
            snapshot: ArcSwap::from_pointee(Snapshot::new(0, OrdMap::new())),
            changing: Mutex::default(),
            log: Log::new(revision),
        }
    }

    /// Returns true if entries have the values of these fields.
    pub(super) fn selects_by(&self, selectable: &'static [Selectable]) -> bool {
        std::ptr::eq(self.selectable, selectable)
            || (self.selectable.is_empty() && selectable.is_empty())
    }

    /// The same objects, selected by other fields, with a log that begins now.
    ///
    /// # Errors
    /// A stored value is not an object.
    pub(super) fn reselected(&self, selectable: &'static [Selectable]) -> Result<Self, Corrupt> {
        let old = self.snapshot();
        let made = Self::new(selectable, old.revision);
        let entries = old.entries.iter().map(|(path, entry)| {
            let again = entry.read_again(made.selectable, &made.read);
            let corrupt = |source| Corrupt { path: path.to_string(), source };
            Ok((path.clone(), Arc::new(again.map_err(corrupt)?)))
        });
        let entries = entries.collect::<Result<_, Corrupt>>()?;
        made.snapshot.store(Arc::new(Snapshot::new(old.revision, entries)));
        Ok(made)
    }

    /// Ends the watches: there is nothing more to be read here.
    pub(super) fn close(&self) {
        self.log.close();
        while self.log.readers().wake(usize::MAX) {}
    }

    fn entry(&self, path: &str, record: &Record) -> Result<Arc<Entry>, Corrupt> {
        let (bytes, at) = (record.bytes.clone(), record.revision_at);
        let entry = Entry::new(path, bytes, at, record.modified, self.selectable, &self.read);
        let corrupt = |source| Corrupt { path: path.to_owned(), source };
        entry.map(Arc::new).map_err(corrupt)
    }

    /// Sets the initial contents.
    ///
    /// # Errors
    /// When stored bytes are not an object.
    pub(crate) fn fill(&self, records: &[(&str, &Record)]) -> Result<(), Corrupt> {
        let entries = records.iter().map(|(path, record)| self.entry(path, record));
        let entries = entries.map(|entry| entry.map(|entry| (entry.path().clone(), entry)));
        let entries: OrdMap<_, _> = entries.collect::<Result<_, _>>()?;
        let revision = records.iter().map(|(_, r)| r.modified).max().unwrap_or(0);
        self.snapshot.store(Arc::new(Snapshot::new(revision, entries)));
        Ok(())
    }

    /// Applies one committed change. Only the dispatcher calls this.
    ///
    /// # Errors
    /// When the committed bytes are not an object.
    pub(crate) fn apply(&self, path: &str, event: &Event) -> Result<(), Corrupt> {
        let made = event.record.as_ref().map(|record| self.entry(path, record)).transpose()?;
        let _changing = self.changing.lock();
        let mut next = Snapshot::clone(&self.snapshot.load());
        next.revision = event.revision;
        let change = match made {
            Some(entry) => {
                let previous = next.entries.insert(entry.path().clone(), entry.clone());
                next.indexes.change(previous.as_deref(), Some(&entry));
                let kind =
                    if previous.is_some() { ChangeKind::Modified } else { ChangeKind::Added };
                Change::new(kind, entry, previous)
            }
            None => match next.entries.remove(path) {
                Some(previous) => {
                    next.indexes.change(Some(&previous), None);
                    let gone = Arc::new(previous.at(event.revision));
                    Change::new(ChangeKind::Deleted, gone, Some(previous))
                }
                None => return Ok(()),
            },
        };
        self.log.push(change);
        self.snapshot.store(Arc::new(next));
        Ok(())
    }

    /// Drops changes that no reader can request any more; returns the time of the next trim.
    pub(crate) fn trim(&self, now: Instant) -> Option<Instant> {
        self.log.trim(now)
    }

    /// The readers of the log, to be woken after changes were applied.
    pub(crate) fn readers(&self) -> &WaitQueue {
        self.log.readers()
    }

    /// The current state.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// The current state for a selection by these values, with one more index for them if the
    /// collection is large.
    pub(crate) fn indexed(&self, demands: &[Demand]) -> Arc<Snapshot> {
        let present = self.snapshot();
        if present.entries.len() < LARGE {
            return present;
        }
        let Some(by) = present.indexes.missing(demands) else { return present };
        // Changes go on meanwhile, and are caught up with.
        let mut made = Index::of(by.clone(), &present.entries);
        let _changing = self.changing.lock();
        let mut next = Snapshot::clone(&self.snapshot.load());
        let Ok(since) = self.log.back_to(present.revision) else { return self.snapshot() };
        for change in since.iter().rev() {
            let after = (change.kind != ChangeKind::Deleted).then_some(&*change.entry);
            made.change(change.previous.as_deref(), after);
        }
        next.indexes.add(made);
        self.snapshot.store(Arc::new(next));
        self.snapshot()
    }

    /// The state at an earlier `revision`: the current one with later changes undone.
    pub(super) fn snapshot_at(&self, revision: Revision) -> Result<Arc<Snapshot>, Expired> {
        let now = self.snapshot();
        if now.revision <= revision {
            return Ok(now);
        }
        let mut then = Snapshot::new(revision, now.entries.clone());
        for change in self.log.back_to(revision)? {
            // The log may already contain changes that are not in `now`.
            if change.revision > now.revision {
                continue;
            }
            match &change.previous {
                Some(previous) => then.entries.insert(previous.path().clone(), previous.clone()),
                None => then.entries.remove(change.entry.path()),
            };
        }
        Ok(Arc::new(then))
    }

    /// The entry at `namespace/name`.
    pub(crate) fn get(&self, namespace: &str, name: &str) -> Option<Arc<Entry>> {
        let snapshot = self.snapshot.load();
        match namespace {
            "" => snapshot.entries.get(name).cloned(),
            _ => snapshot.entries.get([namespace, "/", name].concat().as_str()).cloned(),
        }
    }

    /// A cursor after every change up to `revision`.
    pub(crate) fn watch_after(&self, revision: Revision) -> Result<Cursor, Expired> {
        self.log.after(revision)
    }

    /// Reads all changes at `cursor`.
    pub(crate) fn drain(
        &self,
        cursor: &mut Cursor,
        mut change: impl FnMut(&Change),
    ) -> Result<(), Expired> {
        /// Maximum number of changes taken from the log at once.
        const BATCH: usize = 256;
        loop {
            let changes = self.read(cursor, BATCH)?;
            if changes.is_empty() {
                return Ok(());
            }
            changes.iter().for_each(|own| change(own));
        }
    }

    /// Reads the changes at `cursor`, at most `max`; empty if there are none.
    pub(crate) fn read(
        &self,
        cursor: &mut Cursor,
        max: usize,
    ) -> Result<Vec<Arc<Change>>, Expired> {
        self.log.read(cursor, max)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::REVISION_KEY;
    use super::*;

    fn record(revision: Revision) -> Record {
        let text = format!(r#"{{{REVISION_KEY}{revision}"}}}}"#);
        let revision_at = REVISION_KEY.len() + 1;
        Record { bytes: Bytes::from(text), revision_at, created: revision, modified: revision }
    }

    fn event(revision: Revision, alive: bool) -> Event {
        Event { revision, key: "".into(), record: alive.then(|| record(revision)) }
    }

    #[test]
    fn an_earlier_state_is_the_present_one_undone() {
        let collection = Collection::new(&[], 0);
        for (revision, path, alive) in [
            (1, "a/x", true),
            (2, "a/y", true),
            (3, "a/x", true),
            (4, "a/y", false),
            (5, "b/z", true),
        ] {
            collection.apply(path, &event(revision, alive)).unwrap();
        }
        let at = |revision| {
            let snapshot = collection.snapshot_at(revision).unwrap();
            snapshot
                .range("", "")
                .map(|e| format!("{}@{}", e.path(), e.revision))
                .collect::<Vec<_>>()
        };
        assert_eq!(at(0), [""; 0]);
        assert_eq!(at(2), ["a/x@1", "a/y@2"]);
        assert_eq!(at(3), ["a/x@3", "a/y@2"]);
        assert_eq!(at(4), ["a/x@3"]);
        assert_eq!(at(9), ["a/x@3", "b/z@5"]);
        assert_eq!(collection.snapshot().range("b", "").count(), 1);
        assert_eq!(collection.snapshot().range("a", "a/y").count(), 0);
    }

    #[test]
    fn history_is_bounded_and_its_loss_is_told() {
        let collection = Collection::new(&[], 0);
        let mut slow = collection.watch_after(0).unwrap();
        for revision in 1..=20_000 {
            collection.apply("a/x", &event(revision, true)).unwrap();
        }
        assert_eq!(collection.read(&mut slow, 1).err(), Some(Expired));
        assert!(collection.watch_after(1).is_err());
        assert!(collection.snapshot_at(1).is_err());
        let mut quick = collection.watch_after(19_998).unwrap();
        let read: Vec<_> =
            collection.read(&mut quick, 10).unwrap().iter().map(|c| c.revision).collect();
        assert_eq!(read, [19_999, 20_000]);
    }
}

//! Between the store and all that reads or writes objects: seals what is written, opens what is
//! read, and knows what cannot be read.

use std::collections::HashMap;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use apimachinery::status::{Cause, Details};
use apimachinery::{ObjectExt, Status};
use bytes::{BufMut, Bytes, BytesMut};
use futures::{StreamExt, stream};
use parking_lot::Mutex;
use store::{CommitError, Event, Expect, Feed, Key, Op, Record, Revision, Store, Value};
use telemetry::task;
use tokio::sync::{Notify, mpsc};

use crate::cache::{Cache, REVISION_KEY, key, prefix, split};
use crate::encryption::{Encryption, OpenError, SEALED, Seal, SealError, Unreadable};
use crate::registry::{self, Kind};

/// Objects that are written again at once when they can be read at last.
const AT_ONCE: usize = 16;
/// Objects that an error names.
const MOST_NAMED: usize = 100;

/// The store, behind its encryption.
pub(crate) struct Storage {
    store: Arc<dyn Store>,
    encryption: Option<Arc<Encryption>>,
    sealed: Arc<Sealed>,
    /// Stored values that cannot be read.
    unreadable: Mutex<Unreadable>,
    /// Spares the lock while there are none.
    has_unreadable: AtomicBool,
}

/// The knowledge of sealed values.
#[derive(Default)]
struct Sealed {
    /// How they are sealed.
    seals: Mutex<HashMap<Key, Seal>>,
    /// Those on their way: what was sealed, and what it was made of.
    written: Mutex<HashMap<Key, Vec<Written>>>,
    /// Told when a value is sealed that was not before, and may still stand in the files.
    exposed: Arc<Notify>,
}

struct Written {
    sealed: Bytes,
    value: Value,
    seal: Seal,
}

/// Why a change was not committed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    #[error(transparent)]
    Store(#[from] CommitError),
    #[error(transparent)]
    Seal(#[from] SealError),
}

/// The object at a key of the store, and why it is none.
pub(crate) struct Broken {
    pub(crate) key: Key,
    pub(crate) why: String,
    pub(crate) revision: Revision,
}

impl Broken {
    /// Upstream's error of a corrupt object.
    pub(crate) fn message(&self) -> String {
        format!(
            "StorageError: corrupt object, Code: 7, Key: {}, ResourceVersion: 0, \
             AdditionalErrorMsg: {}",
            self.key, self.why
        )
    }
}

impl Storage {
    pub(crate) fn new(store: Arc<dyn Store>, encryption: Option<Encryption>) -> Arc<Self> {
        Arc::new(Self {
            store,
            encryption: encryption.map(Arc::new),
            sealed: Arc::default(),
            unreadable: Mutex::default(),
            has_unreadable: AtomicBool::new(false),
        })
    }

    pub(crate) fn encryption(&self) -> Option<&Arc<Encryption>> {
        self.encryption.as_ref()
    }

    /// Told when a value is sealed that stands in the files as it is.
    pub(crate) fn exposed(&self) -> Arc<Notify> {
        self.sealed.exposed.clone()
    }

    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// The present state and all that follows, as it can be read. What cannot is left out, and
    /// remembered.
    pub(crate) async fn feed(&self) -> Result<Feed, CommitError> {
        let mut feed = self.store.feed().await?;
        let stored = feed.records.clone();
        for (key, record) in &stored {
            match self.read(key, record).await {
                Ok(None) => {}
                Ok(Some((record, seal))) => {
                    self.sealed.seals.lock().insert(key.clone(), seal);
                    feed.records.insert(key.clone(), record);
                }
                Err(why) => {
                    tracing::error!(%key, %why, "a stored object cannot be read");
                    feed.records.remove(key);
                    self.cannot_read(key, record, &why);
                }
            }
        }
        if self.encryption.is_none() {
            return Ok(feed);
        }
        let (send, events) = mpsc::unbounded_channel();
        // It holds no store, whose end it waits for.
        let (sealed, mut told) = (self.sealed.clone(), std::mem::replace(&mut feed.events, events));
        task::spawn_vital("unsealing", async move {
            while let Some(batch) = told.recv().await {
                if send.send(sealed.unsealed(batch)).is_err() {
                    return;
                }
            }
        });
        Ok(feed)
    }

    /// A record as it can be read, and its seal; `None` if it is stored as it is read.
    async fn read(&self, key: &Key, record: &Record) -> Result<Option<(Record, Seal)>, OpenError> {
        let Some(encryption) = &self.encryption else {
            return match record.bytes.starts_with(SEALED) {
                true => {
                    Err(OpenError("identity transformer tried to read encrypted data".to_owned()))
                }
                false => Ok(None),
            };
        };
        let Some(of) = resource(key) else { return Ok(None) };
        // The revision stands after what is sealed.
        let stored = match record.bytes.starts_with(SEALED) {
            true => &record.bytes[..record.revision_at.min(record.bytes.len())],
            false => &record.bytes[..],
        };
        let Some((value, seal)) = encryption.unseal(of, stored, key).await? else {
            return Ok(None);
        };
        let value = placed(key, value).ok_or_else(|| {
            OpenError("the value is that of another object, or of none".to_owned())
        })?;
        Ok(Some((numbered(&value, record), seal)))
    }

    /// Commits a change, sealed as the configuration says.
    pub(crate) async fn commit(&self, op: Op) -> Result<Revision, WriteError> {
        let key = op.key.clone();
        let (op, sealed) = self.seal(op)?;
        let removes = op.value.is_none();
        let committed = self.store.commit(op).await;
        if let (Err(_), Some(sealed)) = (&committed, sealed) {
            self.sealed.forget(&key, &sealed);
        }
        if committed.is_ok() && removes {
            self.can_read(&key);
        }
        Ok(committed?)
    }

    fn seal(&self, mut op: Op) -> Result<(Op, Option<Bytes>), SealError> {
        let (Some(encryption), Some(value)) = (&self.encryption, &op.value) else {
            return Ok((op, None));
        };
        let Some(of) = resource(&op.key) else { return Ok((op, None)) };
        let Some((sealed, seal)) = encryption.seal(of, &value.bytes, &op.key)? else {
            return Ok((op, None));
        };
        let sealed = Bytes::from(sealed);
        let written = Written { sealed: sealed.clone(), value: value.clone(), seal };
        self.sealed.written.lock().entry(op.key.clone()).or_default().push(written);
        op.value = Some(Value { bytes: sealed.clone(), revision_at: sealed.len() });
        Ok((op, Some(sealed)))
    }

    /// Returns true if the value of a key would be sealed otherwise now.
    pub(crate) fn is_stale(&self, key: &Key) -> bool {
        let (Some(encryption), Some(of)) = (&self.encryption, resource(key)) else { return false };
        let now = encryption.seal_now(of);
        // A plugin without a key seals nothing.
        (now.is_some() || !encryption.seals(of))
            && self.sealed.seals.lock().get(key).copied() != now
    }

    fn cannot_read(&self, key: &Key, record: &Record, why: &OpenError) {
        let why = format!(
            "data from the storage is not transformable revision={}: {why}",
            record.modified
        );
        self.unreadable.lock().insert(key.clone(), (record.clone(), why));
        self.has_unreadable.store(true, Ordering::Release);
    }

    fn can_read(&self, key: &Key) {
        let mut unreadable = self.unreadable.lock();
        unreadable.remove(key);
        self.has_unreadable.store(!unreadable.is_empty(), Ordering::Release);
    }

    /// Returns true if anything that is stored cannot be read.
    pub(crate) fn has_unreadable(&self) -> bool {
        self.has_unreadable.load(Ordering::Acquire)
    }

    /// The object at a key, if it cannot be read.
    pub(crate) fn broken(&self, key: &Key) -> Option<Broken> {
        if !self.has_unreadable() {
            return None;
        }
        let unreadable = self.unreadable.lock();
        let (record, why) = unreadable.get(key)?;
        Some(Broken { key: key.clone(), why: why.clone(), revision: record.modified })
    }

    /// Refuses to read all objects of a kind, or those of a namespace, if one of them cannot be read.
    ///
    /// # Errors
    /// The names of those, with reasons.
    pub(crate) fn readable(&self, kind: &Kind, namespace: &str) -> Result<(), Status> {
        if !self.has_unreadable() {
            return Ok(());
        }
        let namespace = if kind.namespaced { namespace } else { "" };
        let all = key(&prefix(kind.stored_group(), kind.resource), namespace, "");
        self.readable_below(&all, (kind.group, kind.resource))
    }

    /// As [`Storage::readable`], of all objects below a prefix of keys.
    pub(crate) fn readable_below(&self, prefix: &str, of: (&str, &str)) -> Result<(), Status> {
        if !self.has_unreadable() {
            return Ok(());
        }
        let unreadable = self.unreadable.lock();
        let below = unreadable.range::<str, _>((Bound::Included(prefix), Bound::Unbounded));
        let below = below.take_while(|(key, _)| key.starts_with(prefix));
        let broken = below.map(|(key, (record, why))| Broken {
            key: key.clone(),
            why: why.clone(),
            revision: record.modified,
        });
        let broken: Vec<Broken> = broken.take(MOST_NAMED).collect();
        let Some(first) = broken.first() else { return Ok(()) };
        let resource = match of.0 {
            "" => of.1.to_owned(),
            group => format!("{}.{group}", of.1),
        };
        let more = match broken.len() {
            1 => String::new(),
            all => format!(" (and {} more)", all - 1),
        };
        let message = format!(
            "failed to read one or more {resource} from the storage: {}{more}",
            first.message()
        );
        let causes = broken.iter().map(|one| Cause {
            reason: "UnexpectedServerResponse".into(),
            field: one.key.to_string(),
            message: one.message(),
        });
        let details = Details {
            name: "list".to_owned(),
            group: of.0.to_owned(),
            kind: of.1.to_owned(),
            causes: causes.collect(),
            ..Details::default()
        };
        let status = Status::generic(500, "StoreReadError", message);
        Err(Status { details: Some(Box::new(details)), ..status })
    }

    /// Tries to read again what could not be read. It is written anew then, so that everybody who
    /// watches hears of it.
    pub(crate) async fn reveal(&self, cache: &Cache) {
        let unreadable: Vec<(Key, Record)> = {
            let unreadable = self.unreadable.lock();
            unreadable.iter().map(|(key, (record, _))| (key.clone(), record.clone())).collect()
        };
        let all =
            stream::iter(unreadable).for_each_concurrent(AT_ONCE, |(key, record)| async move {
                match self.read(&key, &record).await {
                    Ok(None) => self.shown(cache, &key, record.bytes.clone(), &record).await,
                    Ok(Some((shown, _))) => self.shown(cache, &key, shown.bytes, &record).await,
                    Err(why) if self.broken(&key).is_some() => {
                        self.cannot_read(&key, &record, &why)
                    }
                    Err(_) => {}
                }
            });
        all.await;
    }

    /// Writes what can be read at last.
    async fn shown(&self, cache: &Cache, key: &Key, bytes: Bytes, record: &Record) {
        let Some(value) = without_revision(&bytes) else { return };
        let op = Op { key: key.clone(), expect: Expect::At(record.modified), value: Some(value) };
        match self.commit(op).await {
            Ok(revision) => {
                cache.wait_for(revision).await;
                self.can_read(key);
                tracing::info!(%key, "a stored object can be read again");
            }
            // Somebody has deleted it.
            Err(WriteError::Store(CommitError::Conflict(None))) => self.can_read(key),
            Err(why) => tracing::error!(%key, %why, "a stored object cannot be written"),
        }
    }
}

impl Sealed {
    /// Events with the values that were sealed. Nothing else writes to the store, so they are known.
    fn unsealed(&self, batch: Arc<[Event]>) -> Arc<[Event]> {
        let mut seals = self.seals.lock();
        let mut events = None;
        for (i, event) in batch.iter().enumerate() {
            let Some(record) = &event.record else {
                seals.remove(&event.key);
                continue;
            };
            if !record.bytes.starts_with(SEALED) {
                seals.remove(&event.key);
                continue;
            }
            let sealed = &record.bytes[..record.revision_at.min(record.bytes.len())];
            let mut written = self.written.lock();
            let known = written.get_mut(&event.key).and_then(|known| {
                known.iter().position(|one| one.sealed == sealed).map(|at| known.swap_remove(at))
            });
            if written.get(&event.key).is_some_and(Vec::is_empty) {
                written.remove(&event.key);
            }
            let Some(known) = known else { continue };
            let before = seals.insert(event.key.clone(), known.seal);
            if before.is_none() && record.created != record.modified {
                self.exposed.notify_one();
            }
            let record = Some(numbered(&known.value, record));
            events.get_or_insert_with(|| batch.to_vec())[i].record = record;
        }
        events.map_or(batch, Into::into)
    }

    /// Forgets a value that was not committed.
    fn forget(&self, key: &Key, sealed: &Bytes) {
        let mut written = self.written.lock();
        if let Some(known) = written.get_mut(key) {
            known.retain(|one| one.sealed != *sealed);
            if known.is_empty() {
                written.remove(key);
            }
        }
    }
}

/// The group and the resource of a key.
fn resource(key: &str) -> Option<(&str, &str)> {
    let (prefix, _) = split(key)?;
    let (group, resource) = prefix.split_once('/')?;
    Some((if group == "core" { "" } else { group }, resource))
}

/// An opened value with the place of its revision, if it is the object of its key. Not every cipher
/// says so by itself: whoever can write to the files could move a value to another key.
fn placed(key: &str, value: Vec<u8>) -> Option<Value> {
    let (_, path) = split(key)?;
    let (namespace, name) = path.split_once('/').unwrap_or(("", path));
    let (group, resource) = resource(key)?;
    let object: serde_json::Value = serde_json::from_slice(&value).ok()?;
    let of = object.api_version().split_once('/').map_or("", |(group, _)| group);
    let kind = registry::kinds().find(|kind| kind.group == of && kind.resource == resource);
    let fits = object.name() == name
        && object.namespace() == namespace
        && of == group
        && kind.is_none_or(|kind| kind.kind == object.kind());
    if !fits {
        return None;
    }
    let revision_at = gap(&value)?;
    Some(Value { bytes: value.into(), revision_at })
}

/// The place of the revision in an encoded object.
fn gap(bytes: &[u8]) -> Option<usize> {
    let key = REVISION_KEY.as_bytes();
    let at = bytes.windows(key.len()).position(|window| window == key)?;
    Some(at + key.len())
}

/// An encoded object whose revision is taken out.
fn without_revision(bytes: &[u8]) -> Option<Value> {
    let revision_at = gap(bytes)?;
    let (before, rest) = bytes.split_at(revision_at);
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    Some(Value { bytes: [before, &rest[digits..]].concat().into(), revision_at })
}

/// A value with the revision of its record.
fn numbered(value: &Value, record: &Record) -> Record {
    let digits = record.modified.to_string();
    let (before, after) = value.bytes.split_at(value.revision_at);
    let mut bytes = BytesMut::with_capacity(value.bytes.len() + digits.len());
    bytes.put_slice(before);
    bytes.put_slice(digits.as_bytes());
    bytes.put_slice(after);
    Record { bytes: bytes.freeze(), revision_at: value.revision_at, ..record.clone() }
}

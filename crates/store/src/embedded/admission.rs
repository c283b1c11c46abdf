//! Where commits meet: each author compares, numbers and encodes its own change under one lock,
//! while the writer makes the changes before it durable.
//!
//! The state here is ahead of the disk. Nobody outside is told of it before the disk has it: feeds
//! and authors hear from the writer, and so does an author whose expectation failed because of a
//! change that is not durable yet. If such a change is refused after all, everything admitted since
//! is undone and refused with it.

use bytes::{BufMut, BytesMut};
use imbl::OrdMap;
use parking_lot::{Condvar, Mutex};

use super::acks::{Answers, Reply};
use super::record;
use crate::{CommitError, Event, Expect, Feed, Key, Op, Record, Revision, Value};

/// A batch's memory is used again unless it is more than this.
const KEEP_BYTES: usize = 4 << 20;

/// Between authors and the writer.
pub(crate) struct Admission {
    inner: Mutex<Inner>,
    work: Condvar,
}

struct Inner {
    state: State,
    next: Batch,
    /// Everything up to here is durable and published.
    settled: Revision,
    closing: bool,
    /// Nothing more is admitted: the writer is gone.
    closed: bool,
}

/// Every key, with the changes that are on their way to the disk.
pub(crate) struct State {
    pub(crate) revision: Revision,
    pub(crate) records: OrdMap<Key, Record>,
    /// Bytes of all live values, to scale the snapshot interval with the state.
    live_bytes: u64,
}

/// Changes that become durable together.
#[derive(Default)]
pub(crate) struct Batch {
    pub(crate) events: Vec<Event>,
    /// The events as they go into the log.
    pub(crate) encoded: BytesMut,
    /// Offset in the segment that `encoded` was made for.
    pub(crate) at: u64,
    pub(crate) answers: Answers,
    /// Subscribers that want the state after this batch, and all later events.
    pub(crate) feeds: Vec<Reply<Feed>>,
    /// Those who wait for the files to hold this state alone.
    pub(crate) compactions: Vec<Reply<()>>,
    /// The record that each event replaced.
    undo: Vec<Option<Record>>,
}

/// A batch as the writer takes it.
pub(crate) struct Taken {
    pub(crate) batch: Batch,
    /// The state after the batch, if it was asked for.
    pub(crate) after: Option<(Revision, OrdMap<Key, Record>)>,
}

impl State {
    pub(crate) fn new(revision: Revision, records: OrdMap<Key, Record>) -> Self {
        let live_bytes = records.values().map(|r| r.bytes.len() as u64).sum();
        Self { revision, records, live_bytes }
    }

    fn set(&mut self, key: &Key, record: Option<Record>) -> Option<Record> {
        self.live_bytes += size(record.as_ref());
        let old = match record {
            Some(record) => self.records.insert(key.clone(), record),
            None => self.records.remove(key),
        };
        self.live_bytes -= size(old.as_ref());
        old
    }

    fn undo(&mut self, batch: &mut Batch) {
        for (event, before) in batch.events.drain(..).zip(batch.undo.drain(..)).rev() {
            self.set(&event.key, before);
            self.revision = event.revision - 1;
        }
    }
}

fn size(record: Option<&Record>) -> u64 {
    record.map_or(0, |r| r.bytes.len() as u64)
}

impl Batch {
    /// Encodes the events anew, for another place in the log.
    pub(crate) fn encode_at(&mut self, at: u64) {
        self.at = at;
        self.encoded.clear();
        for event in &self.events {
            record::encode(&mut self.encoded, event, at);
        }
    }

    fn refuse(self, error: &CommitError) {
        for (_, reply) in self.answers {
            let _ = reply.send(Err(error.clone()));
        }
    }
}

impl Admission {
    /// `at` is where the next record goes.
    pub(crate) fn new(state: State, at: u64) -> Self {
        let settled = state.revision;
        let next = Batch { at, ..Batch::default() };
        let inner = Inner { state, next, settled, closing: false, closed: false };
        Self { inner: Mutex::new(inner), work: Condvar::new() }
    }

    /// Admits a change. A reply that is dropped means that the store accepts nothing more.
    pub(crate) fn commit(&self, op: Op, reply: Reply<Revision>) {
        let mut inner = self.inner.lock();
        if inner.closed {
            return;
        }
        inner.admit(op, reply);
        drop(inner);
        self.work.notify_one();
    }

    /// Asks for a feed that starts after what has been admitted by now.
    pub(crate) fn feed(&self, reply: Reply<Feed>) {
        let mut inner = self.inner.lock();
        if !inner.closed {
            inner.next.feeds.push(reply);
            drop(inner);
            self.work.notify_one();
        }
    }

    /// Asks for files that hold nothing but what has been admitted by now.
    pub(crate) fn compact(&self, reply: Reply<()>) {
        let mut inner = self.inner.lock();
        if !inner.closed {
            inner.next.compactions.push(reply);
            drop(inner);
            self.work.notify_one();
        }
    }

    /// Lets the writer end when it has written what was admitted.
    pub(crate) fn close(&self) {
        self.inner.lock().closing = true;
        self.work.notify_one();
    }

    /// Refuses everything from now on. Whoever waits finds the reply dropped.
    pub(crate) fn closed(&self) {
        let mut inner = self.inner.lock();
        inner.closed = true;
        let _ = std::mem::take(&mut inner.next);
    }

    /// Waits for something to do and takes it; `None` when the store is to close. Everything up to
    /// `settled` is durable and published by now.
    ///
    /// `room` says where a batch of so many bytes will end, and `wants_state` of which sizes, log
    /// and live, the state after the batch is wanted.
    pub(crate) fn take(
        &self,
        settled: Revision,
        spare: Batch,
        room: impl Fn(u64) -> u64,
        wants_state: impl Fn(u64, u64) -> bool,
    ) -> Option<Taken> {
        let mut inner = self.inner.lock();
        inner.settled = settled;
        while inner.next.is_empty() {
            if inner.closing {
                return None;
            }
            self.work.wait(&mut inner);
        }
        let len = inner.next.encoded.len() as u64;
        let state = &inner.state;
        let asked = !inner.next.feeds.is_empty() || !inner.next.compactions.is_empty();
        let after = (asked || wants_state(len, state.live_bytes))
            .then(|| (state.revision, state.records.clone()));
        let next = Batch { at: room(len), ..spare };
        let batch = std::mem::replace(&mut inner.next, next);
        Some(Taken { batch, after })
    }

    /// Undoes a batch that cannot be written, and all that was admitted after it.
    pub(crate) fn refuse(&self, mut batch: Batch, error: &CommitError) {
        let mut inner = self.inner.lock();
        let mut later = std::mem::take(&mut inner.next);
        inner.state.undo(&mut later);
        inner.state.undo(&mut batch);
        inner.next.feeds.append(&mut batch.feeds);
        inner.next.feeds.append(&mut later.feeds);
        inner.next.compactions.append(&mut batch.compactions);
        inner.next.compactions.append(&mut later.compactions);
        drop(inner);
        batch.refuse(error);
        later.refuse(error);
    }
}

impl Batch {
    fn is_empty(&self) -> bool {
        self.answers.is_empty() && self.feeds.is_empty() && self.compactions.is_empty()
    }

    /// An empty one that keeps the memory.
    pub(crate) fn emptied(mut self) -> Self {
        self.encoded.clear();
        self.events.clear();
        self.undo.clear();
        if self.encoded.capacity() > KEEP_BYTES {
            return Self::default();
        }
        Self { encoded: self.encoded, events: self.events, undo: self.undo, ..Self::default() }
    }
}

impl Inner {
    fn admit(&mut self, op: Op, reply: Reply<Revision>) {
        let current = self.state.records.get(&op.key);
        let (modified, created) = (current.map(|r| r.modified), current.map(|r| r.created));
        let holds = match op.expect {
            Expect::Absent => modified.is_none(),
            Expect::At(revision) => modified == Some(revision),
        };
        if !holds {
            let conflict = Err(CommitError::Conflict(modified));
            if modified.is_some_and(|m| m <= self.settled) {
                let _ = reply.send(conflict);
            } else {
                self.next.answers.push((conflict, reply));
            }
            return;
        }
        let revision = self.state.revision + 1;
        let record = op.value.map(|value| numbered(&value, revision, created));
        let before = self.state.set(&op.key, record.clone());
        self.state.revision = revision;
        let event = Event { revision, key: op.key, record };
        record::encode(&mut self.next.encoded, &event, self.next.at);
        self.next.undo.push(before);
        self.next.events.push(event);
        self.next.answers.push((Ok(revision), reply));
    }
}

/// The value with its revision inside.
fn numbered(value: &Value, revision: Revision, created: Option<Revision>) -> Record {
    let digits = revision.to_string();
    let (before, after) = value.bytes.split_at(value.revision_at.min(value.bytes.len()));
    let mut bytes = BytesMut::with_capacity(value.bytes.len() + digits.len());
    bytes.put_slice(before);
    bytes.put_slice(digits.as_bytes());
    bytes.put_slice(after);
    Record {
        bytes: bytes.freeze(),
        revision_at: value.revision_at,
        created: created.unwrap_or(revision),
        modified: revision,
    }
}

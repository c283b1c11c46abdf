//! The writer thread: batches, compares, writes once, syncs once, publishes, acknowledges.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SendError, Sender, channel};
use std::thread::JoinHandle;

use bytes::{BufMut, BytesMut};
use tokio::sync::{mpsc, oneshot, watch};

use super::Options;
use super::disk::Disk;
use super::manifest::{Manifest, snapshot_path};
use super::recovery::State;
use super::segment::Ahead;
use super::{record, snapshot};
use crate::{CommitError, Event, Expect, Feed, Op, Record, Revision};

type Reply<T> = oneshot::Sender<Result<T, CommitError>>;
type Replies = Vec<(Revision, Reply<Revision>)>;

/// What the writer is asked to do.
pub(crate) enum Request {
    Commit(Op, Reply<Revision>),
    Feed(Reply<Feed>),
    Close,
}

const BATCH_OPS: usize = 1024;
const BATCH_BYTES: usize = 4 << 20;

/// Replies of more commits than this are sent by a thread of their own.
const ACKS_BY_THE_WRITER: usize = 4;

/// Tells authors that their commits are durable. Waking many takes about as long as syncing them,
/// so that happens while the writer goes on.
struct Acks {
    queue: Option<Sender<Replies>>,
    thread: Option<JoinHandle<()>>,
}

impl Acks {
    fn spawn() -> io::Result<Self> {
        let (queue, replies) = channel();
        let thread = std::thread::Builder::new()
            .name("store-acks".into())
            .spawn(move || replies.iter().for_each(acknowledge))?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    fn send(&self, replies: Replies) {
        match &self.queue {
            Some(queue) if replies.len() > ACKS_BY_THE_WRITER => {
                if let Err(SendError(replies)) = queue.send(replies) {
                    acknowledge(replies);
                }
            }
            _ => acknowledge(replies),
        }
    }
}

impl Drop for Acks {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn acknowledge(replies: Replies) {
    for (revision, reply) in replies {
        // Who asked may have left.
        let _ = reply.send(Ok(revision));
    }
}

struct Writer {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    options: Options,
    state: State,
    ahead: Ahead,
    feeds: Vec<mpsc::UnboundedSender<Arc<[Event]>>>,
    acks: Acks,
    buffer: BytesMut,
    /// Bytes of all live values, to scale the snapshot interval with the state.
    live_bytes: u64,
    snapshotting: Option<JoinHandle<io::Result<Manifest>>>,
}

pub(crate) fn spawn(
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    options: Options,
    state: State,
    queue: Receiver<Request>,
    fail: watch::Sender<Option<Arc<str>>>,
) -> io::Result<JoinHandle<()>> {
    let acks = Acks::spawn()?;
    std::thread::Builder::new().name("store-writer".into()).spawn(move || {
        let next = state.segment.sequence + 1;
        let live_bytes = state.records.values().map(|r| r.bytes.len() as u64).sum();
        let mut writer = Writer {
            ahead: Ahead::new(disk.clone(), dir.clone(), options.segment_bytes, next),
            disk,
            dir,
            options,
            state,
            feeds: Vec::new(),
            acks,
            buffer: BytesMut::new(),
            live_bytes,
            snapshotting: None,
        };
        if let Err(reason) = writer.run(&queue) {
            tracing::error!(reason, "the store has failed");
            // Before the queue goes, so that whoever waits on it finds the reason.
            fail.send_replace(Some(reason.into()));
        }
        if let Some(running) = writer.snapshotting.take() {
            let _ = running.join();
        }
    })
}

impl Writer {
    fn run(&mut self, queue: &Receiver<Request>) -> Result<(), String> {
        while let Ok(first) = queue.recv() {
            let mut batch = Batch::default();
            let mut bytes = 0;
            let mut next = Some(first);
            let mut closing = false;
            while let Some(request) = next.take() {
                match request {
                    Request::Commit(op, reply) => {
                        bytes += op.value.as_ref().map_or(0, |v| v.bytes.len()) + 128;
                        batch.admit(&self.state, op, reply);
                    }
                    // A feed must start between batches: before this one is as good as after.
                    Request::Feed(reply) => self.add_feed(reply),
                    Request::Close => closing = true,
                }
                if batch.events.len() < BATCH_OPS && bytes < BATCH_BYTES && !closing {
                    next = queue.try_recv().ok();
                }
            }
            self.write(batch)?;
            if closing {
                return Ok(());
            }
            self.maybe_snapshot()?;
        }
        Ok(())
    }

    fn add_feed(&mut self, reply: Reply<Feed>) {
        let (send, events) = mpsc::unbounded_channel();
        self.feeds.push(send);
        let feed =
            Feed { revision: self.state.revision, records: self.state.records.clone(), events };
        let _ = reply.send(Ok(feed));
    }

    /// Makes a batch durable. An error is fatal: after a failed write or sync nobody can know
    /// what the disk holds, so nothing more is acknowledged.
    fn write(&mut self, batch: Batch) -> Result<(), String> {
        if batch.events.is_empty() {
            return Ok(());
        }
        self.encode(&batch.events);
        if self.state.segment.at + self.buffer.len() as u64 > self.state.segment.len {
            match self.ahead.take(self.buffer.len() as u64) {
                Ok(segment) => {
                    self.state.segment = segment;
                    self.encode(&batch.events);
                }
                Err(e) => {
                    batch.refuse(&CommitError::Full(e.to_string()));
                    return Ok(());
                }
            }
        }
        let segment = &mut self.state.segment;
        self.disk
            .write_at(&segment.file, &self.buffer, segment.at)
            .map_err(|e| format!("writing the log: {e}"))?;
        self.disk.sync(&segment.file).map_err(|e| format!("syncing the log: {e}"))?;
        segment.at += self.buffer.len() as u64;
        self.state.log_bytes += self.buffer.len() as u64;
        if segment.at > segment.len / 2 {
            self.ahead.prepare();
        }
        self.publish(batch);
        Ok(())
    }

    fn encode(&mut self, events: &[Event]) {
        self.buffer.clear();
        for event in events {
            record::encode(&mut self.buffer, event, self.state.segment.at);
        }
    }

    fn publish(&mut self, batch: Batch) {
        for event in &batch.events {
            let old = match &event.record {
                Some(record) => {
                    self.live_bytes += record.bytes.len() as u64;
                    self.state.records.insert(event.key.clone(), record.clone())
                }
                None => self.state.records.remove(&event.key),
            };
            self.live_bytes -= old.map_or(0, |r| r.bytes.len() as u64);
            self.state.revision = event.revision;
        }
        let events: Arc<[Event]> = batch.events.into();
        self.feeds.retain(|feed| feed.send(events.clone()).is_ok());
        self.acks.send(batch.replies);
    }

    fn maybe_snapshot(&mut self) -> Result<(), String> {
        if self.snapshotting.as_ref().is_some_and(JoinHandle::is_finished) {
            self.finish_snapshot()?;
        }
        let due = self.options.snapshot_after.max(self.live_bytes);
        if self.snapshotting.is_some() || self.state.log_bytes < due {
            return Ok(());
        }
        // A segment boundary, so that the snapshot covers whole segments.
        let Ok(segment) = self.ahead.take(0) else {
            return Ok(());
        };
        let manifest = Manifest { snapshot: self.state.revision, first_segment: segment.sequence };
        self.state.segment = segment;
        self.state.log_bytes = 0;
        let (disk, dir) = (self.disk.clone(), self.dir.clone());
        let records = self.state.records.clone();
        self.snapshotting = std::thread::Builder::new()
            .name("store-snapshot".into())
            .spawn(move || {
                snapshot::write(&*disk, &dir, manifest.snapshot, &records)?;
                manifest.write(&*disk, &dir)?;
                Ok(manifest)
            })
            .ok();
        Ok(())
    }

    fn finish_snapshot(&mut self) -> Result<(), String> {
        let Some(running) = self.snapshotting.take() else { return Ok(()) };
        match running.join() {
            Ok(Ok(manifest)) => {
                let old = std::mem::replace(&mut self.state.manifest, manifest);
                for sequence in old.first_segment..self.state.manifest.first_segment {
                    self.ahead.recycle(sequence);
                }
                if old.snapshot != 0 {
                    let _ = std::fs::remove_file(snapshot_path(&self.dir, old.snapshot));
                }
            }
            // The log still holds everything: keep it and try again when it has grown.
            Ok(Err(e)) => tracing::warn!("snapshot not written: {e}"),
            Err(_) => return Err("the snapshot thread panicked".into()),
        }
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.state.lock.unlock();
    }
}

/// Operations admitted together, with the changes they make visible to each other.
#[derive(Default)]
struct Batch {
    events: Vec<Event>,
    replies: Replies,
    /// Index into `events` of each key's latest change in this batch.
    touched: HashMap<crate::Key, usize>,
}

impl Batch {
    fn admit(&mut self, state: &State, op: Op, reply: Reply<Revision>) {
        let (modified, created) = match self.touched.get(&op.key) {
            Some(i) => {
                let record = self.events[*i].record.as_ref();
                (record.map(|r| r.modified), record.map(|r| r.created))
            }
            None => {
                let record = state.records.get(&op.key);
                (record.map(|r| r.modified), record.map(|r| r.created))
            }
        };
        let holds = match op.expect {
            Expect::Absent => modified.is_none(),
            Expect::At(revision) => modified == Some(revision),
        };
        if !holds {
            let _ = reply.send(Err(CommitError::Conflict(modified)));
            return;
        }
        let revision = state.revision + self.events.len() as u64 + 1;
        let record = op.value.map(|value| {
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
        });
        self.touched.insert(op.key.clone(), self.events.len());
        self.events.push(Event { revision, key: op.key, record });
        self.replies.push((revision, reply));
    }

    fn refuse(self, error: &CommitError) {
        for (_, reply) in self.replies {
            let _ = reply.send(Err(error.clone()));
        }
    }
}

//! The bounded event log of one resource, which watchers read by cursor.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use parking_lot::{Mutex, RwLock};
use store::Revision;

use super::Entry;
use super::wait_queue::{WaitQueue, Waiter};

/// Current time on tokio's clock, which tests can pause.
pub(super) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// The kind of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChangeKind {
    Added,
    Modified,
    Deleted,
}

impl ChangeKind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Added => "ADDED",
            Self::Modified => "MODIFIED",
            Self::Deleted => "DELETED",
        }
    }
}

/// One change, shared by all its watchers.
pub(crate) struct Change {
    pub(crate) kind: ChangeKind,
    pub(crate) revision: Revision,
    /// The new state; for a deletion the last state at the revision of the deletion.
    pub(crate) entry: Arc<Entry>,
    /// The state before.
    pub(crate) previous: Option<Arc<Entry>>,
    at: Instant,
    frames: Mutex<Frames>,
    /// Bytes held by this change, while it is counted by a log.
    counted: Mutex<Option<Counted>>,
}

/// Encoded forms of a change, kept while many watchers may be about to send it.
#[derive(Default)]
struct Frames {
    json: Option<Bytes>,
    protobuf: Option<Bytes>,
    /// None is kept any more.
    late: bool,
}

impl Frames {
    fn len(&self) -> usize {
        [&self.json, &self.protobuf].into_iter().flatten().map(Bytes::len).sum()
    }
}

struct Counted {
    bytes: usize,
    total: Arc<AtomicUsize>,
}

impl Change {
    pub(crate) fn new(
        kind: ChangeKind,
        entry: Arc<Entry>,
        previous: Option<Arc<Entry>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            kind,
            revision: entry.revision,
            entry,
            previous,
            at: now(),
            frames: Mutex::default(),
            counted: Mutex::default(),
        })
    }

    /// Starts counting both states in `total`; the cache may have dropped either of them.
    fn count(&self, total: &Arc<AtomicUsize>) {
        *self.counted.lock() = Some(Counted { bytes: 0, total: total.clone() });
        let previous = self.previous.as_ref().map_or(0, |entry| entry.bytes.len());
        self.count_more(self.entry.bytes.len() + previous);
    }

    fn count_more(&self, more: usize) {
        if let Some(counted) = self.counted.lock().as_mut() {
            counted.bytes += more;
            counted.total.fetch_add(more, Ordering::Relaxed);
        }
    }

    fn count_no_more(&self) {
        if let Some(counted) = self.counted.lock().take() {
            counted.total.fetch_sub(counted.bytes, Ordering::Relaxed);
        }
    }

    /// The JSON watch frame, encoded on first use and shared as long as the change is recent.
    pub(crate) fn json_frame(&self) -> Bytes {
        let mut frames = self.frames.lock();
        if let Some(frame) = &frames.json {
            return frame.clone();
        }
        let frame = json_frame(self.kind.as_str(), &self.entry.bytes);
        if !frames.late {
            self.count_more(frame.len());
            frames.json = Some(frame.clone());
        }
        frame
    }

    /// The protobuf watch frame, encoded by the first watcher that needs it and shared as long as the
    /// change is recent.
    pub(crate) fn protobuf_frame<E>(
        &self,
        make: impl FnOnce() -> Result<Bytes, E>,
    ) -> Result<Bytes, E> {
        let mut frames = self.frames.lock();
        if let Some(frame) = &frames.protobuf {
            return Ok(frame.clone());
        }
        let frame = make()?;
        if !frames.late {
            self.count_more(frame.len());
            frames.protobuf = Some(frame.clone());
        }
        Ok(frame)
    }

    /// Gives the frames back, which a late watcher makes again for itself.
    fn drop_frames(&self) {
        let old =
            std::mem::replace(&mut *self.frames.lock(), Frames { late: true, ..Frames::default() });
        if let Some(counted) = self.counted.lock().as_mut() {
            let less = old.len().min(counted.bytes);
            counted.bytes -= less;
            counted.total.fetch_sub(less, Ordering::Relaxed);
        }
    }
}

/// `{"type":…,"object":…}` and a line feed.
pub(crate) fn json_frame(kind: &str, object: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(object.len() + 32);
    frame.put_slice(br#"{"type":""#);
    frame.put_slice(kind.as_bytes());
    frame.put_slice(br#"","object":"#);
    frame.put_slice(object);
    frame.put_slice(b"}\n");
    frame.freeze()
}

/// Up to this many changes are kept, unless they are too big.
const KEEP: usize = 1024;
/// Maximum bytes of kept objects and frames, not counting the newest change.
const KEEP_BYTES: usize = 32 << 20;
/// Changes beyond this number are never kept.
const KEEP_AT_MOST: usize = 16_384;
/// Between the two limits, changes younger than this are kept (as in upstream's watch cache).
const KEEP_FOR: Duration = Duration::from_secs(75);
/// No change is kept longer: list pages have expired by then.
const KEEP_QUIET: Duration = Duration::from_secs(330);

/// So many of the newest changes keep the frames in which they were sent, each as large as the object.
const FRAMED: usize = 256;

/// A read ends after this many bytes of objects; further changes wait for the next read.
const READ_BYTES: usize = 128 << 10;

struct Changes {
    kept: VecDeque<Arc<Change>>,
    /// Sequence number of the first kept change.
    first: u64,
    /// Bytes that the kept changes hold.
    bytes: Arc<AtomicUsize>,
    /// Every change after this revision is kept.
    complete_after: Revision,
}

impl Changes {
    /// Returns true if the oldest change must make room for a new one.
    fn is_full(&self) -> bool {
        self.kept.front().is_some_and(|oldest| {
            self.bytes.load(Ordering::Relaxed) > KEEP_BYTES
                || self.kept.len() >= KEEP_AT_MOST
                || (self.kept.len() >= KEEP
                    && now().saturating_duration_since(oldest.at) > KEEP_FOR)
        })
    }

    fn drop_oldest(&mut self) {
        if let Some(gone) = self.kept.pop_front() {
            self.complete_after = gone.revision;
            self.first += 1;
            gone.count_no_more();
        }
    }
}

/// The log and the queue that wakes its readers.
pub(crate) struct Log {
    changes: RwLock<Changes>,
    readers: Arc<WaitQueue>,
}

/// A watcher's position in the log.
pub(crate) struct Cursor {
    next: u64,
    waiter: Waiter,
    readers: Arc<WaitQueue>,
}

/// The requested history is no longer kept: 410.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Expired;

impl Log {
    pub(crate) fn new(revision: Revision) -> Self {
        let changes = Changes {
            kept: VecDeque::new(),
            first: 0,
            bytes: Arc::default(),
            complete_after: revision,
        };
        Self { changes: RwLock::new(changes), readers: Arc::default() }
    }

    pub(crate) fn push(&self, change: Arc<Change>) {
        let mut changes = self.changes.write();
        while changes.is_full() {
            changes.drop_oldest();
        }
        change.count(&changes.bytes);
        changes.kept.push_back(change);
        let late = changes.kept.len().checked_sub(FRAMED + 1).and_then(|at| changes.kept.get(at));
        if let Some(late) = late {
            late.drop_frames();
        }
    }

    /// Drops changes that no reader can request any more; returns the time of the next trim.
    pub(crate) fn trim(&self, now: Instant) -> Option<Instant> {
        let mut changes = self.changes.write();
        loop {
            let due = changes.kept.front()?.at + KEEP_QUIET;
            if due > now {
                return Some(due);
            }
            changes.drop_oldest();
            if changes.kept.is_empty() {
                changes.kept.shrink_to_fit();
            }
        }
    }

    /// Ends every reader: what was here is read elsewhere, or nowhere.
    pub(crate) fn close(&self) {
        let mut changes = self.changes.write();
        while !changes.kept.is_empty() {
            changes.drop_oldest();
        }
        (changes.first, changes.complete_after) = (u64::MAX, Revision::MAX);
        self.readers.publish();
    }

    /// The readers of the log, to be woken after changes were added.
    pub(crate) fn readers(&self) -> &WaitQueue {
        &self.readers
    }

    /// A cursor that reads every change after `revision`.
    pub(crate) fn after(&self, revision: Revision) -> Result<Cursor, Expired> {
        let mut waiter = Waiter::default();
        self.readers.observe(&mut waiter);
        let changes = self.changes.read();
        if revision < changes.complete_after {
            return Err(Expired);
        }
        let skip = changes.kept.partition_point(|c| c.revision <= revision) as u64;
        Ok(Cursor { next: changes.first + skip, waiter, readers: self.readers.clone() })
    }

    /// Takes the changes at the cursor, at most `max`; empty if there are none.
    pub(crate) fn read(
        &self,
        cursor: &mut Cursor,
        max: usize,
    ) -> Result<Vec<Arc<Change>>, Expired> {
        // Before reading: a later publication may concern changes that are not read here.
        self.readers.observe(&mut cursor.waiter);
        let changes = self.changes.read();
        let Some(skip) = cursor.next.checked_sub(changes.first) else { return Err(Expired) };
        let mut bytes = 0;
        let within = |change: &&Arc<Change>| {
            let begins = bytes < READ_BYTES;
            bytes += change.entry.bytes.len();
            begins
        };
        let (skip, kept) = ((skip as usize).min(changes.kept.len()), &changes.kept);
        let read: Vec<_> = kept.range(skip..).take(max).take_while(within).cloned().collect();
        cursor.next += read.len() as u64;
        Ok(read)
    }

    /// The changes after `revision`, newest first.
    pub(crate) fn back_to(&self, revision: Revision) -> Result<Vec<Arc<Change>>, Expired> {
        let changes = self.changes.read();
        if revision < changes.complete_after {
            return Err(Expired);
        }
        Ok(changes.kept.iter().rev().take_while(|c| c.revision > revision).cloned().collect())
    }
}

impl Cursor {
    /// Ready when there may be something to read.
    pub(crate) fn poll_wait(&mut self, context: &Context<'_>) -> Poll<()> {
        self.readers.poll(&mut self.waiter, context)
    }

    /// Resolves when there may be something to read.
    pub(crate) async fn wait(&mut self) {
        poll_fn(|context| self.poll_wait(context)).await;
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        self.readers.leave(&self.waiter);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(revision: Revision, previous: Option<Arc<Entry>>) -> Arc<Change> {
        let text = format!(r#"{{"metadata":{{"resourceVersion":"{revision}"}}}}"#);
        let paths = Entry::paths(&[]);
        let entry = Entry::new("ns/x", text.into(), 32, revision, &[], &paths).unwrap();
        Change::new(ChangeKind::Modified, Arc::new(entry), previous)
    }

    fn bytes(log: &Log) -> usize {
        log.changes.read().bytes.load(Ordering::Relaxed)
    }

    #[test]
    fn everything_that_a_change_keeps_is_counted_while_it_is_kept() {
        let log = Log::new(0);
        let first = change(1, None);
        let second = change(2, Some(first.entry.clone()));
        let object = first.entry.bytes.len();
        log.push(first.clone());
        log.push(second.clone());
        assert_eq!(bytes(&log), 3 * object);
        let frame = second.json_frame().len();
        let other: Result<Bytes, ()> = second.protobuf_frame(|| Ok(Bytes::from_static(b"1234")));
        assert_eq!((second.json_frame().len(), other.unwrap().len()), (frame, 4));
        assert_eq!(bytes(&log), 3 * object + frame + 4);
        assert_eq!(log.trim(Instant::now() + 2 * KEEP_QUIET), None);
        assert_eq!(bytes(&log), 0);
        // A watcher that holds the change still makes its frame, which the log no longer counts.
        first.json_frame();
        assert_eq!(bytes(&log), 0);
    }

    #[test]
    fn only_the_newest_changes_keep_their_frames() {
        let log = Log::new(0);
        let first = change(1, None);
        let object = first.entry.bytes.len();
        log.push(first.clone());
        let frame = first.json_frame();
        let made: Result<Bytes, ()> = first.protobuf_frame(|| Ok(Bytes::from_static(b"1234")));
        assert_eq!(made, Ok(Bytes::from_static(b"1234")));
        let mut cursor = log.after(0).unwrap();
        for revision in 0..FRAMED as Revision {
            assert_eq!(bytes(&log), (revision as usize + 1) * object + frame.len() + 4);
            // Objects of one size.
            log.push(change(revision % 9 + 1, None));
        }
        let all = (FRAMED + 1) * object;
        assert_eq!(bytes(&log), all);
        let late = log.read(&mut cursor, 1).unwrap();
        assert_eq!(late[0].json_frame(), frame, "a late watcher gets it still");
        assert_eq!(late[0].protobuf_frame(|| Err(())), Err(()), "made again");
        assert_eq!(bytes(&log), all);
    }

    #[test]
    fn a_quiet_log_is_emptied_when_nobody_can_ask_for_it() {
        let log = Log::new(0);
        log.push(change(1, None));
        let due = log.trim(Instant::now()).unwrap();
        assert!(due > Instant::now() + KEEP_QUIET / 2);
        assert_eq!(log.after(0).map(|_| ()), Ok(()));
        let mut cursor = log.after(1).unwrap();
        assert_eq!(log.trim(due), None);
        assert_eq!(log.after(0).map(|_| ()), Err(Expired));
        log.push(change(2, None));
        let read: Vec<_> = log.read(&mut cursor, 9).unwrap().iter().map(|c| c.revision).collect();
        assert_eq!(read, [2], "who has seen all goes on");
    }
}

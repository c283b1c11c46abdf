//! The writer thread: takes what was admitted, writes once, syncs once, publishes, acknowledges.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use imbl::OrdMap;
use tokio::sync::{mpsc, watch};

use super::Options;
use super::acks::{Acks, Reply};
use super::admission::{Admission, Batch, State, Taken};
use super::disk::Disk;
use super::manifest::{Manifest, snapshot_path};
use super::recovery::Recovered;
use super::segment::{Ahead, Segment};
use super::snapshot;
use crate::{CommitError, Event, Feed, Key, Record, Revision};

struct Writer {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    options: Options,
    admission: Arc<Admission>,
    fail: watch::Sender<Option<Arc<str>>>,
    lock: std::fs::File,
    manifest: Manifest,
    segment: Segment,
    /// Log bytes since the last snapshot.
    log_bytes: u64,
    ahead: Ahead,
    /// Everything up to here is durable and published.
    settled: Revision,
    feeds: Vec<mpsc::UnboundedSender<Arc<[Event]>>>,
    acks: Acks,
    snapshotting: Option<JoinHandle<io::Result<Manifest>>>,
}

pub(crate) fn spawn(
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    options: Options,
    recovered: Recovered,
    fail: watch::Sender<Option<Arc<str>>>,
) -> io::Result<(Arc<Admission>, JoinHandle<()>)> {
    let Recovered { revision, records, manifest, segment, log_bytes, lock, .. } = recovered;
    let admission = Arc::new(Admission::new(State::new(revision, records), segment.at));
    let mut writer = Writer {
        ahead: Ahead::new(disk.clone(), dir.clone(), options.segment_bytes, segment.sequence + 1),
        disk,
        dir,
        options,
        admission: admission.clone(),
        fail,
        lock,
        manifest,
        segment,
        log_bytes,
        settled: revision,
        feeds: Vec::new(),
        acks: Acks::spawn()?,
        snapshotting: None,
    };
    let thread = std::thread::Builder::new().name("store-writer".into()).spawn(move || {
        // Nobody would be told otherwise: whoever waits for a commit would wait for ever.
        let run = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| writer.run()));
        if let Err(panic) = run {
            telemetry::task::report("store-writer", &*panic);
            let text = telemetry::task::panic_text(&*panic);
            writer.give_up(format!("the writer has panicked: {text}"));
        }
        if let Some(running) = writer.snapshotting.take() {
            let _ = running.join();
        }
    })?;
    Ok((admission, thread))
}

/// Nobody can know what the thread that writes a snapshot left behind.
#[derive(Debug, thiserror::Error)]
#[error("the snapshot thread panicked")]
struct Panicked;

/// Why a batch was not written.
enum Failure {
    /// There is no space for it, which may change.
    Full(CommitError),
    /// After a failed write or sync nobody can know what the disk holds: nothing more is
    /// acknowledged.
    Fatal(String),
}

impl Writer {
    fn run(&mut self) {
        let mut spare = Batch::default();
        loop {
            if let Err(panicked) = self.finish_snapshot() {
                return self.give_up(panicked.to_string());
            }
            let Some(Taken { mut batch, after }) = self.take(spare) else { return };
            let (writes, bytes) = (batch.events.len(), batch.encoded.len());
            let _batch = tracing::debug_span!("batch", writes, bytes).entered();
            match self.write(&mut batch) {
                Ok(()) => {}
                Err(Failure::Full(error)) => {
                    self.admission.refuse(batch, &error);
                    spare = Batch::default();
                    continue;
                }
                // Before the batch and its replies go, so that whoever waits finds the reason.
                Err(Failure::Fatal(reason)) => return self.give_up(reason),
            }
            self.publish(&mut batch, after.as_ref());
            let compactions = std::mem::take(&mut batch.compactions);
            spare = batch.emptied();
            match after {
                Some((revision, records)) if !compactions.is_empty() => {
                    if let Err(panicked) = self.compact(revision, &records, compactions) {
                        return self.give_up(panicked.to_string());
                    }
                }
                Some((revision, records)) => self.maybe_snapshot(revision, records),
                None => {}
            }
        }
    }

    fn give_up(&self, reason: String) {
        tracing::error!(reason, "the store has failed");
        self.fail.send_replace(Some(reason.into()));
    }

    fn take(&self, spare: Batch) -> Option<Taken> {
        let (at, len) = (self.segment.at, self.segment.len);
        let end = |bytes| if at + bytes <= len { at + bytes } else { bytes };
        let wants_state = |bytes, live| self.snapshot_is_due(self.log_bytes + bytes, live);
        self.admission.take(self.settled, spare, end, wants_state)
    }

    /// Makes a batch durable.
    fn write(&mut self, batch: &mut Batch) -> Result<(), Failure> {
        let bytes = batch.encoded.len() as u64;
        if bytes == 0 {
            return Ok(());
        }
        if self.segment.at + bytes > self.segment.len {
            self.segment = self
                .ahead
                .take(bytes)
                .map_err(|e| Failure::Full(CommitError::Full(e.to_string())))?;
        }
        let segment = &mut self.segment;
        if batch.at != segment.at {
            batch.encode_at(segment.at);
        }
        self.disk
            .write_at(&segment.file, &batch.encoded, segment.at)
            .map_err(|e| Failure::Fatal(format!("writing the log: {e}")))?;
        self.disk
            .sync(&segment.file)
            .map_err(|e| Failure::Fatal(format!("syncing the log: {e}")))?;
        segment.at += bytes;
        self.log_bytes += bytes;
        if segment.at > segment.len / 2 {
            self.ahead.prepare();
        }
        Ok(())
    }

    /// Tells feeds, then authors.
    fn publish(&mut self, batch: &mut Batch, after: Option<&(Revision, OrdMap<Key, Record>)>) {
        if let Some(last) = batch.events.last() {
            self.settled = last.revision;
            let events: Arc<[Event]> = batch.events.drain(..).collect();
            self.feeds.retain(|feed| feed.send(events.clone()).is_ok());
        }
        for reply in batch.feeds.drain(..) {
            let Some((revision, records)) = after else { continue };
            let (send, events) = mpsc::unbounded_channel();
            self.feeds.push(send);
            let _ = reply.send(Ok(Feed { revision: *revision, records: records.clone(), events }));
        }
        self.acks.send(std::mem::take(&mut batch.answers));
    }

    fn snapshot_is_due(&self, log_bytes: u64, live_bytes: u64) -> bool {
        self.snapshotting.is_none() && log_bytes >= self.options.snapshot_after.max(live_bytes)
    }

    /// Starts a snapshot of the state that the log holds so far, if one is due.
    fn maybe_snapshot(&mut self, revision: Revision, records: OrdMap<Key, Record>) {
        let live = records.values().map(|r| r.bytes.len() as u64);
        if !self.snapshot_is_due(self.log_bytes, 0)
            || !self.snapshot_is_due(self.log_bytes, live.sum())
        {
            return;
        }
        // A segment boundary, so that the snapshot covers whole segments.
        let Ok(segment) = self.ahead.take(0) else { return };
        let manifest = Manifest { snapshot: revision, first_segment: segment.sequence };
        self.segment = segment;
        self.log_bytes = 0;
        let (disk, dir) = (self.disk.clone(), self.dir.clone());
        self.snapshotting = std::thread::Builder::new()
            .name("store-snapshot".into())
            .spawn(move || {
                snapshot::write(&*disk, &dir, manifest.snapshot, &records)?;
                manifest.write(&*disk, &dir)?;
                Ok(manifest)
            })
            .ok();
    }

    fn finish_snapshot(&mut self) -> Result<(), Panicked> {
        match self.snapshotting.take_if(|running| running.is_finished()) {
            Some(finished) => self.end_snapshot(finished),
            None => Ok(()),
        }
    }

    fn end_snapshot(&mut self, running: JoinHandle<io::Result<Manifest>>) -> Result<(), Panicked> {
        match running.join() {
            Ok(Ok(manifest)) => self.replace(manifest),
            // The log still holds everything: keep it and try again when it has grown.
            Ok(Err(e)) => tracing::warn!("snapshot not written: {e}"),
            Err(_) => return Err(Panicked),
        }
        Ok(())
    }

    /// Lets go of the files that a manifest has made superfluous.
    fn replace(&mut self, manifest: Manifest) {
        let old = std::mem::replace(&mut self.manifest, manifest);
        for sequence in old.first_segment..self.manifest.first_segment {
            self.ahead.recycle(sequence);
        }
        if !matches!(old.snapshot, 0) && old.snapshot != self.manifest.snapshot {
            let _ = std::fs::remove_file(snapshot_path(&self.dir, old.snapshot));
        }
    }

    /// Replaces all files by the present state. Authors wait meanwhile: it is asked for rarely.
    fn compact(
        &mut self,
        revision: Revision,
        records: &OrdMap<Key, Record>,
        replies: Vec<Reply<()>>,
    ) -> Result<(), Panicked> {
        if let Some(running) = self.snapshotting.take() {
            self.end_snapshot(running)?;
        }
        let outcome = self.rewrite(revision, records);
        let outcome = outcome.map_err(|why| CommitError::Full(why.to_string()));
        for reply in replies {
            let _ = reply.send(outcome.clone());
        }
        Ok(())
    }

    fn rewrite(&mut self, revision: Revision, records: &OrdMap<Key, Record>) -> io::Result<()> {
        // A segment that was used before holds what is no more.
        self.ahead.clear();
        // Also at the revision of the snapshot: the segment since may have been used before.
        if revision > 0 {
            let segment = self.ahead.take(0)?;
            let manifest = Manifest { snapshot: revision, first_segment: segment.sequence };
            (self.segment, self.log_bytes) = (segment, 0);
            snapshot::write(&*self.disk, &self.dir, revision, records)?;
            manifest.write(&*self.disk, &self.dir)?;
            self.replace(manifest);
            self.ahead.clear();
        }
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // However the thread ends, nobody may wait for it any longer.
        self.admission.closed();
        let _ = self.lock.unlock();
    }
}

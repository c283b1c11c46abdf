//! Where events go: written at once, or buffered and taken up by a task of their own.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use telemetry::task;
use tokio::sync::{mpsc, oneshot};

use super::event::Event;
use super::file::{AuditFile, Keeping};
use super::options::{AuditError, AuditFormat, AuditLog, AuditMode, AuditTruncate};
use super::policy::Level;
use crate::metrics::Audit as Metrics;

/// Most bytes of events that wait in a buffer, however few they are.
const WAITING: usize = 64 << 20;
/// Most lines that are written at once.
const AT_ONCE: usize = 256;
/// More places than this in a buffer are not used before it is full of bytes.
const MOST_PLACES: usize = 1 << 20;

/// An event as it goes to backends.
#[derive(Clone, Debug)]
pub(super) struct Record {
    /// Without the line break.
    pub(super) json: Bytes,
    /// The line for people, which is also what is told of a lost event.
    pub(super) text: Arc<str>,
}

impl Record {
    /// # Errors
    /// The event cannot be encoded.
    pub(super) fn of(event: &Event) -> serde_json::Result<Self> {
        Ok(Self { json: serde_json::to_vec(event)?.into(), text: event.text().into() })
    }

    fn size(&self) -> usize {
        self.json.len() + self.text.len()
    }
}

/// Counts and tells an event that a plugin has lost.
pub(super) fn lost(metrics: &Metrics, plugin: &'static str, why: &str, event: &str) {
    metrics.failed(plugin);
    tracing::error!(plugin, why, event, "an audit event is lost");
}

/// One backend, by the name that its losses are counted under.
pub(super) struct Backend {
    pub(super) name: &'static str,
    pub(super) truncate: Option<AuditTruncate>,
    pub(super) out: Out,
}

pub(super) enum Out {
    /// Written before the request goes on; a failure refuses the request if it is `strict`.
    Now {
        log: Arc<Log>,
        strict: bool,
    },
    Later(Buffer),
}

/// A log and what waits for it.
pub(super) type LogTask = (Arc<Log>, Buffered);

impl Backend {
    /// The log that options ask for, and the buffer's other end if it has one.
    pub(super) fn of_log(options: &AuditLog) -> Result<(Self, Option<LogTask>), AuditError> {
        let log = Arc::new(Log::open(options)?);
        let (out, rest) = match options.mode {
            AuditMode::Batch => {
                let (buffer, buffered) = buffer(options.buffer_size);
                (Out::Later(buffer), Some((log, buffered)))
            }
            mode => (Out::Now { log, strict: mode == AuditMode::BlockingStrict }, None),
        };
        Ok((Self { name: "log", truncate: options.truncate, out }, rest))
    }

    /// Takes an event. Returns false if the request must not go on.
    pub(super) fn take(&self, event: &mut Event, record: &Record, metrics: &Metrics) -> bool {
        let cut;
        let mut record = record;
        if let Some(AuditTruncate { max_event_size, .. }) = self.truncate {
            let large = |record: &Record| record.json.len() as u64 > max_event_size;
            if large(record) && event.level >= Level::Request {
                match cut_down(event) {
                    Ok(smaller) => {
                        cut = smaller;
                        record = &cut;
                    }
                    Err(why) => lost(metrics, "truncate", &why.to_string(), &record.text),
                }
            }
            if large(record) {
                let why = "event is too large even after truncating";
                lost(metrics, "truncate", why, &record.text);
                return true;
            }
        }
        match &self.out {
            Out::Now { log, strict } => match log.write(record) {
                Ok(()) => true,
                Err(why) => {
                    lost(metrics, self.name, &why.to_string(), &record.text);
                    !strict
                }
            },
            Out::Later(buffer) => {
                if let Err(why) = buffer.push(record.clone()) {
                    lost(metrics, "buffered", &why.to_string(), &record.text);
                }
                true
            }
        }
    }
}

/// The event without its objects, and with a mark of that.
fn cut_down(event: &mut Event) -> serde_json::Result<Record> {
    let objects = (event.request_object.take(), event.response_object.take());
    let marked = event.mark_truncated();
    let record = Record::of(event);
    event.unmark_truncated(marked);
    (event.request_object, event.response_object) = objects;
    record
}

/// A log of lines.
pub(super) struct Log {
    format: AuditFormat,
    out: Mutex<Lines>,
}

enum Lines {
    Standard,
    File(AuditFile),
}

impl Log {
    fn open(options: &AuditLog) -> Result<Self, AuditError> {
        let lines = if options.path.as_os_str() == "-" {
            Lines::Standard
        } else {
            let keeping = Keeping {
                bytes: options.max_size.saturating_mul(1 << 20),
                days: options.max_age,
                files: options.max_backups,
                compress: options.compress,
            };
            let file = AuditFile::open(&options.path, keeping);
            let path = options.path.clone();
            Lines::File(file.map_err(|why| AuditError::Log { path, why })?)
        };
        Ok(Self { format: options.format, out: Mutex::new(lines) })
    }

    fn write(&self, record: &Record) -> std::io::Result<()> {
        let text = match self.format {
            AuditFormat::Json => &record.json[..],
            AuditFormat::Legacy => record.text.as_bytes(),
        };
        let line = [text, b"\n"].concat();
        match &mut *self.out.lock() {
            Lines::Standard => {
                let mut out = std::io::stdout().lock();
                out.write_all(&line)?;
                out.flush()
            }
            Lines::File(file) => file.line(&line),
        }
    }
}

/// The end of a buffer that requests put events into.
pub(super) struct Buffer {
    sender: mpsc::Sender<Waiting>,
    bytes: Arc<AtomicUsize>,
}

/// The other end.
pub(super) struct Buffered {
    receiver: mpsc::Receiver<Waiting>,
    bytes: Arc<AtomicUsize>,
}

pub(super) enum Waiting {
    Event(Record),
    /// Asks to be told when everything before it is done.
    Flush(oneshot::Sender<()>),
}

/// The reason why a buffer takes no event.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    #[error("audit buffer queue blocked")]
    Full,
    #[error("audit backend shut down")]
    Closed,
}

/// A buffer for this many events.
pub(super) fn buffer(places: usize) -> (Buffer, Buffered) {
    let (sender, receiver) = mpsc::channel(places.clamp(1, MOST_PLACES));
    let bytes = Arc::new(AtomicUsize::new(0));
    (Buffer { sender, bytes: bytes.clone() }, Buffered { receiver, bytes })
}

impl Buffer {
    fn push(&self, record: Record) -> Result<(), Refused> {
        let size = record.size();
        if self.bytes.fetch_add(size, Ordering::Relaxed) + size > WAITING {
            self.bytes.fetch_sub(size, Ordering::Relaxed);
            return Err(Refused::Full);
        }
        self.sender.try_send(Waiting::Event(record)).map_err(|error| {
            self.bytes.fetch_sub(size, Ordering::Relaxed);
            match error {
                mpsc::error::TrySendError::Full(_) => Refused::Full,
                mpsc::error::TrySendError::Closed(_) => Refused::Closed,
            }
        })
    }

    /// Returns when everything that is in the buffer now is written or lost.
    pub(super) async fn flush(&self) {
        let (done, told) = oneshot::channel();
        if self.sender.send(Waiting::Flush(done)).await.is_ok() {
            let _ = told.await;
        }
    }
}

impl Buffered {
    /// The next events, at most so many; empty at the end.
    pub(super) async fn next(&mut self, most: usize) -> Vec<Waiting> {
        let mut found = Vec::new();
        self.receiver.recv_many(&mut found, most).await;
        found
    }

    /// Makes room for as much as these took.
    pub(super) fn release(&self, records: &[Record]) {
        release(&self.bytes, records);
    }

    pub(super) fn bytes(&self) -> Arc<AtomicUsize> {
        self.bytes.clone()
    }
}

/// Makes room for as much as these took.
pub(super) fn release(bytes: &AtomicUsize, records: &[Record]) {
    bytes.fetch_sub(records.iter().map(Record::size).sum(), Ordering::Relaxed);
}

/// Writes what is buffered until the buffer's other end is gone.
pub(super) fn write_buffered(log: Arc<Log>, mut buffered: Buffered, metrics: Metrics) {
    task::spawn("audit-log", async move {
        loop {
            let taken = buffered.next(AT_ONCE).await;
            if taken.is_empty() {
                return;
            }
            let (mut records, mut flushes) = (Vec::new(), Vec::new());
            for waiting in taken {
                match waiting {
                    Waiting::Event(record) => records.push(record),
                    Waiting::Flush(done) => flushes.push(done),
                }
            }
            buffered.release(&records);
            let (log, metrics) = (log.clone(), metrics.clone());
            let written = tokio::task::spawn_blocking(move || {
                for record in &records {
                    if let Err(why) = log.write(record) {
                        lost(&metrics, "log", &why.to_string(), &record.text);
                    }
                }
            });
            if let Err(why) = written.await {
                tracing::error!(%why, "audit events are lost");
            }
            for done in flushes {
                let _ = done.send(());
            }
        }
    });
}

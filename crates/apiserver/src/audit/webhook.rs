//! The webhook that takes events in batches.

use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use telemetry::task;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::backend::{Backend, Buffered, Out, Record, Waiting, buffer, lost, release};
use super::options::{AuditError, AuditWebhook};
use crate::metrics::Audit as Metrics;
use crate::server::Server;
use crate::webhook::{self, Retries, Target};

/// How long one attempt may take (upstream's).
const PATIENCE: Duration = Duration::from_secs(30);
/// Batches under way at once. While a slow webhook has all of them, events wait in the buffer.
const UNDER_WAY: u32 = 16;
const HEAD: &[u8] =
    br#"{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":["#;

pub(super) struct Webhook {
    target: Target,
    options: AuditWebhook,
}

/// Reads where the webhook is.
pub(super) fn open(options: &AuditWebhook) -> Result<(Backend, Webhook, Buffered), AuditError> {
    let target = Target::of_kubeconfig(&options.config_file)
        .map_err(|why| AuditError::Webhook(why.to_string()))?;
    let (buffer, buffered) = buffer(options.buffer_size);
    let backend = Backend { name: "webhook", truncate: options.truncate, out: Out::Later(buffer) };
    Ok((backend, Webhook { target, options: options.clone() }, buffered))
}

impl Webhook {
    /// Sends what is buffered until the buffer's other end is gone.
    pub(super) fn run(self, buffered: Buffered, metrics: Metrics, server: Weak<Server>) {
        let sender = Arc::new(Sender {
            target: self.target,
            backoff: self.options.initial_backoff,
            metrics,
            server,
            bytes: buffered.bytes(),
        });
        task::spawn("audit-webhook", gather(self.options, buffered, sender));
    }
}

async fn gather(options: AuditWebhook, mut buffered: Buffered, sender: Arc<Sender>) {
    let under_way = Arc::new(Semaphore::new(UNDER_WAY as usize));
    let mut throttle = options.throttle.map(Throttle::new);
    let most_bytes = options.truncate.map_or(u64::MAX, |truncate| truncate.max_batch_size);
    loop {
        let Batch { records, flush, ended } = batch(&options, &mut buffered).await;
        for records in split(records, most_bytes) {
            if let Some(throttle) = &mut throttle {
                throttle.wait().await;
            }
            let Ok(permit) = under_way.clone().acquire_owned().await else { return };
            task::spawn("audit-webhook", sender.clone().send(records, permit));
        }
        if let Some(done) = flush {
            // All of them are free when nothing is under way.
            let _ = under_way.acquire_many(UNDER_WAY).await;
            let _ = done.send(());
        }
        if ended {
            return;
        }
    }
}

struct Batch {
    records: Vec<Record>,
    flush: Option<oneshot::Sender<()>>,
    ended: bool,
}

/// Gathers events until they are enough, or the first has waited for long enough.
async fn batch(options: &AuditWebhook, buffered: &mut Buffered) -> Batch {
    let mut batch = Batch { records: Vec::new(), flush: None, ended: false };
    let mut until: Option<Instant> = None;
    while batch.records.len() < options.batch_max_size {
        let next = buffered.next(1);
        let found = match until {
            None => next.await,
            Some(until) => match timeout_at(until, next).await {
                Ok(found) => found,
                Err(_) => return batch,
            },
        };
        match found.into_iter().next() {
            Some(Waiting::Event(record)) => batch.records.push(record),
            Some(Waiting::Flush(done)) => {
                batch.flush = Some(done);
                return batch;
            }
            None => {
                batch.ended = true;
                return batch;
            }
        }
        until = until.or_else(|| Instant::now().checked_add(options.batch_max_wait));
    }
    batch
}

/// Parts of a batch of at most so many bytes each.
fn split(records: Vec<Record>, most: u64) -> Vec<Vec<Record>> {
    let (mut parts, mut size) = (Vec::new(), 0);
    for record in records {
        let own = record.json.len() as u64;
        match parts.last_mut() {
            Some(part) if size + own <= most => {
                let part: &mut Vec<Record> = part;
                part.push(record);
                size += own;
            }
            _ => {
                parts.push(vec![record]);
                size = own;
            }
        }
    }
    parts
}

/// A number of batches a second, and some at once after a pause.
struct Throttle {
    each: Duration,
    burst: u32,
    /// When all of the burst is there again.
    full: Instant,
}

impl Throttle {
    fn new((qps, burst): (f64, u32)) -> Self {
        let each = Duration::try_from_secs_f64(1.0 / qps).unwrap_or(Duration::from_secs(3600));
        Self { each, burst, full: Instant::now() }
    }

    async fn wait(&mut self) {
        sleep_until(self.next(Instant::now())).await;
    }

    /// When a batch may go that is there now.
    fn next(&mut self, now: Instant) -> Instant {
        let ahead = self.each.saturating_mul(self.burst.saturating_sub(1));
        let from = self.full.checked_sub(ahead).unwrap_or(now).max(now);
        self.full = self.full.max(from) + self.each;
        from
    }
}

struct Sender {
    target: Target,
    backoff: Duration,
    metrics: Metrics,
    server: Weak<Server>,
    bytes: Arc<AtomicUsize>,
}

impl Sender {
    /// Sends a batch, again and again for a while; what cannot be sent is lost.
    async fn send(self: Arc<Self>, records: Vec<Record>, _permit: OwnedSemaphorePermit) {
        let (body, mut retries) = (list(&records), Retries::after(self.backoff));
        let outcome = loop {
            let Some(server) = self.server.upgrade() else {
                break Err("audit backend shut down".to_owned());
            };
            let sent = webhook::post(&server, &self.target, body.clone(), PATIENCE).await;
            drop(server);
            let Err(why) = sent else { break Ok(()) };
            tracing::debug!(%why, "audit events not sent");
            if !retries.wait().await {
                break Err(why.to_string());
            }
        };
        release(&self.bytes, &records);
        if let Err(why) = outcome {
            for record in &records {
                lost(&self.metrics, "webhook", &why, &record.text);
            }
        }
    }
}

/// The events as an EventList.
fn list(records: &[Record]) -> Bytes {
    let size: usize = records.iter().map(|record| record.json.len() + 1).sum();
    let mut body = BytesMut::with_capacity(HEAD.len() + size + 2);
    body.put_slice(HEAD);
    for (i, record) in records.iter().enumerate() {
        if i > 0 {
            body.put_u8(b',');
        }
        body.put_slice(&record.json);
    }
    body.put_slice(b"]}");
    body.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(size: usize) -> Record {
        Record { json: "x".repeat(size).into(), text: "".into() }
    }

    #[test]
    fn batches_are_split_by_size() {
        let sizes = |parts: Vec<Vec<Record>>| -> Vec<Vec<usize>> {
            parts.iter().map(|part| part.iter().map(|r| r.json.len()).collect()).collect()
        };
        let records = || [4, 5, 2, 20, 1].map(record).to_vec();
        assert_eq!(sizes(split(records(), 10)), [vec![4, 5], vec![2], vec![20], vec![1]]);
        assert_eq!(sizes(split(records(), u64::MAX)).len(), 1);
        assert_eq!(split(Vec::new(), 1).len(), 0);
    }

    #[test]
    fn a_throttle_lets_a_burst_pass_and_then_a_rate() {
        let mut throttle = Throttle::new((10.0, 3));
        let now = throttle.full;
        let waits: Vec<u128> = (0..5).map(|_| (throttle.next(now) - now).as_millis()).collect();
        assert_eq!(waits, [0, 0, 0, 100, 200]);
        let later = now + Duration::from_secs(9);
        assert_eq!(throttle.next(later), later);
    }
}

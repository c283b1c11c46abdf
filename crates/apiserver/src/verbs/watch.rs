//! WATCH: each watcher reads the shared log at its own pace.

mod socket;

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use apimachinery::Status;
use apimachinery::codec::protobuf;
use bytes::{BufMut, Bytes, BytesMut};
use futures::future::BoxFuture;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Frame;
use rand::RngExt;
use serde_json::{Value, json};
use tokio::time::{Instant, Sleep, sleep_until};

use super::Call;
use super::list::{self, Filter};
use super::list_options::{ListOptions, parse_version};
use crate::body::{Body, BoxError, full};
use crate::cache::{Change, ChangeKind, Collection, Cursor, Entry};
use crate::conversion;
use crate::encode::{self, Include, entry_bytes, view};
use crate::limits;
use crate::negotiate::{self, Accepted, Encoding, Form};
use crate::registry::KindRef;
use crate::server::Server;

/// Maximum length of a watch in seconds: clients may ask for more than a clock can represent.
const LONGEST: u64 = 365 * 24 * 3600;

const JSON_STREAM: &str = "application/json;stream=watch";
const PROTOBUF_STREAM: &str = "application/vnd.kubernetes.protobuf;stream=watch";

const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";
/// Time between bookmarks (upstream: about a minute).
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);
/// Time between the last bookmark and the end of a watch.
const BEFORE_END: Duration = Duration::from_secs(2);
/// Maximum number of changes read from the log at once.
const BATCH: usize = 128;

/// Encodes events as a watcher requested.
struct Writer {
    kind: KindRef,
    accepted: Accepted,
    include: Include,
    /// Column definitions are only sent with the first table.
    headers_sent: bool,
}

impl Writer {
    fn change(&mut self, kind: ChangeKind, change: &Change) -> Result<Bytes, Status> {
        let shown = self.kind.shows(&change.entry.bytes);
        let as_stored = self.accepted.form == Form::Object && shown;
        if as_stored && kind == change.kind {
            match self.accepted.encoding {
                Encoding::Json => return Ok(change.json_frame()),
                Encoding::Protobuf => {
                    return change.protobuf_frame(|| self.entry(kind.as_str(), &change.entry));
                }
                Encoding::Yaml => {}
            }
        }
        self.entry(kind.as_str(), &change.entry)
    }

    fn entry(&mut self, event: &str, entry: &Entry) -> Result<Bytes, Status> {
        match (self.accepted.form, self.accepted.encoding) {
            (Form::Object, encoding) => {
                Ok(self.frame(event, &entry_bytes(&self.kind, entry, encoding)?))
            }
            (Form::Partial, _) => self.object(event, &entry.object()),
            _ => self.object(event, &view(&self.kind, entry)),
        }
    }

    fn object(&mut self, event: &str, object: &Value) -> Result<Bytes, Status> {
        let version = self.accepted.meta_version();
        let shaped = match self.accepted.form {
            Form::Object | Form::PartialList => None,
            Form::Partial => Some(encode::partial(object, version)),
            Form::Table => {
                let rows = vec![encode::row(&self.kind, object, self.include, version)];
                let metadata = json!({"resourceVersion": object["metadata"]["resourceVersion"]});
                let headers = !std::mem::replace(&mut self.headers_sent, true);
                Some(encode::table(&self.kind, rows, metadata, headers, version))
            }
        };
        let bytes = encode::value_bytes(shaped.as_ref().unwrap_or(object), self.accepted.encoding)?;
        Ok(self.frame(event, &bytes))
    }

    fn frame(&self, event: &str, object: &[u8]) -> Bytes {
        match self.accepted.encoding {
            Encoding::Protobuf => {
                let event = protobuf::encode_watch_event(event, object);
                let mut frame = BytesMut::with_capacity(event.len() + 4);
                frame.put_u32(event.len() as u32);
                frame.put_slice(&event);
                frame.freeze()
            }
            // There is no YAML stream.
            Encoding::Json | Encoding::Yaml => crate::cache::json_frame(event, object),
        }
    }

    fn bookmark(&mut self, revision: u64, initial_end: bool) -> Result<Bytes, Status> {
        let mut metadata = json!({"resourceVersion": revision.to_string()});
        if initial_end {
            metadata["annotations"] = json!({INITIAL_EVENTS_END: "true"});
        }
        let object = json!({
            "kind": self.kind.kind, "apiVersion": self.kind.api_version(), "metadata": metadata,
        });
        self.object("BOOKMARK", &object)
    }

    fn error(&self, status: &Status) -> Bytes {
        let bytes = encode::value_bytes(&status.to_value(), self.accepted.encoding);
        self.frame("ERROR", &bytes.unwrap_or_default())
    }
}

/// The state of one watcher.
struct Watcher {
    collection: Arc<Collection>,
    cursor: Cursor,
    filter: Filter,
    writer: Writer,
    /// State to send before the first change.
    initial: VecDeque<Arc<Entry>>,
    /// Revision of the bookmark that ends the initial state, if requested.
    initial_end: Option<u64>,
    /// Changes up to this revision are skipped; it may lie in the future.
    after: u64,
    seen: u64,
    server: Arc<Server>,
    /// Changes that a webhook is converting.
    converting: Option<BoxFuture<'static, Result<Vec<Arc<Change>>, Status>>>,
    /// Fires when a bookmark is due, or at the end. A single one for the whole watch: most waits
    /// end by a change and should not need a timer each.
    timer: Pin<Box<Sleep>>,
    deadline: Instant,
    over: bool,
}

impl http_body::Body for Watcher {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let watcher = self.get_mut();
        if watcher.over {
            return Poll::Ready(None);
        }
        let chunk = ready!(watcher.poll_chunk(context)).unwrap_or_else(|status| {
            watcher.over = true;
            Some(watcher.writer.error(&status))
        });
        Poll::Ready(chunk.map(|chunk| Ok(Frame::data(chunk))))
    }
}

impl Watcher {
    /// The effect of a change on the selection.
    fn through_filter(&self, change: &Change) -> Option<ChangeKind> {
        if change.revision <= self.after {
            return None;
        }
        if self.filter.is_open() && self.filter.namespace().is_empty() {
            return Some(change.kind);
        }
        let now = change.kind != ChangeKind::Deleted && self.filter.matches(&change.entry);
        let before = change.previous.as_ref().is_some_and(|p| self.filter.matches(p));
        match (before, now) {
            (false, true) => Some(ChangeKind::Added),
            (true, true) => Some(ChangeKind::Modified),
            (true, false) => Some(ChangeKind::Deleted),
            (false, false) => None,
        }
    }

    fn write(&mut self, kind: ChangeKind, change: &Change) -> Result<Bytes, Status> {
        // An object that left the selection is shown in its last selected state.
        match &change.previous {
            Some(previous) if kind == ChangeKind::Deleted && change.kind != kind => {
                let last = previous.at(change.revision);
                self.writer.entry(kind.as_str(), &last)
            }
            _ => self.writer.change(kind, change),
        }
    }

    /// The next bytes to send; `None` when the watch is over.
    fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Status>> {
        if let Some(chunk) = self.initial_chunk()? {
            return Poll::Ready(Ok(Some(chunk)));
        }
        if let Some(revision) = self.initial_end.take() {
            return Poll::Ready(self.writer.bookmark(revision, true).map(Some));
        }
        loop {
            if let Some(converting) = &mut self.converting {
                let converted = ready!(converting.as_mut().poll(context));
                self.converting = None;
                if let Some(chunk) = self.changes_chunk(&converted?)? {
                    return Poll::Ready(Ok(Some(chunk)));
                }
            }
            // Read before the changes, which then include everything applied by now.
            let applied = self.server.cache.revision();
            let changes = self
                .collection
                .read(&mut self.cursor, BATCH)
                .map_err(|_| Status::expired(format!("too old resource version: {}", self.seen)))?;
            if !changes.is_empty() && self.writer.kind.is_converted() {
                let (server, kind) = (self.server.clone(), self.writer.kind.clone());
                self.converting = Some(Box::pin(converted(server, kind, changes)));
                continue;
            }
            if let Some(chunk) = self.changes_chunk(&changes)? {
                return Poll::Ready(Ok(Some(chunk)));
            }
            if !changes.is_empty() {
                continue;
            }
            self.seen = self.seen.max(applied);
            if self.cursor.poll_wait(context).is_ready() {
                continue;
            }
            ready!(self.timer.as_mut().poll(context));
            let now = Instant::now();
            if now >= self.deadline {
                return Poll::Ready(Ok(None));
            }
            self.timer.as_mut().reset(next_bookmark(now, self.deadline));
            return Poll::Ready(self.writer.bookmark(self.seen, false).map(Some));
        }
    }

    fn initial_chunk(&mut self) -> Result<Option<Bytes>, Status> {
        if self.initial.is_empty() {
            return Ok(None);
        }
        let mut chunk = BytesMut::new();
        while let Some(entry) = self.initial.pop_front() {
            chunk.put_slice(&self.writer.entry("ADDED", &entry)?);
            if chunk.len() > 64 << 10 {
                break;
            }
        }
        Ok(Some(chunk.freeze()))
    }

    fn changes_chunk(&mut self, changes: &[Arc<Change>]) -> Result<Option<Bytes>, Status> {
        let mut frames: Vec<Bytes> = Vec::new();
        for change in changes {
            self.seen = self.seen.max(change.revision);
            if let Some(kind) = self.through_filter(change) {
                frames.push(self.write(kind, change)?);
            }
        }
        Ok(match frames.len() {
            0 => None,
            1 => frames.pop(),
            _ => Some(frames.concat().into()),
        })
    }
}

/// Changes of objects as the kind shows them.
async fn converted(
    server: Arc<Server>,
    kind: KindRef,
    changes: Vec<Arc<Change>>,
) -> Result<Vec<Arc<Change>>, Status> {
    let both = changes.iter().flat_map(|change| {
        [Some(change.entry.clone()), change.previous.clone()].into_iter().flatten()
    });
    let mut entries: Vec<Arc<Entry>> = both.collect();
    conversion::entries(&server, &kind, &mut entries).await?;
    let mut entries = entries.into_iter();
    let mut made = Vec::with_capacity(changes.len());
    for change in &changes {
        let Some(entry) = entries.next() else { break };
        let previous = change.previous.is_some().then(|| entries.next()).flatten();
        made.push(Change::new(change.kind, entry, previous));
    }
    Ok(made)
}

/// The time of the next bookmark: about every minute, and shortly before the end, so that a client
/// that continues is not far behind.
fn next_bookmark(now: Instant, deadline: Instant) -> Instant {
    let due = match deadline.checked_sub(BEFORE_END) {
        Some(before_end) => before_end.min(now + BOOKMARK_EVERY),
        None => deadline,
    };
    if due > now { due } else { deadline }
}

/// The start of a watch: the state to send first, its revision, and the changes after it.
async fn begin(
    call: &Call<'_>,
    options: &ListOptions<'_>,
    filter: &Filter,
    version: u64,
) -> Result<(VecDeque<Arc<Entry>>, u64, Cursor), Status> {
    let collection = call.server.collection(&call.kind)?;
    // A watch without a version starts with the state, unless the client declines it.
    let wants_initial = options.send_initial.unwrap_or(version == 0);
    let (initial, after) = if wants_initial {
        list::wait_for(call, version).await?;
        let (snapshot, revision) = filter.present(call)?;
        let candidates = list::candidates(call, filter, &snapshot, "").await?;
        let mut entries: Vec<_> = candidates.filter(|e| filter.matches(e)).collect();
        conversion::entries(call.server, &call.kind, &mut entries).await?;
        (entries.into(), revision)
    } else {
        // A watch without a version and without a state starts now.
        let now = call.server.cache.revision();
        (VecDeque::new(), if version == 0 { now } else { version })
    };
    let cursor = collection.watch_after(after).map_err(|_| {
        let now = call.server.cache.revision();
        Status::expired(format!("too old resource version: {after} ({now})"))
    })?;
    Ok((initial, after, cursor))
}

pub(super) async fn watch(
    call: &Call<'_>,
    mut request: Request<Body>,
) -> Result<Response<Body>, Status> {
    let options = ListOptions::read(call)?;
    let filter = Filter::parse(call)?;
    let version = options.version.map_or(Ok(0), parse_version);
    let version = version.map_err(|why| Status::generic(500, "", why.to_string()))?;
    let include = Include::parse(call.query.get("includeObject"))?;
    if call.accepted.encoding == Encoding::Yaml {
        return Err(negotiate::only(&[JSON_STREAM, PROTOBUF_STREAM]));
    }
    // From here on the answer is a stream, and errors are sent as events.
    let begun = if options.timeout.is_some_and(|seconds| seconds < 0) {
        Err(Status::generic(500, "InternalError", "context deadline exceeded"))
    } else {
        begin(call, &options, &filter, version).await
    };
    let writer =
        Writer { kind: call.kind.clone(), accepted: call.accepted, include, headers_sent: false };
    let (now, deadline) = times(&options);
    let stream = match begun {
        Err(status) => full(writer.error(&status)),
        // A single object cannot be shown as a list.
        Ok(_) if call.accepted.form == Form::PartialList => full(""),
        Ok((initial, after, cursor)) => {
            let next = if options.bookmarks { next_bookmark(now, deadline) } else { deadline };
            let streamed = options.send_initial == Some(true) && options.bookmarks;
            let watcher = Watcher {
                collection: call.server.collection(&call.kind)?,
                cursor,
                filter,
                writer,
                initial,
                initial_end: streamed.then_some(after),
                after,
                seen: after,
                server: call.server.clone(),
                converting: None,
                timer: Box::pin(sleep_until(next)),
                deadline,
                over: false,
            };
            watcher.boxed_unsync()
        }
    };
    let media_type = match call.accepted.encoding {
        Encoding::Protobuf => PROTOBUF_STREAM,
        _ => negotiate::JSON,
    };
    // A client that does not read never notices the end of the watch.
    let unread = deadline + UNREAD;
    if socket::is_wanted(request.headers()) {
        return socket::serve(&mut request, stream, call.accepted.encoding, media_type, unread);
    }
    let mut response = encode::respond(StatusCode::OK, media_type, stream);
    response.extensions_mut().insert(limits::Deadline(unread.into_std()));
    Ok(response)
}

/// How long after its end a watch may still wait for its client to read.
const UNREAD: Duration = Duration::from_secs(30);

/// The start and the end of a watch.
fn times(options: &ListOptions<'_>) -> (Instant, Instant) {
    let seconds = match options.timeout {
        Some(seconds) => u64::try_from(seconds).unwrap_or(0).min(86_400),
        None => rand::rng().random_range(1800..3600),
    };
    let now = Instant::now();
    (now, now + Duration::from_secs(seconds.min(LONGEST)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bookmarks_come_every_minute_and_shortly_before_the_end() {
        let now = Instant::now();
        let at = |seconds| now + Duration::from_secs(seconds);
        assert_eq!(next_bookmark(now, at(3600)), at(60));
        assert_eq!(next_bookmark(now, at(61)), at(59));
        assert_eq!(next_bookmark(now, at(10)), at(8));
        assert_eq!(next_bookmark(at(8), at(10)), at(10));
        assert_eq!(next_bookmark(now, at(1)), at(1));
    }
}

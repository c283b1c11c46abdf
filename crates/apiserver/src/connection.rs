//! One TLS connection: its protocol, its owner, and its idle timeout.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use crate::audit::PeerAddress;
use crate::authn::{Peer, Presented};
use crate::body::{Body, BoxError};
use crate::limits::Deadline;
use crate::server::ApiServer;

/// HTTP/2 resets by the client that are tolerated before the connection closes (rapid reset).
const MAX_PENDING_RESETS: usize = 64;
/// Streams of one HTTP/2 connection at once (upstream's default).
const MAX_STREAMS: u32 = 250;
/// Time for the head of a request, and for the first request (upstream's `ReadHeaderTimeout`).
const HEAD: Duration = Duration::from_secs(32);
/// Time for which a connection is kept without a request (upstream's `IdleTimeout`).
const IDLE: Duration = Duration::from_secs(90);
/// Time for an idle client to acknowledge the end of its connection.
const FAREWELL: Duration = Duration::from_secs(5);
/// Interval of HTTP/2 pings; a client that does not answer is disconnected.
const PING: Duration = Duration::from_secs(30);

/// Last use of a connection, and the deadlines for reading its answers.
struct Activity {
    in_flight: AtomicUsize,
    /// Answers that are not fully read, by deadline.
    unread: Mutex<BTreeSet<(Instant, u64)>>,
    answers: AtomicU64,
    /// End of the idle time, if nothing is in flight.
    until: Mutex<Instant>,
    /// Time for which it is kept without a request.
    idle: Duration,
}

impl Activity {
    /// `first` is the time for the first request.
    fn new(first: Duration, idle: Duration) -> Arc<Self> {
        let until = Mutex::new(Instant::now() + first);
        Arc::new(Self {
            in_flight: AtomicUsize::new(0),
            unread: Mutex::default(),
            answers: AtomicU64::new(0),
            until,
            idle,
        })
    }

    /// Counts a request until the returned guard is dropped.
    fn begin(self: &Arc<Self>) -> InUse {
        self.in_flight.fetch_add(1, Ordering::AcqRel);
        InUse { activity: self.clone(), unread: None }
    }

    /// Returns when the connection should close. Wakes once per idle time rather than once per
    /// request, so a client has that much longer for an answer.
    async fn ended(&self) -> End {
        loop {
            let now = Instant::now();
            let oldest = self.unread.lock().first().map(|(deadline, _)| *deadline);
            if oldest.is_some_and(|deadline| deadline <= now) {
                return End::Unread;
            }
            let until = match self.in_flight.load(Ordering::Acquire) {
                0 => *self.until.lock(),
                _ => oldest.map_or(now + self.idle, |deadline| deadline.min(now + self.idle)),
            };
            if until <= now {
                return End::Idle;
            }
            tokio::time::sleep_until(until).await;
        }
    }
}

/// The reason why a connection ends.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// Nothing has been in flight for the permitted time.
    Idle,
    /// A client has not read an answer in time, and still holds its memory.
    Unread,
}

/// A request under way, up to the end of its answer.
struct InUse {
    activity: Arc<Activity>,
    unread: Option<(Instant, u64)>,
}

impl InUse {
    /// Called when the answer is ready; the client must have read it by `deadline`.
    fn answered(&mut self, deadline: Instant) {
        let key = (deadline, self.activity.answers.fetch_add(1, Ordering::Relaxed));
        self.activity.unread.lock().insert(key);
        self.unread = Some(key);
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        let activity = &self.activity;
        if let Some(key) = &self.unread {
            activity.unread.lock().remove(key);
        }
        // In this order: a reader that sees nothing in flight also sees the new time.
        *activity.until.lock() = Instant::now() + activity.idle;
        activity.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}

/// An answer's body, which keeps its connection in use.
struct Answer {
    body: Body,
    _in_use: InUse,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Serves a connection to its end.
pub(crate) async fn serve(
    server: ApiServer,
    stream: TlsStream<TcpStream>,
    cancel: CancellationToken,
) {
    let _ = stream.get_ref().0.set_nodelay(true);
    let address = stream.get_ref().0.peer_addr().ok().map(|address| PeerAddress(address.ip()));
    let session = &stream.get_ref().1;
    let peer = Peer(Presented::of(session.peer_certificates()).map(Arc::new));
    let is_http2 = session.alpn_protocol() == Some(b"h2");
    let activity = Activity::new(HEAD, IDLE);
    let counted = activity.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let (server, peer, mut in_use) = (server.clone(), peer.clone(), counted.begin());
        async move {
            let mut request = request.map(|b| b.map_err(boxed).boxed_unsync());
            request.extensions_mut().insert(peer);
            if let Some(address) = address {
                request.extensions_mut().insert(address);
            }
            let answer: Response<Body> = server.handle(request, None).await;
            if let Some(Deadline(deadline)) = answer.extensions().get()
                && !answer.body().is_end_stream()
            {
                in_use.answered((*deadline).into());
            }
            Ok::<_, Infallible>(answer.map(|body| Answer { body, _in_use: in_use }))
        }
    });
    let stop = async {
        tokio::select! {
            end = activity.ended() => end,
            () = cancel.cancelled() => End::Idle,
        }
    };
    // A closing client may finish requests under way; an idle one has nothing to finish.
    let last = || async {
        if activity.in_flight.load(Ordering::Acquire) == 0 {
            tokio::time::sleep(FAREWELL).await;
        } else {
            activity.ended().await;
        }
    };
    macro_rules! drive {
        ($connection:expr) => {{
            let connection = $connection;
            tokio::pin!(connection);
            tokio::select! {
                _ = connection.as_mut() => return,
                end = stop => match end {
                    End::Idle => connection.as_mut().graceful_shutdown(),
                    End::Unread => return,
                },
            }
            tokio::select! {
                _ = connection => {}
                () = last() => {}
            }
        }};
    }
    let stream = TokioIo::new(stream);
    if is_http2 {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
            .keep_alive_interval(PING);
        drive!(builder.serve_connection(stream, service));
    } else {
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(HEAD);
        drive!(builder.serve_connection(stream, service).with_upgrades());
    }
}

fn boxed(e: hyper::Error) -> BoxError {
    Box::new(e)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_connection_ends_after_its_idle_time_and_not_before() {
        let (first, idle) = (Duration::from_millis(20), Duration::from_millis(40));
        let begun = Instant::now();
        assert_eq!(Activity::new(first, idle).ended().await, End::Idle);
        assert!(begun.elapsed() >= first, "no request came");

        let activity = Activity::new(first, idle);
        let request = activity.begin();
        tokio::select! {
            _ = activity.ended() => panic!("it was in use"),
            () = tokio::time::sleep(5 * idle) => {}
        }
        let answered = Instant::now();
        drop(request);
        assert_eq!(activity.ended().await, End::Idle);
        assert!(answered.elapsed() >= idle);
    }

    #[tokio::test]
    async fn whoever_does_not_read_an_answer_loses_the_connection() {
        let idle = Duration::from_millis(40);
        let activity = Activity::new(idle, idle);
        // A watch lasts as long as its client wants.
        let _watch = activity.begin();
        let (mut read, mut unread) = (activity.begin(), activity.begin());
        let now = Instant::now();
        read.answered(now);
        unread.answered(now + 2 * idle);
        drop(read);
        assert_eq!(activity.ended().await, End::Unread);
        assert!(now.elapsed() >= 2 * idle);
        drop(unread);
        assert!(activity.unread.lock().is_empty());
    }
}

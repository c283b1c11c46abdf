//! One TLS connection: its protocol, whose it is, and when it is idle for too long.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
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

use crate::authn::Peer;
use crate::body::{Body, BoxError};
use crate::server::ApiServer;

/// HTTP/2 resets by the client that are tolerated before the connection goes (rapid reset).
const MAX_PENDING_RESETS: usize = 64;
/// Streams of one HTTP/2 connection at once (upstream's default).
const MAX_STREAMS: u32 = 250;
/// Time for the head of a request, and for the first of them (upstream's `ReadHeaderTimeout`).
const HEAD: Duration = Duration::from_secs(32);
/// Time that a connection is kept without a request (upstream's `IdleTimeout`).
const IDLE: Duration = Duration::from_secs(90);
/// Time that an idle client has to acknowledge the end of its connection.
const FAREWELL: Duration = Duration::from_secs(5);
/// An HTTP/2 client that does not answer to pings so often is gone.
const PING: Duration = Duration::from_secs(30);

/// When a connection was last used.
struct Activity {
    in_flight: AtomicUsize,
    /// When it becomes too old, if nothing is in flight.
    until: Mutex<Instant>,
    /// How long it is kept without a request.
    idle: Duration,
}

impl Activity {
    /// `first` is the time for the first request.
    fn new(first: Duration, idle: Duration) -> Arc<Self> {
        let until = Mutex::new(Instant::now() + first);
        Arc::new(Self { in_flight: AtomicUsize::new(0), until, idle })
    }

    /// Counts a request until the returned guard is dropped.
    fn begin(self: &Arc<Self>) -> InUse {
        self.in_flight.fetch_add(1, Ordering::AcqRel);
        InUse(self.clone())
    }

    /// Returns when nothing has been in flight for the time that is allowed. Wakes once per such
    /// time, not once per request.
    async fn ended(&self) {
        loop {
            let until = match self.in_flight.load(Ordering::Acquire) {
                0 => *self.until.lock(),
                _ => Instant::now() + self.idle,
            };
            if until <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(until).await;
        }
    }
}

/// A request under way, up to the end of its answer.
struct InUse(Arc<Activity>);

impl Drop for InUse {
    fn drop(&mut self) {
        // In this order: whoever sees nothing in flight sees the new time too.
        *self.0.until.lock() = Instant::now() + self.0.idle;
        self.0.in_flight.fetch_sub(1, Ordering::AcqRel);
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
    let session = &stream.get_ref().1;
    let leaf = session.peer_certificates().and_then(|chain| chain.first());
    let certificate = leaf.and_then(|leaf| pki::ClientCertificate::from_der(leaf).ok());
    let peer = Peer(certificate.map(Arc::new));
    let is_http2 = session.alpn_protocol() == Some(b"h2");
    let activity = Activity::new(HEAD, IDLE);
    let counted = activity.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let (server, peer, in_use) = (server.clone(), peer.clone(), counted.begin());
        async move {
            let mut request = request.map(|b| b.map_err(boxed).boxed_unsync());
            request.extensions_mut().insert(peer);
            let answer: Response<Body> = server.handle(request, None).await;
            Ok::<_, Infallible>(answer.map(|body| Answer { body, _in_use: in_use }))
        }
    });
    let stop = async {
        tokio::select! {
            () = activity.ended() => {}
            () = cancel.cancelled() => {}
        }
    };
    // Whoever is told to leave may finish what is under way; an idle one has nothing to finish.
    let last = || async {
        if activity.in_flight.load(Ordering::Acquire) == 0 {
            tokio::time::sleep(FAREWELL).await;
        } else {
            std::future::pending::<()>().await;
        }
    };
    macro_rules! drive {
        ($connection:expr) => {{
            let connection = $connection;
            tokio::pin!(connection);
            tokio::select! {
                _ = connection.as_mut() => return,
                () = stop => connection.as_mut().graceful_shutdown(),
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
        Activity::new(first, idle).ended().await;
        assert!(begun.elapsed() >= first, "no request came");

        let activity = Activity::new(first, idle);
        let request = activity.begin();
        tokio::select! {
            () = activity.ended() => panic!("it was in use"),
            () = tokio::time::sleep(5 * idle) => {}
        }
        let answered = Instant::now();
        drop(request);
        activity.ended().await;
        assert!(answered.elapsed() >= idle);
    }
}

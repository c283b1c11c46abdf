//! The server behind a socket, and as a service inside this process.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::io::Write;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures::StreamExt;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, VARY};
use http::{Request, Response};
use http_body::Body as _;
use http_body_util::{BodyExt, BodyStream};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::body::{self, Body, BoxError};
use crate::server::ApiServer;
use crate::user::User;

/// A client that does not finish its TLS handshake by then is cut off.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);
/// Handshakes under way at once. When there are more, whoever has taken longest is cut off: clients
/// that say nothing must not stand before those that do.
const HANDSHAKES: usize = 512;
/// Time for connections to finish when the server stops.
const DRAIN: Duration = Duration::from_secs(2);

impl ApiServer {
    /// Serves TLS connections until `cancel`, then lets them finish for a moment.
    pub async fn serve(
        &self,
        listener: TcpListener,
        tls: rustls::ServerConfig,
        cancel: CancellationToken,
    ) {
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let mut handshakes: VecDeque<AbortHandle> = VecDeque::new();
        let connections = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = cancel.cancelled() => break,
            };
            let Ok((stream, _)) = accepted else {
                // Out of file descriptors, most likely: let some connections end first.
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            let (server, acceptor, cancel) = (self.clone(), acceptor.clone(), cancel.clone());
            let tracker = connections.clone();
            let failures = self.0.metrics.handshake_errors.clone();
            let handshake = connections.spawn(async move {
                let shaken =
                    tokio::time::timeout(HANDSHAKE_DEADLINE, acceptor.accept(stream)).await;
                match shaken {
                    Ok(Ok(stream)) => {
                        tracker.spawn(crate::connection::serve(server, stream, cancel));
                    }
                    _ => failures.inc(),
                }
            });
            handshakes.push_back(handshake.abort_handle());
            if handshakes.len() > HANDSHAKES {
                handshakes.retain(|handshake| !handshake.is_finished());
            }
            if handshakes.len() > HANDSHAKES
                && let Some(oldest) = handshakes.pop_front()
            {
                oldest.abort();
            }
        }
        connections.close();
        let _ = tokio::time::timeout(DRAIN, connections.wait()).await;
    }

    /// The server as a service for callers in this process, who say who they are.
    pub fn in_process(&self) -> InProcess {
        InProcess(self.clone())
    }
}

/// A tower service without a socket. The caller's [`User`] is read from the request's extensions,
/// where nothing from a network can put it.
#[derive(Clone)]
pub struct InProcess(ApiServer);

impl<B> tower::Service<Request<B>> for InProcess
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let server = self.0.clone();
        let user = request.extensions().get::<User>().cloned();
        let request = request.map(|body| body.map_err(Into::into).boxed_unsync());
        Box::pin(async move {
            let user = user.unwrap_or_else(User::anonymous);
            Ok(server.handle(request, Some(user)).await)
        })
    }
}

/// Smaller answers are not worth compressing (upstream: 128 KiB).
const COMPRESS_FROM: u64 = 128 << 10;

/// Compresses an answer as it is sent, if it is large and not a watch.
pub(crate) fn compress(response: Response<Body>) -> Response<Body> {
    let headers = response.headers();
    let hint = response.body().size_hint();
    let large = hint.exact().is_some_and(|n| n > COMPRESS_FROM);
    let ours = headers.get(CONTENT_TYPE).is_some_and(|t| {
        t.to_str().is_ok_and(|t| t.starts_with("application/") && !t.contains("stream=watch"))
    });
    if !large || !ours || headers.contains_key(CONTENT_ENCODING) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    parts.headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    parts.headers.append(VARY, HeaderValue::from_static("Accept-Encoding"));
    let encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let state = (BodyStream::new(body), Some(encoder));
    let stream = futures::stream::unfold(state, |(mut body, encoder)| async move {
        let mut encoder = encoder?;
        loop {
            match body.next().await {
                Some(Ok(frame)) => {
                    let data = frame.into_data().unwrap_or_default();
                    if let Err(e) = encoder.write_all(&data) {
                        return Some((Err(e.into()), (body, None)));
                    }
                    if encoder.get_ref().len() > 32 << 10 {
                        let chunk = Bytes::from(std::mem::take(encoder.get_mut()));
                        return Some((Ok(chunk), (body, Some(encoder))));
                    }
                }
                Some(Err(e)) => return Some((Err(e), (body, None))),
                None => {
                    let last = encoder.finish().map(Bytes::from).map_err(Into::into);
                    return Some((last, (body, None)));
                }
            }
        }
    });
    Response::from_parts(parts, body::stream(stream))
}

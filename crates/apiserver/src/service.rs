//! The server on a socket, and as a service in this process.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::authn::Trusted;
use crate::body::{Body, BoxError};
use crate::server::ApiServer;
use crate::user::User;

/// Time limit of a TLS handshake.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);
/// Maximum number of concurrent handshakes. Beyond it the longest is aborted: idle clients must not
/// keep out others.
const HANDSHAKES: usize = 512;
/// Time for connections to finish when the server stops.
const DRAIN: Duration = Duration::from_secs(2);

/// The TLS of a server: a certificate, and a hint to clients whose certificates count. Any is taken,
/// for the server verifies who signed it.
pub struct Tls {
    issued: pki::Issued,
    trusted: watch::Receiver<Trusted>,
    acceptor: TlsAcceptor,
}

fn acceptor(issued: &pki::Issued, trusted: &watch::Receiver<Trusted>) -> pki::Result<TlsAcceptor> {
    let Trusted { users, proxies } = trusted.borrow().clone();
    let authorities: Vec<&str> =
        std::iter::once(users.as_str()).chain(proxies.as_deref()).collect();
    let tls = pki::tls::asking_server(issued, &authorities, &["h2", "http/1.1"])?;
    Ok(TlsAcceptor::from(Arc::new(tls)))
}

impl ApiServer {
    /// The TLS of this server with its certificate.
    ///
    /// # Errors
    /// The certificate cannot be used.
    pub fn tls(&self, issued: pki::Issued) -> pki::Result<Tls> {
        let trusted = self.0.authn.trusted();
        let acceptor = acceptor(&issued, &trusted)?;
        Ok(Tls { issued, trusted, acceptor })
    }

    /// Serves TLS connections until `cancel`, then gives them a moment to finish.
    pub async fn serve(&self, listener: TcpListener, tls: Tls, cancel: CancellationToken) {
        let Tls { issued, mut trusted, mut acceptor } = tls;
        let mut handshakes: VecDeque<AbortHandle> = VecDeque::new();
        let connections = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                Ok(()) = trusted.changed() => {
                    // They were read, so that this does not fail.
                    acceptor = self::acceptor(&issued, &trusted).unwrap_or(acceptor);
                    continue;
                }
                () = cancel.cancelled() => break,
            };
            let Ok((stream, _)) = accepted else {
                // Probably out of file descriptors: let some connections end first.
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

    /// The server as a service for callers in this process, which set their user themselves.
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

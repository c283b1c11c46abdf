//! Health and metrics of a component that runs alone in its process.

mod access;
mod answers;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use telemetry::metrics::{Registry, ServiceLevels};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

pub(crate) use access::Access;

/// Clients at once; more wait to be accepted.
const CONNECTIONS: usize = 128;
/// Time for a TLS handshake, and for the head of a request.
const HEAD: Duration = Duration::from_secs(30);

/// The endpoints of one component.
pub(crate) struct Endpoints {
    registry: Registry,
    levels: ServiceLevels,
    /// `/metrics/resources` of the scheduler.
    resources: Option<Registry>,
    /// Health of the service proxy, which has answers of its own.
    proxy: Option<proxy::Health>,
    /// Authorization of readers; `None` lets every client read.
    access: Option<Access>,
}

impl Endpoints {
    /// The metrics of a registry, open to every client.
    pub(crate) fn new(registry: &Registry) -> Self {
        let (registry, levels) = (registry.clone(), ServiceLevels::default());
        Self { registry, levels, resources: None, proxy: None, access: None }
    }

    /// Health and nothing else.
    pub(crate) fn of_health() -> Self {
        Self::new(&Registry::bare())
    }

    /// For those alone whom the API server lets read them.
    pub(crate) fn guarded(self, access: Access) -> Self {
        Self { access: Some(access), ..self }
    }

    pub(crate) fn with_resources(self, resources: Registry) -> Self {
        Self { resources: Some(resources), ..self }
    }

    pub(crate) fn with_proxy(self, health: proxy::Health) -> Self {
        Self { proxy: Some(health), ..self }
    }
}

/// A registry with the metrics of the process that every component has.
pub(crate) fn registry() -> Registry {
    let registry = Registry::new();
    telemetry::metrics::process(&registry);
    telemetry::metrics::build_info(&registry, apiserver::VERSION);
    registry
}

/// Serves on `address`, by TLS if there is a configuration, until `cancel`.
///
/// # Errors
/// The address is not to be had.
pub(crate) async fn serve(
    address: SocketAddr,
    tls: Option<rustls::ServerConfig>,
    endpoints: Endpoints,
    cancel: CancellationToken,
) -> Result<SocketAddr> {
    let listener =
        TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
    let address = listener.local_addr()?;
    let acceptor = tls.map(|tls| TlsAcceptor::from(Arc::new(tls)));
    let router = endpoints.router();
    telemetry::task::spawn("serving", async move {
        cancel.run_until_cancelled(accept(listener, acceptor, router)).await;
    });
    Ok(address)
}

async fn accept(listener: TcpListener, acceptor: Option<TlsAcceptor>, router: Router) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = tokio::task::JoinSet::new();
    loop {
        // The semaphore is never closed.
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "connection not accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (acceptor, router) = (acceptor.clone(), router.clone());
        connections.spawn(async move {
            let _place = place;
            let Some(acceptor) = acceptor else { return answer(stream, router, None).await };
            let shaken = tokio::time::timeout(HEAD, acceptor.accept(stream)).await;
            let Ok(Ok(stream)) = shaken else { return };
            let chain = stream.get_ref().1.peer_certificates();
            let leaf = chain.and_then(|chain| chain.first());
            let peer = leaf.and_then(|leaf| pki::ClientCertificate::from_der(leaf).ok());
            answer(stream, router, peer.map(Arc::new)).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn answer<S>(stream: S, router: Router, peer: Option<Arc<pki::ClientCertificate>>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |mut request: Request<Incoming>| {
        if let Some(peer) = &peer {
            request.extensions_mut().insert(peer.clone());
        }
        router.clone().oneshot(request)
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "connection ended");
    }
}

#[cfg(test)]
mod tests;

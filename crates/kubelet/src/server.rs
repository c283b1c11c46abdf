//! The kubelet's own HTTPS server: logs, exec, attach, port-forward, pods, metrics.

mod auth;
mod configz;
mod find;
pub(crate) mod logs;
mod measure;
mod metrics;
mod portforward;
mod query;
mod remote;
mod routes;
mod running;
mod stats;
mod system_logs;
mod websocket;

use std::convert::Infallible;
use std::sync::Arc;

use axum::response::Response;
use http::StatusCode;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::config::ServerConfig;
use crate::context::Context;
pub(crate) use metrics::VolumeStats;
use pki::ClientCertificate;
use routes::Routes;
pub(crate) use stats::Rates;

/// How long a client may take for its TLS handshake and its request head.
const HEAD_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(30);

type Answer = Response;
/// An answer in place of what was asked for.
type Refusal = Box<Answer>;

/// A server that listens and does not serve yet.
pub(crate) struct Server {
    routes: Routes,
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

/// Takes the port.
pub(crate) async fn bind(context: Arc<Context>, config: &ServerConfig) -> std::io::Result<Server> {
    let acceptor = TlsAcceptor::from(config.tls.clone());
    let listener = TcpListener::bind(config.listen).await?;
    Ok(Server { routes: routes::service(context), listener, acceptor })
}

impl Server {
    /// Serves until `cancel`, which also ends open streams.
    pub(crate) async fn run(self, cancel: CancellationToken) {
        let mut connections = JoinSet::new();
        let accept = async {
            loop {
                tokio::select! {
                    accepted = self.listener.accept() => match accepted {
                        Ok((stream, _)) => {
                            let (routes, acceptor) = (self.routes.clone(), self.acceptor.clone());
                            connections.spawn(serve(routes, acceptor, stream));
                        }
                        // Out of descriptors: others may close theirs meanwhile.
                        Err(error) => {
                            tracing::warn!(%error, "kubelet connection not accepted");
                            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                        }
                    },
                    Some(_) = connections.join_next() => {}
                }
            }
        };
        let _: Option<Infallible> = cancel.run_until_cancelled(accept).await;
    }
}

async fn serve(routes: Routes, acceptor: TlsAcceptor, stream: TcpStream) {
    // Interactive sessions send single keys.
    let _ = stream.set_nodelay(true);
    let Ok(Ok(stream)) = tokio::time::timeout(HEAD_TIMEOUT, acceptor.accept(stream)).await else {
        return;
    };
    let certificates = stream.get_ref().1.peer_certificates();
    let leaf = certificates.and_then(|chain| chain.first());
    let certificate = leaf.and_then(|leaf| ClientCertificate::from_der(leaf).ok()).map(Arc::new);
    let service = hyper::service::service_fn(move |mut request: http::Request<Incoming>| {
        if let Some(certificate) = &certificate {
            request.extensions_mut().insert(certificate.clone());
        }
        routes.clone().oneshot(request)
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "kubelet connection ended");
    }
}

/// A failure as a `Status`, which the API server passes on as it is.
fn refuse(status: StatusCode, message: impl Into<String>) -> Answer {
    let reason = match status {
        StatusCode::BAD_REQUEST => "BadRequest",
        StatusCode::UNAUTHORIZED => "Unauthorized",
        StatusCode::FORBIDDEN => "Forbidden",
        StatusCode::NOT_FOUND => "NotFound",
        StatusCode::METHOD_NOT_ALLOWED => "MethodNotAllowed",
        _ => "InternalError",
    };
    let mut answer = json(&serde_json::json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message.into(), "reason": reason, "code": status.as_u16(),
    }));
    *answer.status_mut() = status;
    answer
}

/// A short answer in plain text.
fn text(status: StatusCode, message: impl Into<String>) -> Answer {
    let message: String = message.into();
    let mut response = Response::new(message.into());
    *response.status_mut() = status;
    let plain = http::HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(http::header::CONTENT_TYPE, plain);
    response
}

fn json(value: &impl serde::Serialize) -> Answer {
    match serde_json::to_vec(value) {
        Ok(bytes) => {
            let mut response = Response::new(bytes.into());
            let json = http::HeaderValue::from_static("application/json");
            response.headers_mut().insert(http::header::CONTENT_TYPE, json);
            response
        }
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

#[cfg(test)]
mod tests;

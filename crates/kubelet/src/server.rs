//! The kubelet's own HTTPS server: logs, exec, attach, port-forward, pods, metrics.

mod auth;
mod configz;
mod find;
pub(crate) mod logs;
mod metrics;
mod portforward;
mod remote;
mod routes;
mod running;
mod stats;
mod system_logs;
mod websocket;

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use telemetry::metrics::Timer;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::config::ServerConfig;
use crate::context::Context;
pub(crate) use metrics::VolumeStats;
use pki::ClientCertificate;
pub(crate) use stats::Rates;

/// How long a client may take for its TLS handshake and its request head.
const HEAD_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(30);

type Body = UnsyncBoxBody<Bytes, std::io::Error>;
type Answer = Response<Body>;
/// An answer in place of what was asked for.
type Refusal = Box<Answer>;

/// A server that listens and does not serve yet.
pub(crate) struct Server {
    context: Arc<Context>,
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

/// Takes the port.
pub(crate) async fn bind(context: Arc<Context>, config: &ServerConfig) -> std::io::Result<Server> {
    let acceptor = TlsAcceptor::from(config.tls.clone());
    let listener = TcpListener::bind(config.listen).await?;
    Ok(Server { context, listener, acceptor })
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
                            let (context, acceptor) = (self.context.clone(), self.acceptor.clone());
                            connections.spawn(serve(context, acceptor, stream));
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

async fn serve(context: Arc<Context>, acceptor: TlsAcceptor, stream: TcpStream) {
    // Interactive sessions send single keys.
    let _ = stream.set_nodelay(true);
    let Ok(Ok(stream)) = tokio::time::timeout(HEAD_TIMEOUT, acceptor.accept(stream)).await else {
        return;
    };
    let certificates = stream.get_ref().1.peer_certificates();
    let leaf = certificates.and_then(|chain| chain.first());
    let certificate = leaf.and_then(|leaf| ClientCertificate::from_der(leaf).ok()).map(Arc::new);
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let (context, certificate) = (context.clone(), certificate.clone());
        async move { Ok::<_, Infallible>(answer(context, certificate.as_deref(), request).await) }
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

async fn answer(
    context: Arc<Context>,
    certificate: Option<&ClientCertificate>,
    request: Request<Incoming>,
) -> Answer {
    let identity = certificate.and_then(ClientCertificate::identity).cloned();
    match auth::check(&context, identity, &request).await {
        Ok(()) => {
            let labels = labels(&request);
            let requests = &context.metrics.requests;
            requests.total.with(labels).inc();
            let _in_flight = requests.in_flight.with(labels).held();
            let _timed = Timer::start(requests.times.with(labels));
            routes::route(context.clone(), request).await
        }
        Err((status, message)) => refuse(status, message),
    }
}

/// Labels of a request: of all that a client may write, these words alone.
fn labels(request: &Request<Incoming>) -> [&'static str; 4] {
    const PATHS: [&str; 10] = [
        "attach",
        "configz",
        "containerLogs",
        "exec",
        "healthz",
        "logs",
        "metrics",
        "pods",
        "portForward",
        "stats",
    ];
    const DEEPER: [(&str, &str); 3] = [
        ("metrics/cadvisor", "metrics/cadvisor"),
        ("metrics/probes", "metrics/probes"),
        ("metrics/resource", "metrics/resource"),
    ];
    let path = request.uri().path().trim_start_matches('/');
    let deeper = DEEPER.into_iter().find(|(known, _)| *known == path).map(|(_, path)| path);
    let first = path.split('/').next().unwrap_or_default();
    let path = deeper.or_else(|| PATHS.into_iter().find(|known| *known == first));
    let path = path.unwrap_or("other");
    let method = match *request.method() {
        http::Method::GET => "GET",
        http::Method::POST => "POST",
        _ => "other",
    };
    let lasts = matches!(path, "exec" | "attach" | "portForward" | "containerLogs" | "debug");
    [method, path, "readwrite", if lasts { "true" } else { "false" }]
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
    let mut response = Response::new(full(message.into()));
    *response.status_mut() = status;
    let plain = http::HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(http::header::CONTENT_TYPE, plain);
    response
}

fn json(value: &impl serde::Serialize) -> Answer {
    match serde_json::to_vec(value) {
        Ok(bytes) => {
            let mut response = Response::new(full(bytes));
            let json = http::HeaderValue::from_static("application/json");
            response.headers_mut().insert(http::header::CONTENT_TYPE, json);
            response
        }
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

fn full(content: impl Into<Bytes>) -> Body {
    Full::new(content.into()).map_err(|never: Infallible| match never {}).boxed_unsync()
}

#[cfg(test)]
mod tests;

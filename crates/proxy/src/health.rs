//! Health checks of load balancers: does this node have an endpoint of the service?

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use axum::Router;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderName};
use axum::response::{IntoResponse, Response};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use k8s_openapi::api::core::v1::Service;
use network::netns;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A client that does not ask within this time is cut off.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);

/// The servers of all `healthCheckNodePort`s.
#[derive(Default)]
pub(crate) struct HealthServers {
    netns: Option<PathBuf>,
    running: HashMap<(String, String), Server>,
}

struct Server {
    port: u16,
    endpoints: watch::Sender<usize>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl HealthServers {
    pub(crate) fn new(netns: Option<PathBuf>) -> Self {
        Self { netns, running: HashMap::new() }
    }

    /// Starts, updates or ends the server of a service.
    pub(crate) fn update(
        &mut self,
        namespace: &str,
        name: &str,
        service: Option<&Service>,
        endpoints: usize,
    ) {
        let key = (namespace.to_owned(), name.to_owned());
        let port = service
            .and_then(|service| service.spec.as_ref()?.health_check_node_port)
            .and_then(|port| u16::try_from(port).ok())
            .filter(|port| *port != 0);
        let Some(port) = port else {
            self.running.remove(&key);
            return;
        };
        if let Some(server) = self.running.get(&key).filter(|server| server.port == port) {
            server.endpoints.send_replace(endpoints);
            return;
        }
        self.running.remove(&key);
        match listen(self.netns.as_deref(), port) {
            Ok(listener) => {
                let (sender, receiver) = watch::channel(endpoints);
                let task =
                    telemetry::task::spawn("health-check", serve(listener, key.clone(), receiver));
                self.running.insert(key, Server { port, endpoints: sender, task });
            }
            Err(error) => tracing::warn!(namespace, name, port, %error, "no service health check"),
        }
    }
}

fn listen(netns: Option<&Path>, port: u16) -> network::Result<TcpListener> {
    let handle = tokio::runtime::Handle::current();
    netns::run_in(netns, || {
        let _inside = handle.enter();
        let open = || {
            let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
            let listener = std::net::TcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            TcpListener::from_std(listener)
        };
        open().map_err(|source| network::Error::Io { what: format!("listen on {port}"), source })
    })
}

async fn serve(listener: TcpListener, key: (String, String), endpoints: watch::Receiver<usize>) {
    // Every path and method gets the same answer, as upstream's does.
    let router = Router::new().fallback(async move || answer(&key, *endpoints.borrow()));
    while let Ok((stream, _)) = listener.accept().await {
        let router = TowerToHyperService::new(router.clone());
        // One request each: a connection that stays open would outlive the service.
        let connection =
            http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(stream), router);
        telemetry::task::spawn("health-answer", tokio::time::timeout(PATIENCE, connection));
    }
}

fn answer((namespace, name): &(String, String), endpoints: usize) -> Response {
    let status = if endpoints == 0 { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    let weight = HeaderName::from_static("x-load-balancing-endpoint-weight");
    let headers = [(CONTENT_TYPE, "application/json".to_owned()), (weight, endpoints.to_string())];
    let body = serde_json::json!({
        "service": {"namespace": namespace, "name": name},
        "localEndpoints": endpoints,
        "serviceProxyHealthy": true,
    });
    (status, headers, body.to_string()).into_response()
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn the_status_tells_whether_endpoints_are_here() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (endpoints, receiver) = watch::channel(0);
        let key = ("ns".to_owned(), "web".to_owned());
        let server = tokio::spawn(serve(listener, key, receiver));
        for (count, status) in [(0, "HTTP/1.1 503 "), (2, "HTTP/1.1 200 ")] {
            endpoints.send_replace(count);
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(b"GET /x HTTP/1.1\r\nHost: n\r\n\r\n").await.unwrap();
            let mut text = String::new();
            // To the end: the server closes the connection.
            stream.read_to_string(&mut text).await.unwrap();
            assert!(text.starts_with(status), "{text}");
            for part in [
                "content-type: application/json\r\n".to_owned(),
                "connection: close\r\n".to_owned(),
                format!("x-load-balancing-endpoint-weight: {count}\r\n"),
                format!("\r\n\r\n{{\"localEndpoints\":{count},\"service\":{{"),
            ] {
                assert!(text.contains(&part), "{part} is not in {text}");
            }
        }
        server.abort();
    }
}

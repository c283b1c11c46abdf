//! Health checks of load balancers: does this node have an endpoint of the service?

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Service;
use network::netns;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
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
    while let Ok((stream, _)) = listener.accept().await {
        let reply = reply(&key, *endpoints.borrow());
        telemetry::task::spawn("health-answer", async move {
            tokio::time::timeout(PATIENCE, answer(stream, reply)).await
        });
    }
}

async fn answer(mut stream: TcpStream, reply: String) -> std::io::Result<()> {
    // Every request gets the same answer; its head only has to be read.
    let mut head = Vec::new();
    while !head.windows(4).any(|bytes| bytes == b"\r\n\r\n") && head.len() < 8192 {
        if stream.read_buf(&mut head).await? == 0 {
            break;
        }
    }
    stream.write_all(reply.as_bytes()).await?;
    stream.shutdown().await
}

fn reply((namespace, name): &(String, String), endpoints: usize) -> String {
    let status = if endpoints == 0 { "503 Service Unavailable" } else { "200 OK" };
    let body = serde_json::json!({
        "service": {"namespace": namespace, "name": name},
        "localEndpoints": endpoints,
        "serviceProxyHealthy": true,
    })
    .to_string();
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nX-Load-Balancing-Endpoint-Weight: \
         {endpoints}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_tells_whether_endpoints_are_here() {
        let key = ("ns".to_owned(), "web".to_owned());
        assert!(reply(&key, 0).starts_with("HTTP/1.1 503 "));
        let text = reply(&key, 2);
        assert!(text.starts_with("HTTP/1.1 200 ") && text.contains("\"localEndpoints\":2"));
    }
}

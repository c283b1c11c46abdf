//! Clients that misbehave at the level of connections: others are served all the same, and the
//! server does not grow.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use e2e::Cluster;
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls_pki_types::ServerName;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Growth that is allowed, in KiB: buffers of a thousand connections, not of their requests.
const GROWTH: u64 = 80 * 1024;
/// Far more than an answer takes.
const PATIENCE: Duration = Duration::from_secs(5);

fn simulated() -> Cluster {
    Cluster::with(&["--runtime", "simulated"])
}

/// Resident memory of the cluster's process in KiB.
fn resident(cluster: &Cluster) -> u64 {
    let path = format!("/proc/{}/status", cluster.pid());
    let status = std::fs::read_to_string(path).expect("it runs");
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).expect("its memory");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

async fn connect(cluster: &Cluster, protocol: &str) -> TlsStream<TcpStream> {
    let path = cluster.dir().join("kubeconfig/admin.conf");
    let credentials = pki::kubeconfig::read(&path).expect("a kubeconfig");
    let mut config = pki::tls::client(&credentials.client, &credentials.ca).expect("its keys");
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    let stream = TcpStream::connect(cluster.listen()).await.expect("a connection");
    let name = ServerName::from(cluster.listen().ip());
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.expect("a handshake")
}

/// A request of its own connection, answered in time.
async fn is_served(cluster: &Cluster) {
    let work = async {
        let stream = TokioIo::new(connect(cluster, "http/1.1").await);
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(stream).await.expect("HTTP");
        tokio::spawn(connection);
        let request = Request::get("/api/v1/nodes").header("host", "kubernetes");
        let request = request.body(Empty::<Bytes>::new()).expect("a request");
        let response = sender.send_request(request).await.expect("an answer");
        assert_eq!(response.status(), 200);
        response.into_body().collect().await.expect("its body");
    };
    tokio::time::timeout(PATIENCE, work).await.expect("an answer in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_half_open_connections_keep_nobody_out() {
    let cluster = simulated();
    is_served(&cluster).await;
    let before = resident(&cluster);
    let mut open = Vec::new();
    for i in 0..1000 {
        let mut stream = TcpStream::connect(cluster.listen()).await.expect("a connection");
        if i % 2 == 0 {
            // The beginning of a ClientHello.
            stream.write_all(&[0x16, 0x03, 0x01, 0x02, 0x00, 0x01]).await.expect("written");
        }
        open.push(stream);
    }
    is_served(&cluster).await;
    let after = resident(&cluster);
    assert!(after < before + GROWTH, "{before} KiB grew to {after} KiB");
}

#[tokio::test(flavor = "multi_thread")]
async fn rapid_resets_end_the_connection_of_who_sends_them() {
    let cluster = simulated();
    is_served(&cluster).await;
    let before = resident(&cluster);
    let stream = connect(&cluster, "h2").await;
    let (sender, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
    let connection = tokio::spawn(connection);
    let mut sender = Some(sender);
    for _ in 0..20_000 {
        let Ok(mut ready) = sender.take().expect("the last sender").ready().await else { break };
        let request = Request::get("https://kubernetes/api/v1/pods").body(()).expect("a request");
        let Ok((_, mut stream)) = ready.send_request(request, true) else { break };
        stream.send_reset(h2::Reason::CANCEL);
        sender = Some(ready);
    }
    assert!(sender.is_none(), "20,000 resets were taken without complaint");
    let ended = tokio::time::timeout(PATIENCE, connection).await.expect("the connection ends");
    ended.expect("no panic").expect_err("it ends with an error");
    is_served(&cluster).await;
    let after = resident(&cluster);
    assert!(after < before + GROWTH, "{before} KiB grew to {after} KiB");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_that_stops_reading_slows_nobody() {
    let cluster = simulated();
    let stream = TokioIo::new(connect(&cluster, "h2").await);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.expect("HTTP/2");
    tokio::spawn(connection);
    // Streams of one connection and connections of their own: nobody reads.
    let mut stuck = Vec::new();
    for _ in 0..50 {
        let request = Request::get("https://kubernetes/api/v1/configmaps?watch=1");
        let request = request.body(Empty::<Bytes>::new()).expect("a request");
        stuck.push(sender.send_request(request).await.expect("an answer"));
    }
    let mut alone = connect(&cluster, "http/1.1").await;
    let watch = "GET /api/v1/configmaps?watch=1 HTTP/1.1\r\nhost: kubernetes\r\n\r\n";
    alone.write_all(watch.as_bytes()).await.expect("written");

    let before = resident(&cluster);
    let path = cluster.dir().join("big.json");
    let write = |round: usize| {
        let items: Vec<_> = (0..20)
            .map(|i| {
                serde_json::json!({
                    "apiVersion": "v1", "kind": "ConfigMap",
                    "metadata": {"name": format!("big-{i}"), "namespace": "default"},
                    "data": {"round": round.to_string(), "text": "x".repeat(100_000)},
                })
            })
            .collect();
        let list = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": items});
        std::fs::write(&path, list.to_string()).expect("written");
        let apply = format!("apply --server-side --force-conflicts -f {}", path.display());
        cluster.kubectl(&apply).ok();
    };
    // 80 MB of events: many times what sockets and logs may hold.
    for round in 0..40 {
        write(round);
    }
    is_served(&cluster).await;
    let after = resident(&cluster);
    // The log of events is bounded by its own limit whatever the watchers do.
    assert!(after < before + 2 * GROWTH, "{before} KiB grew to {after} KiB");
    drop(stuck);
}

//! The baseline of `list` and `watch`: a static buffer behind the same hyper and rustls stack; and the
//! webhook of `extension`.
//!
//! It runs in a process of its own, as the API server does, and with that cluster's certificate.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context, Result};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rustls::server::WebPkiClientVerifier;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use crate::http::Endpoint;
use crate::process;

/// Answers with the whole buffer at once.
pub(crate) const BUFFER: &str = "/buffer";
/// Answers with the head at once, and with the buffer after [`OPEN`] was requested.
pub(crate) const GATED: &str = "/gated";
/// Lets every [`GATED`] answer go on.
pub(crate) const OPEN: &str = "/open";
/// Allows what an admission review asks.
pub(crate) const REVIEW: &str = "/review";

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// The running baseline server.
pub(crate) struct Fixture {
    child: Child,
    pub(crate) endpoint: Endpoint,
}

impl Fixture {
    /// Serves `buffer` with the certificate of the cluster in `dir`.
    pub(crate) async fn start(cluster: &Path, buffer: &[u8]) -> Result<Self> {
        let file = cluster.join("buffer");
        std::fs::write(&file, buffer)?;
        let mut child = Command::new(std::env::current_exe()?)
            .arg("--serve")
            .args([cluster, &file])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stdout = child.stdout.take().context("its output is not piped")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).await?;
        let address: SocketAddr = line.trim().parse().context("the baseline server ended")?;
        let endpoint = Endpoint::new(cluster, address)?;
        Ok(Self { child, endpoint })
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id().unwrap_or_default()
    }

    pub(crate) async fn stop(mut self) {
        process::stop(&mut self.child).await;
    }
}

/// Serves the file of a [`Fixture`] until the process is stopped.
pub(crate) async fn serve(cluster: &Path, file: &Path) -> Result<()> {
    let buffer = Bytes::from(std::fs::read(file)?);
    let roots = Arc::new(crate::http::authority(cluster)?);
    let (chain, key) = crate::http::identity(cluster, "apiserver")?;
    let verifier = WebPkiClientVerifier::builder(roots).allow_unauthenticated().build()?;
    let mut config = rustls::ServerConfig::builder()
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    let gate = Arc::new(watch::channel(false).0);
    loop {
        let (stream, _) = listener.accept().await?;
        let (acceptor, buffer, gate) = (acceptor.clone(), buffer.clone(), gate.clone());
        tokio::spawn(async move {
            stream.set_nodelay(true)?;
            let stream = acceptor.accept(stream).await?;
            let service = service_fn(move |request: Request<Incoming>| {
                let (buffer, gate) = (buffer.clone(), gate.clone());
                async move {
                    Ok::<_, io::Error>(Response::new(match request.uri().path() {
                        REVIEW => reviewed(request).await?,
                        path => answer(path, &buffer, &gate),
                    }))
                }
            });
            let builder = auto::Builder::new(TokioExecutor::new());
            let _ = builder.serve_connection(TokioIo::new(stream), service).await;
            Ok::<_, io::Error>(())
        });
    }
}

/// The review with an answer to it.
async fn reviewed(request: Request<Incoming>) -> io::Result<Body> {
    let asked = request.into_body().collect().await.map_err(io::Error::other)?.to_bytes();
    let asked: Value = serde_json::from_slice(&asked)?;
    let review = json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "response": {"uid": asked["request"]["uid"], "allowed": true},
    });
    Ok(Full::new(Bytes::from(review.to_string())).boxed_unsync())
}

fn answer(path: &str, buffer: &Bytes, gate: &watch::Sender<bool>) -> Body {
    match path {
        GATED => {
            let (mut opened, buffer) = (gate.subscribe(), buffer.clone());
            let body = futures::stream::once(async move {
                let _ = opened.wait_for(|open| *open).await;
                Ok(Frame::data(buffer))
            });
            StreamBody::new(body).boxed_unsync()
        }
        OPEN => {
            gate.send_replace(true);
            Full::default().boxed_unsync()
        }
        _ => Full::new(buffer.clone()).boxed_unsync(),
    }
}

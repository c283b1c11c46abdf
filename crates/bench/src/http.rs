//! A client that adds as little as possible to what it measures.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Protobuf as Kubernetes clients ask for it.
pub(crate) const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
/// JSON.
pub(crate) const JSON: &str = "application/json";

/// Certificates and key kept as PEM in `certs/` of a cluster directory.
pub(crate) fn identity(
    cluster: &Path,
    name: &str,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
    let file = |end: &str| cluster.join(format!("certs/{name}.{end}"));
    let chain = CertificateDer::pem_file_iter(file("crt"))
        .with_context(|| file("crt").display().to_string())?
        .collect::<Result<_, _>>()?;
    let key = PrivateKeyDer::from_pem_file(file("key"))
        .with_context(|| file("key").display().to_string())?;
    Ok((chain, key))
}

/// The authority of a cluster directory.
pub(crate) fn authority(cluster: &Path) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(cluster.join("certs/ca.crt"))? {
        roots.add(certificate?)?;
    }
    Ok(roots)
}

/// Where a server is and how to reach it as the cluster's administrator.
#[derive(Clone)]
pub(crate) struct Endpoint {
    pub(crate) address: SocketAddr,
    tls: TlsConnector,
    http2: TlsConnector,
}

impl Endpoint {
    pub(crate) fn new(cluster: &Path, address: SocketAddr) -> Result<Self> {
        let (chain, key) = identity(cluster, "admin")?;
        let mut config = ClientConfig::builder()
            .with_root_certificates(authority(cluster)?)
            .with_client_auth_cert(chain, key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let tls = TlsConnector::from(Arc::new(config.clone()));
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Self { address, tls, http2: TlsConnector::from(Arc::new(config)) })
    }

    async fn stream(&self, connector: &TlsConnector) -> Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::IpAddress(self.address.ip().into());
        Ok(connector.connect(name, stream).await?)
    }

    /// A TLS connection that will speak HTTP/1.1.
    pub(crate) async fn connect(&self) -> Result<TlsStream<TcpStream>> {
        self.stream(&self.tls).await
    }

    /// An HTTP/2 connection; clones share it.
    pub(crate) async fn http2(&self) -> Result<Requests> {
        let stream = self.stream(&self.http2).await?;
        let (send, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Requests { send, address: self.address })
    }

    /// Fetches `path` over a connection of its own; what is counted starts with the request.
    pub(crate) async fn fetch(&self, path: &str, accept: &str) -> Result<Fetched> {
        self.fetcher().await?.fetch(path, accept).await
    }

    /// A connection for one fetch after the other.
    pub(crate) async fn fetcher(&self) -> Result<Fetcher> {
        let (send, connection) = http1::handshake(TokioIo::new(self.connect().await?)).await?;
        tokio::spawn(connection);
        Ok(Fetcher { send, address: self.address })
    }
}

/// A connection for one fetch after the other.
pub(crate) struct Fetcher {
    send: http1::SendRequest<Full<Bytes>>,
    address: SocketAddr,
}

impl Fetcher {
    /// Fetches `path`.
    pub(crate) async fn fetch(&mut self, path: &str, accept: &str) -> Result<Fetched> {
        let request = Request::get(path)
            .header("host", self.address.to_string())
            .header("accept", accept)
            .body(Full::new(Bytes::new()))?;
        self.send.ready().await?;
        let begun = Instant::now();
        let mut response = self.send.send_request(request).await?;
        let status = response.status();
        let mut chunks = Vec::new();
        while let Some(frame) = response.frame().await {
            if let Ok(data) = frame?.into_data() {
                chunks.push(data);
            }
        }
        let took = begun.elapsed();
        ensure!(status == StatusCode::OK, "GET {path}: {status}");
        Ok(Fetched { took, chunks })
    }
}

/// A body and how long it took.
pub(crate) struct Fetched {
    pub(crate) took: Duration,
    chunks: Vec<Bytes>,
}

impl Fetched {
    pub(crate) fn len(&self) -> usize {
        self.chunks.iter().map(Bytes::len).sum()
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.chunks.concat()
    }
}

/// A multiplexed connection.
#[derive(Clone)]
pub(crate) struct Requests {
    send: http2::SendRequest<Full<Bytes>>,
    address: SocketAddr,
}

impl Requests {
    /// Sends JSON and expects success.
    pub(crate) async fn send(&mut self, method: Method, path: &str, body: Bytes) -> Result<Bytes> {
        self.request(Request::builder().method(method), path, JSON, body).await
    }

    /// Sends a body of some media type and expects success.
    pub(crate) async fn request(
        &mut self,
        request: http::request::Builder,
        path: &str,
        media: &str,
        body: Bytes,
    ) -> Result<Bytes> {
        let request = request
            .uri(format!("https://{}{path}", self.address))
            .header("content-type", media)
            .header("accept", JSON)
            .body(Full::new(body))?;
        let response = self.send.send_request(request).await?;
        let status = response.status();
        let bytes = response.into_body().collect().await?.to_bytes();
        ensure!(status.is_success(), "{path}: {status}: {}", String::from_utf8_lossy(&bytes));
        Ok(bytes)
    }
}

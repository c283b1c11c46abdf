//! A reverse proxy on loopback in front of a real cluster, which lies.

use std::convert::Infallible;
use std::sync::Arc;

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{StreamExt, TryStreamExt};
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kube::client::Body;
use kube::{Client, Config};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_util::io::StreamReader;

use super::lie::{Lie, Sent};

/// The largest body that is read to be lied about.
const MAX_BODY: usize = 32 << 20;

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Answer = Response<http_body_util::combinators::UnsyncBoxBody<Bytes, Failure>>;
type Work = BoxFuture<'static, ()>;

/// A proxy that listens.
pub(super) struct Proxy {
    listener: TcpListener,
    tls: TlsAcceptor,
    /// The certificate that its clients trust, as PEM.
    certificate: String,
    shared: Arc<Shared>,
    work: UnboundedReceiver<Work>,
}

struct Shared {
    /// As the kubeconfig's user.
    admin: Client,
    /// As nobody, for requests that bring credentials of their own.
    nobody: Client,
    /// The bearer token that stands for the kubeconfig's user.
    token: String,
    lie: Lie,
    /// Takes work that continues after its request is answered.
    later: UnboundedSender<Work>,
}

impl Proxy {
    /// A proxy for the cluster of a configuration.
    pub(super) async fn bind(config: &Config, lie: Lie) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        // kubectl sends no token in the clear.
        let own = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
        let key =
            PrivateKeyDer::try_from(own.signing_key.serialize_der()).map_err(anyhow::Error::msg)?;
        let tls = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![own.cert.der().clone()], key)?;
        let tls = TlsAcceptor::from(Arc::new(tls));
        let mut nobody = config.clone();
        nobody.auth_info = kube::config::AuthInfo::default();
        let (later, work) = unbounded_channel();
        let shared = Shared {
            admin: Client::try_from(config.clone())?,
            nobody: Client::try_from(nobody)?,
            token: format!("{:032x}", rand::random::<u128>()),
            lie,
            later,
        };
        Ok(Self { listener, tls, certificate: own.cert.pem(), shared: Arc::new(shared), work })
    }

    /// A kubeconfig that leads to it.
    pub(super) fn kubeconfig(&self) -> Result<Value> {
        let server = format!("https://{}", self.listener.local_addr()?);
        let authority = STANDARD.encode(&self.certificate);
        Ok(serde_json::json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "lie",
            "clusters": [{"name": "lie", "cluster": {
                "server": server, "certificate-authority-data": authority}}],
            "users": [{"name": "lie", "user": {"token": self.shared.token}}],
            "contexts": [{"name": "lie", "context": {"cluster": "lie", "user": "lie"}}],
        }))
    }

    /// Serves until dropped.
    pub(super) async fn serve(mut self) -> Result<()> {
        let mut open: FuturesUnordered<Work> = FuturesUnordered::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept() => {
                    let (stream, _) = accepted?;
                    open.push(Box::pin(connection(self.tls.accept(stream), self.shared.clone())));
                }
                Some(work) = self.work.recv() => open.push(work),
                Some(()) = open.next() => {}
            }
        }
    }
}

async fn connection(handshake: tokio_rustls::Accept<TcpStream>, shared: Arc<Shared>) {
    // A client that left is no failure of the proxy.
    let Ok(stream) = handshake.await else { return };
    let service = service_fn(move |request| {
        let shared = shared.clone();
        async move {
            let answer = shared.answer(request).await;
            Ok::<_, Infallible>(answer.unwrap_or_else(|error| failure(&format!("{error:#}"))))
        }
    });
    let served = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let _ = served.with_upgrades().await;
}

fn failure(text: &str) -> Answer {
    let mut answer = Response::new(whole(text.to_owned().into()));
    *answer.status_mut() = StatusCode::BAD_GATEWAY;
    answer
}

fn whole(bytes: Bytes) -> http_body_util::combinators::UnsyncBoxBody<Bytes, Failure> {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

impl Shared {
    async fn answer(&self, mut request: Request<Incoming>) -> Result<Answer> {
        let upgrade = request
            .headers()
            .contains_key(header::UPGRADE)
            .then(|| hyper::upgrade::on(&mut request));
        let (head, body) = request.into_parts();
        let body = Limited::new(body, MAX_BODY).collect().await;
        let body = body.map_err(|error| anyhow::anyhow!(error))?.to_bytes();
        let mut sent = Sent::new(&head.method, &head.uri, head.headers, &body);
        let client = self.client(&mut sent.headers);
        self.lie.sent(&mut sent);
        if let Some(told) = self.lie.instead(&sent) {
            let mut answer = Response::new(whole(serde_json::to_vec(&told)?.into()));
            let json = header::HeaderValue::from_static("application/json");
            answer.headers_mut().insert(header::CONTENT_TYPE, json);
            return Ok(answer);
        }
        let mut forward = Request::builder().method(sent.method.clone()).uri(sent.uri());
        if let Some(headers) = forward.headers_mut() {
            *headers = sent.headers.clone();
        }
        let forward = forward.body(Body::from(sent.bytes()?))?;
        let mut answer = client.send(forward).await.context("the cluster")?;
        if answer.status() == StatusCode::SWITCHING_PROTOCOLS
            && let Some(upgrade) = upgrade
        {
            let other = hyper::upgrade::on(&mut answer);
            let pump = async move {
                if let (Ok(near), Ok(far)) = futures::join!(upgrade, other) {
                    let (mut near, mut far) = (TokioIo::new(near), TokioIo::new(far));
                    let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                }
            };
            let _ = self.later.send(Box::pin(pump));
            let (head, _) = answer.into_parts();
            return Ok(Response::from_parts(head, whole(Bytes::new())));
        }
        self.told(sent, answer).await
    }

    /// The client for the credentials of a request, which are taken off if they are the suite's.
    fn client(&self, headers: &mut HeaderMap) -> &Client {
        let own = format!("Bearer {}", self.token);
        match headers.get(header::AUTHORIZATION) {
            Some(given) if given.as_bytes() == own.as_bytes() => {
                headers.remove(header::AUTHORIZATION);
                &self.admin
            }
            _ => &self.nobody,
        }
    }

    async fn told(&self, sent: Sent, answer: Response<Body>) -> Result<Answer> {
        let (mut head, body) = answer.into_parts();
        head.headers.remove(header::CONTENT_LENGTH);
        head.headers.remove(header::TRANSFER_ENCODING);
        let json = head.headers.get(header::CONTENT_TYPE).is_some_and(|kind| {
            kind.to_str().is_ok_and(|kind| kind.starts_with("application/json"))
        });
        if json && sent.is_watch() && head.status.is_success() {
            let body = body.into_data_stream().map_err(std::io::Error::other);
            let lines = BufReader::new(StreamReader::new(body)).lines();
            let lie = self.lie.clone();
            let lines =
                futures::stream::try_unfold((lines, lie, sent), |(mut lines, lie, sent)| async {
                    while let Some(line) = lines.next_line().await? {
                        let mut event: Value = serde_json::from_str(&line)?;
                        if lie.event(&sent, &mut event) {
                            let line = Frame::data(Bytes::from(format!("{event}\n")));
                            return Ok(Some((line, (lines, lie, sent))));
                        }
                    }
                    Ok::<_, Failure>(None)
                });
            return Ok(Response::from_parts(head, StreamBody::new(lines).boxed_unsync()));
        }
        if sent.method == Method::HEAD || sent.query.iter().any(|(name, _)| name == "follow") {
            let body = body.map_err(|error| Failure::from(error.to_string())).boxed_unsync();
            return Ok(Response::from_parts(head, body));
        }
        let bytes = body.collect().await?.to_bytes();
        let bytes = match serde_json::from_slice::<Value>(&bytes) {
            Ok(mut value) if json && head.status.is_success() => {
                self.lie.told(&sent, &mut value);
                serde_json::to_vec(&value)?.into()
            }
            _ => self.lie.raw(&sent, bytes),
        };
        self.lie.headers(&mut head.headers);
        Ok(Response::from_parts(head, whole(bytes)))
    }
}

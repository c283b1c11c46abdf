//! Connections to webhooks, kept for the next call.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, RETRY_AFTER};
use http::{Method, Request};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{CallError, Target};
use crate::server::Server;

/// Webhooks whose connections are kept (upstream's `defaultCacheSize`).
const TARGETS: usize = 200;
/// Connections that are kept for each of them: a handshake costs more than all else of a call.
const IDLE: usize = 32;

type Sender = SendRequest<Full<Bytes>>;

/// How to connect to a webhook, and connections that nobody uses.
struct Known {
    tls: Arc<rustls::ClientConfig>,
    idle: Vec<Sender>,
}

/// All of them.
#[derive(Default)]
pub(crate) struct Pool(Mutex<HashMap<Target, Known>>);

fn transport(why: impl std::fmt::Display) -> CallError {
    CallError::Transport(why.to_string())
}

/// Of a connection that was made: it may have been lost.
fn broken(why: &(dyn std::error::Error + 'static)) -> CallError {
    let mut of = Some(why);
    while let Some(error) = of {
        let kind = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        if kind == Some(std::io::ErrorKind::ConnectionReset) {
            return CallError::Lost(why.to_string());
        }
        of = error.source();
    }
    transport(why)
}

impl Pool {
    /// Sends a document and reads the answer, within bounds of time and size.
    pub(super) async fn exchange(
        &self,
        server: &Server,
        target: &Target,
        body: Bytes,
        bounds: (Duration, usize),
    ) -> Result<Bytes, CallError> {
        while let Some(mut sender) = self.take(target) {
            if sender.ready().await.is_err() {
                continue;
            }
            match self.send(target, sender, body.clone(), bounds).await {
                // It was closed before anything was sent.
                Err(Sent::Nothing) => {}
                Err(Sent::Failed(error)) => return Err(error),
                Ok(answer) => return Ok(answer),
            }
        }
        let sender = self.dial(server, target).await?;
        self.send(target, sender, body, bounds).await.map_err(|failed| match failed {
            Sent::Nothing => transport("EOF"),
            Sent::Failed(error) => error,
        })
    }

    /// A connection that nobody uses.
    fn take(&self, target: &Target) -> Option<Sender> {
        self.0.lock().get_mut(target)?.idle.pop()
    }

    fn give_back(&self, target: &Target, sender: Sender) {
        if let Some(known) = self.0.lock().get_mut(target)
            && known.idle.len() < IDLE
            && !sender.is_closed()
        {
            known.idle.push(sender);
        }
    }

    fn tls(&self, target: &Target) -> Result<Arc<rustls::ClientConfig>, CallError> {
        let mut all = self.0.lock();
        if let Some(known) = all.get(target) {
            return Ok(known.tls.clone());
        }
        let tls = Arc::new(target.tls().map_err(transport)?);
        if all.len() >= TARGETS {
            // Configurations that are gone leave theirs behind.
            all.clear();
        }
        all.insert(target.clone(), Known { tls: tls.clone(), idle: Vec::new() });
        Ok(tls)
    }

    async fn dial(&self, server: &Server, target: &Target) -> Result<Sender, CallError> {
        let tls = self.tls(target)?;
        let addresses = target.addresses(server).await?;
        let stream = connect(&addresses).await?;
        let _ = stream.set_nodelay(true);
        let name = rustls::pki_types::ServerName::try_from(target.host.clone());
        let name = name.map_err(transport)?;
        let shaken = TlsConnector::from(tls)
            .connect(name, stream)
            .await
            .map_err(|why| transport(format!("tls: failed to verify certificate: {why}")))?;
        let (sender, connection) = handshake(TokioIo::new(shaken)).await.map_err(transport)?;
        telemetry::task::spawn("webhook", connection);
        Ok(sender)
    }

    async fn send(
        &self,
        target: &Target,
        mut sender: Sender,
        body: Bytes,
        (time, most): (Duration, usize),
    ) -> Result<Bytes, Sent> {
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(target.path(time))
            .header(HOST, target.authority_of_url())
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "application/json, */*")
            .header(http::header::USER_AGENT, "kube-apiserver-admission")
            .body(Full::new(body))
            .map_err(|why| Sent::Failed(transport(why)))?;
        if !target.token().is_empty() {
            let bears = HeaderValue::try_from(format!("Bearer {}", target.token()));
            let mut bears = bears.map_err(|why| Sent::Failed(transport(why)))?;
            bears.set_sensitive(true);
            request.headers_mut().insert(AUTHORIZATION, bears);
        }
        let answer = sender.send_request(request).await.map_err(|why| match why.is_canceled() {
            true => Sent::Nothing,
            false => Sent::Failed(broken(&why)),
        })?;
        let (parts, body) = answer.into_parts();
        let body = Limited::new(body, most).collect().await;
        let body = body.map_err(|why| Sent::Failed(broken(&*why)))?.to_bytes();
        self.give_back(target, sender);
        if !parts.status.is_success() {
            let names_time = parts.headers.contains_key(RETRY_AFTER);
            return Err(Sent::Failed(CallError::of_answer(parts.status, names_time, &body)));
        }
        Ok(body)
    }
}

/// How much of a failed request was sent.
enum Sent {
    Nothing,
    Failed(CallError),
}

/// Connects to the first of the addresses that answers.
pub(crate) async fn connect(addresses: &[SocketAddr]) -> Result<TcpStream, CallError> {
    let mut last = transport("no addresses");
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(why) => {
                let why = match why.kind() {
                    std::io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
                    _ => why.to_string(),
                };
                last = transport(format!("dial tcp {address}: connect: {why}"));
            }
        }
    }
    Err(last)
}

//! A client of the runtime's streaming server: SPDY/3.1, because only there standard input can be
//! closed while output still comes.

mod command;
mod forward;

use bytes::Bytes;
use http::header::{CONNECTION, HOST, UPGRADE};
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::spdy::{Client, Headers};
use crate::{Error, Result};

pub(super) use command::{Wanted, command};
pub(super) use forward::Forwarded;

const VERSION: &str = "x-stream-protocol-version";

fn failed(url: &str, error: impl std::fmt::Display) -> Error {
    Error::Unavailable(format!("streaming server of the container runtime, {url}: {error}"))
}

/// Upgrades a connection to SPDY with one of the protocols on top of it.
async fn connect(url: &str, protocol: &str) -> Result<Client> {
    let uri: Uri = url.parse().map_err(|error| failed(url, error))?;
    let (Some("http"), Some(host)) = (uri.scheme_str(), uri.host()) else {
        return Err(failed(url, "only http is supported"));
    };
    let address = (host.trim_matches(['[', ']']), uri.port_u16().unwrap_or(80));
    let stream = TcpStream::connect(address).await.map_err(|error| failed(url, error))?;
    let _ = stream.set_nodelay(true);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| failed(url, error))?;
    telemetry::task::spawn("cri-stream", connection.with_upgrades());
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::post(path)
        .header(HOST, uri.authority().map_or("localhost", |authority| authority.as_str()))
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "SPDY/3.1")
        .header(VERSION, protocol)
        .body(Empty::<Bytes>::new())
        .map_err(|error| failed(url, error))?;
    let response = sender.send_request(request).await.map_err(|error| failed(url, error))?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        let status = response.status();
        let body = response.into_body().collect().await.map(|body| body.to_bytes());
        let text = String::from_utf8_lossy(&body.unwrap_or_default()).trim().to_owned();
        return Err(failed(url, format!("{status}: {text}")));
    }
    let chosen = response.headers().get(VERSION).and_then(|value| value.to_str().ok());
    if chosen != Some(protocol) {
        return Err(failed(url, format!("wants protocol {chosen:?} instead of {protocol}")));
    }
    let upgraded = hyper::upgrade::on(response).await.map_err(|error| failed(url, error))?;
    Client::new(Box::new(TokioIo::new(upgraded))).map_err(|error| failed(url, error))
}

fn stream_type(name: &str) -> Headers {
    vec![("streamtype".to_owned(), name.to_owned())]
}

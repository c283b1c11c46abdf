//! A plain HTTP client that looks names up by itself.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::dns;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Status and body of a URL.
pub(super) async fn get(url: &str) -> Result<(u16, String)> {
    tokio::time::timeout(PATIENCE, exchange(url))
        .await
        .with_context(|| format!("{url} did not answer"))?
        .with_context(|| url.to_owned())
}

async fn exchange(url: &str) -> Result<(u16, String)> {
    let uri: http::Uri = url.parse()?;
    let host = uri.host().context("no host")?;
    let address = SocketAddr::new(dns::resolve(host).await?, uri.port_u16().unwrap_or(80));
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let authority = uri.authority().map(ToString::to_string).unwrap_or_default();
    let request = http::Request::get(path)
        .header("host", authority)
        .header("connection", "close")
        .body(Empty::<Bytes>::new())?;
    let work = async {
        let answer = sender.send_request(request).await?;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await?.to_bytes();
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    };
    let (answer, _) = futures::join!(work, connection);
    answer
}

//! Forwards one exchange to a proxied target.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use apimachinery::Status;
use http::header::{CONNECTION, HOST, HeaderName, HeaderValue, UPGRADE};
use http::{Request, Response, StatusCode, Uri};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};
use tokio::net::TcpStream;

use crate::body::{Body, BoxError};
use crate::chain::Held;

/// The target of a connection.
pub(crate) struct Target {
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Addresses that were looked up and checked; if empty, `host` is resolved.
    pub(crate) addresses: Vec<SocketAddr>,
    /// `None` for plain text.
    pub(crate) tls: Option<Tls>,
    /// A configuration of its own, which takes the place of `tls`.
    pub(crate) config: Option<Arc<ClientConfig>>,
    pub(crate) path: String,
}

/// Time limits for connecting and for the TLS handshake (upstream's).
const CONNECT: Duration = Duration::from_secs(30);
const HANDSHAKE: Duration = Duration::from_secs(10);

/// The relation of the two ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tls {
    /// A kubelet of this cluster; both ends authenticate.
    Kubelet,
    /// An unknown server, to which no credentials are sent: pods have self-made certificates.
    Unverified,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Headers that belong to one connection only.
const HOP_BY_HOP: &[&str] = &[
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

pub(crate) async fn forward(
    kubelet_tls: &Arc<ClientConfig>,
    target: Target,
    mut request: Request<Body>,
) -> Result<Response<Body>, Status> {
    let upgrade = request.headers().get(UPGRADE).cloned();
    let held = Held::of(&mut request);
    let client_side = upgrade.is_some().then(|| hyper::upgrade::on(&mut request));
    let (parts, body) = request.into_parts();
    let unreachable = |e: &dyn std::error::Error| {
        Status::service_unavailable(format!(
            "error trying to reach {}:{}: {e}",
            target.host, target.port
        ))
    };
    let stream = dial(kubelet_tls, &target).await.map_err(|e| unreachable(&e))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|e| unreachable(&e))?;
    // The connection is used for this exchange only.
    telemetry::task::spawn("connect-proxy", connection.with_upgrades());

    let uri: Uri =
        target.path.parse().map_err(|_| Status::bad_request("the path cannot be proxied"))?;
    let mut outgoing = Request::builder().method(parts.method).uri(uri);
    if let Some(headers) = outgoing.headers_mut() {
        for (name, value) in &parts.headers {
            let own = HOP_BY_HOP.contains(&name.as_str()) || is_credential(name) || name == HOST;
            if !own {
                headers.append(name.clone(), value.clone());
            }
        }
        let host = format!("{}:{}", target.host, target.port);
        headers.insert(HOST, HeaderValue::from_str(&host).map_err(Status::internal)?);
        if let Some(upgrade) = upgrade {
            headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
            headers.insert(UPGRADE, upgrade);
        }
    }
    let outgoing = outgoing.body(body).map_err(Status::internal)?;
    let mut answer = sender.send_request(outgoing).await.map_err(|e| unreachable(&e))?;

    if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        let node_side = hyper::upgrade::on(&mut answer);
        // Whoever did not ask would read another protocol as HTTP.
        let Some(client_side) = client_side else {
            let why = "the server switched protocols, which it was not asked to do";
            return Err(Status::generic(502, "", why));
        };
        telemetry::task::spawn("connect-proxy", async move {
            let _held = held;
            if let (Ok(client), Ok(node)) = tokio::join!(client_side, node_side) {
                let (mut client, mut node) = (TokioIo::new(client), TokioIo::new(node));
                // Either side may close; that is how streams end.
                let _ = copy_bidirectional(&mut client, &mut node).await;
            }
        });
        let (parts, _) = answer.into_parts();
        return Ok(Response::from_parts(parts, crate::body::full("")));
    }
    let (mut parts, body) = answer.into_parts();
    for name in HOP_BY_HOP {
        parts.headers.remove(*name);
    }
    Ok(Response::from_parts(parts, body.map_err(boxed).boxed_unsync()))
}

fn boxed(e: hyper::Error) -> BoxError {
    Box::new(e)
}

/// Credentials are for this server, not for the target.
fn is_credential(name: &HeaderName) -> bool {
    name == http::header::AUTHORIZATION || name.as_str().starts_with("impersonate-")
}

async fn dial(
    kubelet_tls: &Arc<ClientConfig>,
    target: &Target,
) -> std::io::Result<Box<dyn Stream>> {
    let connect = async {
        match target.addresses.as_slice() {
            [] => TcpStream::connect((target.host.as_str(), target.port)).await,
            checked => TcpStream::connect(checked).await,
        }
    };
    let stream = tokio::time::timeout(CONNECT, connect).await??;
    stream.set_nodelay(true)?;
    let config = match (&target.config, target.tls) {
        (Some(own), _) => own.clone(),
        (None, None) => return Ok(Box::new(stream)),
        (None, Some(Tls::Kubelet)) => kubelet_tls.clone(),
        (None, Some(Tls::Unverified)) => {
            pki::tls::unverified_client().map_err(std::io::Error::other)?
        }
    };
    let connector = tokio_rustls::TlsConnector::from(config);
    let name = rustls::pki_types::ServerName::try_from(target.host.clone())
        .map_err(std::io::Error::other)?;
    let shaken = tokio::time::timeout(HANDSHAKE, connector.connect(name, stream)).await??;
    Ok(Box::new(shaken))
}

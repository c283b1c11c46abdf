//! WebSocket: the handshake, and connections as channels or as a plain stream of bytes.

pub(super) mod channels;
pub(super) mod pour;
pub(super) mod tunnel;

use axum::body::Body;
use axum::extract::Request;
use http::header::{CONNECTION, HeaderValue, UPGRADE};
use http::{HeaderMap, Response, StatusCode};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::{Answer, Refusal, refuse};

const PROTOCOL: &str = "sec-websocket-protocol";
const KEY: &str = "sec-websocket-key";
/// Clients send no larger messages; a larger one ends the connection.
const MAX_MESSAGE: usize = 1 << 20;

/// A connection after its handshake.
pub(super) type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// Returns true if the request asks for a WebSocket.
pub(super) fn is_wanted(headers: &HeaderMap) -> bool {
    let has = |name, word: &str| {
        let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|part| part.trim().eq_ignore_ascii_case(word))
    };
    has(CONNECTION, "upgrade") && has(UPGRADE, "websocket")
}

/// Accepts the handshake with the first of the client's protocols that is among `supported`, and
/// returns the answer to send and the protocol, empty where the client named none.
///
/// # Errors
/// The answer to send instead.
pub(super) fn handshake(
    request: &mut Request,
    supported: &[&'static str],
) -> Result<(Answer, &'static str, OnUpgrade), Refusal> {
    let bad = |message: &str| Box::new(refuse(StatusCode::BAD_REQUEST, message));
    let headers = request.headers();
    let key = headers.get(KEY).ok_or_else(|| bad("missing Sec-WebSocket-Key"))?;
    let accept = derive_accept_key(key.as_bytes());
    let offered: Vec<&str> = headers
        .get_all(PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|protocol| !protocol.is_empty())
        .collect();
    let chosen = offered.iter().find_map(|offer| supported.iter().find(|known| *known == offer));
    let protocol = match chosen {
        Some(protocol) => protocol,
        None if offered.is_empty() => "",
        None => return Err(bad("requested protocol(s) are not supported")),
    };
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    let accept = HeaderValue::from_str(&accept).map_err(|_| bad("bad Sec-WebSocket-Key"))?;
    headers.insert("sec-websocket-accept", accept);
    if !protocol.is_empty() {
        headers.insert(PROTOCOL, HeaderValue::from_static(protocol));
    }
    Ok((response, protocol, hyper::upgrade::on(request)))
}

/// The connection, once the answer was sent.
pub(super) async fn upgraded(upgrade: OnUpgrade) -> hyper::Result<Socket> {
    let config = WebSocketConfig::default()
        .max_message_size(Some(MAX_MESSAGE))
        .max_frame_size(Some(MAX_MESSAGE));
    let io = TokioIo::new(upgrade.await?);
    Ok(WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await)
}

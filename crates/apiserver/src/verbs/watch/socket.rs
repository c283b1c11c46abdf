//! A watch over WebSocket: each event is one message. Used by clients that have no other way to end
//! a watch.

use apimachinery::Status;
use bytes::{Buf, Bytes};
use futures::{SinkExt, StreamExt};
use http::header::{CONNECTION, CONTENT_TYPE, HeaderValue, UPGRADE};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout_at};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use crate::body::{self, Body};
use crate::chain::Held;
use crate::negotiate::Encoding;

const KEY: &str = "sec-websocket-key";
const PROTOCOL: &str = "sec-websocket-protocol";
const VERSION: &str = "sec-websocket-version";
/// Clients send nothing but a close.
const MAX_MESSAGE: usize = 4096;

/// Returns true if the request asks for a WebSocket.
pub(super) fn is_wanted(headers: &HeaderMap) -> bool {
    let has = |name, word: &str| {
        let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|part| part.trim().eq_ignore_ascii_case(word))
    };
    has(CONNECTION, "upgrade") && has(UPGRADE, "websocket")
}

/// Accepts the handshake (RFC 6455, 4.2.2) and then sends the watch. The client must have read it
/// by `until`.
pub(super) fn serve(
    request: &mut Request<Body>,
    watch: Body,
    encoding: Encoding,
    media_type: &'static str,
    until: Instant,
) -> Result<Response<Body>, Status> {
    let headers = request.headers();
    let key = headers.get(KEY).ok_or_else(|| Status::bad_request("missing Sec-WebSocket-Key"))?;
    if headers.get(VERSION).is_none_or(|version| version != "13") {
        return Err(Status::bad_request("missing or bad WebSocket Version"));
    }
    let accept = HeaderValue::from_str(&derive_accept_key(key.as_bytes()))
        .map_err(|_| Status::bad_request("bad Sec-WebSocket-Key"))?;
    // The messages are the same for every protocol that the client names. An `Origin` is not
    // required, as in upstream's library: only browsers send one.
    let protocol = headers.get(PROTOCOL).cloned();
    if protocol.as_ref().is_some_and(|p| p.as_bytes().contains(&b',')) {
        return Err(Status::bad_request("bad WebSocket Protocol"));
    }
    let held = Held::of(request);
    let upgrade = hyper::upgrade::on(request);
    let mut response = Response::new(body::full(""));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert("sec-websocket-accept", accept);
    if let Some(protocol) = protocol {
        headers.insert(PROTOCOL, protocol);
    }
    telemetry::task::spawn("watch-socket", async move {
        let _held = held;
        send(upgrade, watch, encoding, until).await;
    });
    Ok(response)
}

async fn send(upgrade: OnUpgrade, watch: Body, encoding: Encoding, until: Instant) {
    let upgraded = match upgrade.await {
        Ok(upgraded) => upgraded,
        Err(error) => return tracing::debug!(%error, "connection not upgraded"),
    };
    pour_until(until, TokioIo::new(upgraded), watch, encoding).await;
}

/// Sends the watch until `until`: a client that does not read never notices its end.
async fn pour_until<S>(until: Instant, io: S, watch: Body, encoding: Encoding)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let _ = timeout_at(until, pour(io, watch, encoding)).await;
}

async fn pour<S>(io: S, mut watch: Body, encoding: Encoding)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let config = WebSocketConfig::default()
        .max_message_size(Some(MAX_MESSAGE))
        .max_frame_size(Some(MAX_MESSAGE));
    let socket = WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await;
    let (mut sink, mut source) = socket.split();
    loop {
        tokio::select! {
            // Pings are answered when they are read; other messages are ignored.
            message = source.next() => match message {
                Some(Ok(Message::Ping(_))) => {
                    if sink.flush().await.is_err() {
                        return;
                    }
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => break,
                Some(Ok(_)) => {}
            },
            frame = watch.frame() => {
                let Some(Ok(frame)) = frame else {
                    // The code tells clients that there was no error.
                    let frame = CloseFrame { code: CloseCode::Normal, reason: Utf8Bytes::default() };
                    let _ = sink.send(Message::Close(Some(frame))).await;
                    break;
                };
                let Ok(chunk) = frame.into_data() else { continue };
                for message in messages(chunk, encoding) {
                    if sink.feed(message).await.is_err() {
                        return;
                    }
                }
                if sink.flush().await.is_err() {
                    return;
                }
            }
        }
    }
    let _ = sink.close().await;
}

/// The events of a chunk, as text if the encoding is text, each without its delimiter.
fn messages(mut chunk: Bytes, encoding: Encoding) -> Vec<Message> {
    let text = |bytes: Bytes| Utf8Bytes::try_from(bytes).ok().map(Message::Text);
    let mut all = Vec::new();
    match encoding {
        Encoding::Json => {
            while let Some(end) = chunk.iter().position(|b| *b == b'\n') {
                all.extend(text(chunk.split_to(end + 1)));
            }
            all.extend(Some(chunk).filter(|rest| !rest.is_empty()).and_then(text));
        }
        Encoding::Yaml => all.extend(text(chunk)),
        Encoding::Protobuf => {
            // A message needs no length prefix, unlike an event on a stream.
            while chunk.len() >= 4 {
                let length = chunk.get_u32() as usize;
                all.push(Message::Binary(chunk.split_to(length.min(chunk.len()))));
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn who_does_not_read_is_left() {
        let (_unread, io) = tokio::io::duplex(64);
        let watch = body::full("x".repeat(1 << 20));
        let until = Instant::now() + Duration::from_millis(200);
        let poured = pour_until(until, io, watch, Encoding::Json);
        tokio::time::timeout(Duration::from_secs(60), poured).await.expect("left alone");
        assert!(Instant::now() >= until);
    }

    #[test]
    fn each_event_is_a_message() {
        let json = messages(Bytes::from_static(b"{\"a\":1}\n{\"b\":2}\n"), Encoding::Json);
        assert_eq!(json, [Message::text("{\"a\":1}\n"), Message::text("{\"b\":2}\n")]);
        let binary = messages(Bytes::from_static(b"\0\0\0\x01x\0\0\0\x02yz"), Encoding::Protobuf);
        assert_eq!(binary, [Message::binary(&b"x"[..]), Message::binary(&b"yz"[..])]);
    }
}

//! An answer's body poured into a WebSocket, for clients that read logs that way.

use axum::extract::Request;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use http_body_util::BodyExt;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::{Socket, handshake, upgraded};
use crate::server::Answer;

/// Sub-protocols; without any, messages are binary.
const PROTOCOLS: [&str; 2] = ["binary.k8s.io", BASE64];
const BASE64: &str = "base64.binary.k8s.io";

/// Answers with a WebSocket that carries the body of `answer`.
pub(in crate::server) fn pour(mut request: Request, answer: Answer) -> Answer {
    let (response, protocol, upgrade) = match handshake(&mut request, &PROTOCOLS) {
        Ok(shaken) => shaken,
        Err(refusal) => return *refusal,
    };
    telemetry::task::spawn("websocket-pour", async move {
        if let Ok(socket) = upgraded(upgrade).await {
            carry(socket, answer, protocol == BASE64).await;
        }
    });
    response
}

/// Ends with the body, or when the client goes.
async fn carry(socket: Socket, answer: Answer, base64: bool) {
    let (mut sink, mut stream) = socket.split();
    let mut body = answer.into_body();
    let message = |data: Bytes| match base64 {
        true => Message::text(BASE64_STANDARD.encode(&data)),
        false => Message::binary(data),
    };
    loop {
        let sent = tokio::select! {
            frame = body.frame() => match frame.map(|frame| frame.map(hyper::body::Frame::into_data)) {
                Some(Ok(Ok(data))) => sink.send(message(data)).await,
                Some(Ok(Err(_))) => Ok(()),
                Some(Err(_)) | None => break,
            },
            heard = stream.next() => match heard {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => Ok(()),
            },
        };
        if sent.is_err() {
            return;
        }
    }
    let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
    let _ = sink.send(Message::Close(Some(frame))).await;
    // The client closes its side in turn.
    while let Some(Ok(_)) = stream.next().await {}
}

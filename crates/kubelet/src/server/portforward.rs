//! Port forwarding: each pair of a data and an error stream is one connection to a port.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use axum::extract::Request;
use http::StatusCode;
use hyper_util::rt::TokioIo;
use runtime::{ByteStream, Reader, Writer};
use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;

use super::query::Query;
use super::remote::spdy_answer;
use super::websocket::channels::{Channels, Codec};
use super::websocket::tunnel::Tunnel;
use super::{Answer, find, refuse, websocket};
use crate::context::Context;
use runtime::spdy::Session;

const SPDY: [&str; 1] = ["portforward.k8s.io"];
const TUNNEL: &str = "SPDY/3.1+portforward.k8s.io";
const CHANNELS: [&str; 2] = ["v4.channel.k8s.io", "v4.base64.channel.k8s.io"];
/// Requests that a client may have begun and not completed.
const MAX_HALF_OPEN: usize = 64;

/// Connects the caller to ports of a pod.
pub(super) async fn serve(
    context: Arc<Context>,
    namespace: &str,
    pod: &str,
    query: &Query,
    mut request: Request,
) -> Answer {
    let (_, view) = match find::pod(&context, namespace, pod).await {
        Ok(found) => found,
        Err((code, message)) => return refuse(code, message),
    };
    let Some(sandbox) = view.sandbox().map(|sandbox| sandbox.id.clone()) else {
        return refuse(StatusCode::NOT_FOUND, format!("pod not found (\"{pod}_{namespace}\")"));
    };
    if websocket::is_wanted(request.headers()) {
        let supported = [TUNNEL, CHANNELS[0], CHANNELS[1]];
        let (answer, protocol, upgrade) = match websocket::handshake(&mut request, &supported) {
            Ok(accepted) => accepted,
            Err(refusal) => return *refusal,
        };
        let ports = ports(query);
        telemetry::task::spawn("port-forward", async move {
            let socket = match websocket::upgraded(upgrade).await {
                Ok(socket) => socket,
                Err(error) => return tracing::debug!(%error, "connection not upgraded"),
            };
            if protocol == TUNNEL {
                over_spdy(context, sandbox, Box::new(Tunnel::new(socket))).await;
            } else {
                over_channels(context, sandbox, socket, Codec::of(protocol), ports).await;
            }
        });
        return answer;
    }
    let answer = match spdy_answer(request.headers(), &SPDY) {
        Ok((answer, _)) => answer,
        Err(refusal) => return *refusal,
    };
    let upgrade = hyper::upgrade::on(&mut request);
    telemetry::task::spawn("port-forward", async move {
        match upgrade.await {
            Ok(upgraded) => over_spdy(context, sandbox, Box::new(TokioIo::new(upgraded))).await,
            Err(error) => tracing::debug!(%error, "connection not upgraded"),
        }
    });
    answer
}

fn ports(query: &Query) -> Vec<u16> {
    let values = query.all("port").chain(query.all("ports"));
    values.flat_map(|value| value.split(',')).filter_map(|port| port.parse().ok()).collect()
}

/// One half of a connection that the client has begun.
#[derive(Default)]
struct Pair {
    data: Option<(Reader, Writer)>,
    error: Option<Writer>,
    port: u16,
}

async fn over_spdy(context: Arc<Context>, sandbox: String, connection: ByteStream) {
    let mut session = match Session::new(connection) {
        Ok(session) => session,
        Err(error) => return tracing::debug!(%error, "SPDY session not begun"),
    };
    let mut pairs: HashMap<String, Pair> = HashMap::new();
    let mut connections = JoinSet::new();
    loop {
        let stream = tokio::select! {
            stream = session.accept() => stream,
            Some(_) = connections.join_next() => continue,
        };
        let Some(stream) = stream else { return };
        let request = stream.header("requestid").unwrap_or_default().to_owned();
        let port = stream.header("port").and_then(|port| port.parse().ok()).unwrap_or(0);
        let is_error = stream.header("streamtype") == Some("error");
        let pair = pairs.entry(request.clone()).or_default();
        pair.port = port;
        if is_error {
            pair.error = Some(stream.writer);
        } else {
            pair.data = Some((stream.reader, stream.writer));
        }
        if pair.data.is_some() && pair.error.is_some() {
            if let Some(Pair { data: Some((reader, writer)), error: Some(error), port }) =
                pairs.remove(&request)
            {
                let (context, sandbox) = (context.clone(), sandbox.clone());
                connections.spawn(forward(context, sandbox, port, reader, writer, error));
            }
        } else if pairs.len() > MAX_HALF_OPEN {
            return tracing::debug!("too many incomplete port-forward requests");
        }
    }
}

async fn over_channels(
    context: Arc<Context>,
    sandbox: String,
    socket: websocket::Socket,
    codec: Codec,
    ports: Vec<u16>,
) {
    let channel = |index: usize| u8::try_from(2 * index).unwrap_or(u8::MAX - 1);
    let readable: Vec<u8> = (0..ports.len()).map(channel).collect();
    let mut channels = Channels::new(socket, codec, &readable);
    let mut connections = JoinSet::new();
    for (index, port) in ports.into_iter().enumerate() {
        let data = channel(index);
        for announced in [data, data + 1] {
            channels.send(announced, &port.to_le_bytes()).await;
        }
        let Some(reader) = channels.reader(data) else { continue };
        let (writer, error) = (channels.writer(data), channels.writer(data + 1));
        let (context, sandbox) = (context.clone(), sandbox.clone());
        connections.spawn(forward(context, sandbox, port, reader, writer, error));
    }
    let ended = channels.ended();
    let all_done = tokio::select! {
        () = ended.cancelled() => false,
        () = async { while connections.join_next().await.is_some() {} } => true,
    };
    if all_done {
        // With a Close frame, which clients tell from a connection that broke.
        channels.close().await;
    }
}

/// One connection, to its end. What goes wrong is written to the error stream.
async fn forward(
    context: Arc<Context>,
    sandbox: String,
    port: u16,
    mut reader: Reader,
    mut writer: Writer,
    mut error: Writer,
) {
    let result = match context.runtime.port_forward(&sandbox, port).await {
        Ok(stream) => exchange(stream, &mut reader, &mut writer).await.map_err(|e| e.to_string()),
        Err(error) => Err(error.to_string()),
    };
    if let Err(message) = result {
        let message = format!("error forwarding port {port} to pod {sandbox}, uid : {message}");
        let _ = error.write_all(message.as_bytes()).await;
    }
    let _ = error.shutdown().await;
    let _ = writer.shutdown().await;
}

async fn exchange(stream: ByteStream, reader: &mut Reader, writer: &mut Writer) -> io::Result<()> {
    let (mut from, mut to) = tokio::io::split(stream);
    let up = async {
        tokio::io::copy(reader, &mut to).await?;
        to.shutdown().await
    };
    let down = async {
        tokio::io::copy(&mut from, writer).await?;
        writer.shutdown().await
    };
    // When the pod has ended its side, what the client may still send has no reader.
    tokio::select! {
        result = down => result,
        result = async { up.await?; std::future::pending().await } => result,
    }
}

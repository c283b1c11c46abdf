//! The streams of a remote command, whichever protocol carries them.

use std::io;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use http::header::{CONNECTION, HeaderMap, HeaderValue, UPGRADE};
use http::{Response, StatusCode};
use hyper_util::rt::TokioIo;
use runtime::{Reader, Writer};
use tokio::io::AsyncWriteExt;
use tokio_util::sync::CancellationToken;

use crate::server::websocket::channels::{Channels, Codec};
use crate::server::{Answer, Refusal, refuse, websocket};
use runtime::spdy::Session;

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
const RESIZE: u8 = 4;

/// WebSocket sub-protocols, and SPDY protocol versions, that are spoken here.
const WEBSOCKET: [&str; 6] = [
    "v5.channel.k8s.io",
    "v4.channel.k8s.io",
    "v4.base64.channel.k8s.io",
    "channel.k8s.io",
    "base64.channel.k8s.io",
    "v5.base64.channel.k8s.io",
];
const SPDY: [&str; 4] =
    ["v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io"];
const VERSIONS: &str = "x-stream-protocol-version";
/// A client must open its streams within this time.
const CREATION_TIMEOUT: Duration = Duration::from_secs(30);

/// The streams that the caller asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) stdin: bool,
    pub(super) stdout: bool,
    pub(super) stderr: bool,
    pub(super) tty: bool,
}

/// The streams of one command.
pub(super) struct Streams {
    pub(super) stdin: Option<Reader>,
    pub(super) stdout: Option<Writer>,
    pub(super) stderr: Option<Writer>,
    /// Terminal sizes, one JSON object per line.
    pub(super) resize: Option<Reader>,
    error: Option<Writer>,
    /// The error stream ends with a `Status` in JSON; older protocols have plain text.
    pub(super) structured: bool,
    /// Cancelled once the caller is gone.
    pub(super) ended: CancellationToken,
    connection: Connection,
}

enum Connection {
    Spdy(Session),
    WebSocket(Channels),
}

impl Streams {
    /// Sends the last message, and returns once the connection is closed.
    pub(super) async fn finish(mut self, message: Option<String>) {
        if let Some(mut error) = self.error.take() {
            if let Some(message) = message {
                let _ = error.write_all(message.as_bytes()).await;
            }
            let _ = error.shutdown().await;
        }
        let Self { connection, stdout, stderr, .. } = self;
        drop((stdout, stderr));
        match connection {
            Connection::Spdy(session) => session.close().await,
            Connection::WebSocket(channels) => channels.close().await,
        }
    }
}

/// Upgrades the connection and runs `work` with its streams, in a task of its own.
pub(super) fn open<F, R>(mut request: Request, wanted: Wanted, work: F) -> Answer
where
    F: FnOnce(Streams) -> R + Send + 'static,
    R: Future<Output = ()> + Send,
{
    if !wanted.stdin && !wanted.stdout && !wanted.stderr {
        let message = "you must specify at least 1 of stdin, stdout, stderr";
        return refuse(StatusCode::BAD_REQUEST, message);
    }
    if websocket::is_wanted(request.headers()) {
        let (answer, protocol, upgrade) = match websocket::handshake(&mut request, &WEBSOCKET) {
            Ok(accepted) => accepted,
            Err(refusal) => return *refusal,
        };
        telemetry::task::spawn("remote-streams", async move {
            match websocket::upgraded(upgrade).await {
                Ok(socket) => work(over_websocket(socket, protocol, wanted).await).await,
                Err(error) => tracing::debug!(%error, "connection not upgraded"),
            }
        });
        return answer;
    }
    let (answer, protocol) = match spdy_answer(request.headers(), &SPDY) {
        Ok(accepted) => accepted,
        Err(refusal) => return *refusal,
    };
    let upgrade = hyper::upgrade::on(&mut request);
    telemetry::task::spawn("remote-streams", async move {
        let streams = async {
            let upgraded = upgrade.await.map_err(io::Error::other)?;
            over_spdy(Session::new(Box::new(TokioIo::new(upgraded)))?, protocol, wanted).await
        };
        match streams.await {
            Ok(streams) => work(streams).await,
            Err(error) => tracing::debug!(%error, "streams not opened"),
        }
    });
    answer
}

/// Accepts an upgrade to SPDY with the first of the client's versions that is among `supported`.
///
/// # Errors
/// The answer to send instead.
pub(in crate::server) fn spdy_answer(
    headers: &HeaderMap,
    supported: &[&'static str],
) -> Result<(Answer, &'static str), Refusal> {
    let upgrade = headers.get(UPGRADE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !upgrade.eq_ignore_ascii_case("SPDY/3.1") {
        let message = format!("unable to upgrade: missing upgrade headers in request: {upgrade:?}");
        return Err(Box::new(refuse(StatusCode::BAD_REQUEST, message)));
    }
    let offered: Vec<&str> = headers
        .get_all(VERSIONS)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .collect();
    let chosen = offered.iter().find_map(|offer| supported.iter().find(|known| *known == offer));
    let protocol = match chosen {
        Some(protocol) => *protocol,
        // The oldest clients do not negotiate.
        None if offered.is_empty() => supported[supported.len() - 1],
        None => {
            let message = format!(
                "unable to upgrade: unable to negotiate protocol: client supports {offered:?}, \
                 server accepts {supported:?}"
            );
            return Err(Box::new(refuse(StatusCode::FORBIDDEN, message)));
        }
    };
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("SPDY/3.1"));
    headers.insert(VERSIONS, HeaderValue::from_static(protocol));
    Ok((response, protocol))
}

async fn over_websocket(socket: websocket::Socket, protocol: &str, wanted: Wanted) -> Streams {
    let mut channels = Channels::new(socket, Codec::of(protocol), &[STDIN, RESIZE]);
    let lowest = if wanted.stdout {
        STDOUT
    } else if wanted.stderr {
        STDERR
    } else {
        ERROR
    };
    // Says that the connection stands.
    channels.send(lowest, b"").await;
    Streams {
        stdin: channels.reader(STDIN).filter(|_| wanted.stdin),
        stdout: wanted.stdout.then(|| channels.writer(STDOUT)),
        stderr: wanted.stderr.then(|| channels.writer(STDERR)),
        resize: channels.reader(RESIZE).filter(|_| wanted.tty),
        error: Some(channels.writer(ERROR)),
        structured: protocol.starts_with("v4.") || protocol.starts_with("v5."),
        ended: channels.ended(),
        connection: Connection::WebSocket(channels),
    }
}

async fn over_spdy(mut session: Session, protocol: &str, wanted: Wanted) -> io::Result<Streams> {
    let resizes = matches!(protocol, "v3.channel.k8s.io" | "v4.channel.k8s.io");
    let expected = 1
        + usize::from(wanted.stdin)
        + usize::from(wanted.stdout)
        + usize::from(wanted.stderr)
        + usize::from(wanted.tty && resizes);
    let (mut stdin, mut stdout, mut stderr, mut resize, mut error) = (None, None, None, None, None);
    let collect = async {
        for _ in 0..expected {
            let Some(stream) = session.accept().await else {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
            };
            match stream.header("streamtype").unwrap_or_default() {
                "stdin" => stdin = Some(stream.reader),
                "stdout" => stdout = Some(stream.writer),
                "stderr" => stderr = Some(stream.writer),
                "resize" => resize = Some(stream.reader),
                "error" => error = Some(stream.writer),
                other => {
                    return Err(io::Error::other(format!("unexpected stream type: {other:?}")));
                }
            }
        }
        Ok(())
    };
    tokio::time::timeout(CREATION_TIMEOUT, collect)
        .await
        .map_err(|_| io::Error::other("timed out waiting for client to create streams"))??;
    Ok(Streams {
        stdin,
        stdout,
        stderr,
        resize,
        error,
        structured: protocol == "v4.channel.k8s.io",
        ended: session.ended(),
        connection: Connection::Spdy(session),
    })
}

//! A gRPC client over HTTP/2 on a Unix socket, by the protocol's own page (`PROTOCOL-HTTP2.md`):
//! unary calls and streams of answers.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::net::UnixStream;
use tokio::sync::Mutex;

use super::status::{Code, Status};

/// Largest answer, as with upstream's client (`maxMsgSize`).
const MAX_MESSAGE: usize = 16 * 1024 * 1024;
/// How long the socket may take to be connected, as with upstream's client.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// A connection that is made when it is needed.
pub(super) struct Channel {
    socket: PathBuf,
    sender: Mutex<Option<SendRequest<Full<Bytes>>>>,
}

fn unavailable(message: impl std::fmt::Display) -> Status {
    Status::new(Code::Unavailable, message.to_string())
}

impl Channel {
    pub(super) fn new(socket: &Path) -> Self {
        Self { socket: socket.to_owned(), sender: Mutex::new(None) }
    }

    /// A connection that takes requests; the one there is unless it has ended.
    async fn sender(&self) -> Result<SendRequest<Full<Bytes>>, Status> {
        let mut held = self.sender.lock().await;
        if let Some(sender) = held.as_mut()
            && sender.ready().await.is_ok()
        {
            return Ok(sender.clone());
        }
        let failed = |what: &dyn std::fmt::Display| {
            unavailable(format!("connecting to {}: {what}", self.socket.display()))
        };
        let connecting = async {
            let stream = UnixStream::connect(&self.socket).await.map_err(|e| failed(&e))?;
            http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                .await
                .map_err(|e| failed(&e))
        };
        let (sender, connection) = tokio::time::timeout(CONNECT_TIMEOUT, connecting)
            .await
            .map_err(|_| failed(&"timed out"))??;
        telemetry::task::spawn("cri-connection", async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection to the container runtime lost");
            }
        });
        *held = Some(sender.clone());
        Ok(sender)
    }

    async fn send(
        &self,
        method: &str,
        message: &impl Message,
        deadline: Option<Duration>,
    ) -> Result<Response<Incoming>, Status> {
        let mut request = Request::post(format!("http://localhost/{method}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("user-agent", concat!("coxswain/", env!("CARGO_PKG_VERSION")));
        if let Some(deadline) = deadline {
            request = request.header("grpc-timeout", timeout_value(deadline));
        }
        let request =
            request.body(Full::new(encode(message))).map_err(|e| unavailable(e.to_string()))?;
        let response = self.sender().await?.send_request(request).await.map_err(unavailable)?;
        if response.status() != http::StatusCode::OK {
            return Err(unavailable(format!("HTTP status {}", response.status())));
        }
        // An answer without a message has its status among the headers.
        match Status::of(response.headers()) {
            Some(status) => status.into_result().map(|()| response),
            None => Ok(response),
        }
    }

    /// One request, one answer. `deadline` limits the whole of it.
    pub(super) async fn unary<R: Message + Default>(
        &self,
        method: &str,
        message: &impl Message,
        deadline: Option<Duration>,
    ) -> Result<R, Status> {
        let work = async {
            let response = self.send(method, message, deadline).await?;
            let mut answers = Answers::new(response.into_body());
            let answer = answers.next().await?;
            let answer = answer.ok_or_else(|| unavailable("the answer is empty"))?;
            // The status comes after the answer, and decides.
            while answers.next::<R>().await?.is_some() {}
            Ok(answer)
        };
        match deadline {
            Some(deadline) => tokio::time::timeout(deadline, work).await.unwrap_or_else(|_| {
                Err(Status::new(Code::DeadlineExceeded, "context deadline exceeded".to_owned()))
            }),
            None => work.await,
        }
    }

    /// One request, and answers until the runtime ends them.
    pub(super) async fn stream(
        &self,
        method: &str,
        message: &impl Message,
    ) -> Result<Answers, Status> {
        Ok(Answers::new(self.send(method, message, None).await?.into_body()))
    }
}

/// The answers of one call.
pub(super) struct Answers {
    body: Incoming,
    buffer: BytesMut,
    ended: bool,
}

impl Answers {
    fn new(body: Incoming) -> Self {
        Self { body, buffer: BytesMut::new(), ended: false }
    }

    /// The next answer; `None` after the last one of a call that succeeded.
    pub(super) async fn next<R: Message + Default>(&mut self) -> Result<Option<R>, Status> {
        loop {
            if let Some(message) = decode(&mut self.buffer)? {
                return R::decode(message)
                    .map(Some)
                    .map_err(|error| Status::new(Code::Internal, error.to_string()));
            }
            if self.ended {
                return Ok(None);
            }
            match self.body.frame().await {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.buffer.extend_from_slice(&data),
                    Err(frame) => self.end(frame.into_trailers().ok())?,
                },
                Some(Err(error)) => return Err(unavailable(error)),
                None => self.end(None)?,
            }
        }
    }

    fn end(&mut self, trailers: Option<HeaderMap>) -> Result<(), Status> {
        self.ended = true;
        let status = trailers.as_ref().and_then(Status::of);
        status.ok_or_else(|| unavailable("the answer ended without a status"))?.into_result()
    }
}

/// A message with its prefix: not compressed, so long.
fn encode(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut out = BytesMut::with_capacity(5 + length);
    out.put_u8(0);
    out.put_u32(length as u32);
    out.put_slice(&message.encode_to_vec());
    out.freeze()
}

/// Takes one message from the front of `buffer`, if it is there as a whole.
fn decode(buffer: &mut BytesMut) -> Result<Option<Bytes>, Status> {
    let Some((prefix, rest)) = buffer.split_first_chunk::<5>() else { return Ok(None) };
    let [compressed, length @ ..] = *prefix;
    let length = u32::from_be_bytes(length) as usize;
    if compressed != 0 {
        return Err(Status::new(Code::Internal, "compressed gRPC message".to_owned()));
    }
    if length > MAX_MESSAGE {
        let message =
            format!("grpc: received message larger than max ({length} vs. {MAX_MESSAGE})");
        return Err(Status::new(Code::ResourceExhausted, message));
    }
    if rest.len() < length {
        return Ok(None);
    }
    buffer.advance(5);
    Ok(Some(buffer.split_to(length).freeze()))
}

/// At most eight digits and a unit.
fn timeout_value(deadline: Duration) -> String {
    match deadline.as_millis() {
        millis @ 0..100_000_000 => format!("{millis}m"),
        millis => format!("{}S", (millis / 1000).min(99_999_999)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cri::proto::VersionRequest;

    #[test]
    fn messages_are_framed_and_come_in_pieces() {
        let message = VersionRequest { version: "v1".to_owned() };
        let bytes = encode(&message);
        assert_eq!(&bytes[..], b"\0\0\0\0\x04\x0a\x02v1");
        let mut buffer = BytesMut::new();
        for piece in bytes.chunks(3) {
            assert_eq!(decode(&mut buffer).unwrap(), None);
            buffer.extend_from_slice(piece);
        }
        buffer.extend_from_slice(&bytes);
        for _ in 0..2 {
            let whole = decode(&mut buffer).unwrap().unwrap();
            assert_eq!(VersionRequest::decode(whole).unwrap(), message);
        }
        assert!(buffer.is_empty());
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        assert!(decode(&mut BytesMut::from(&b"\x01\0\0\0\0"[..])).is_err());
        assert!(decode(&mut BytesMut::from(&b"\0\xff\0\0\0"[..])).is_err());
    }

    #[test]
    fn timeouts_fit_their_eight_digits() {
        assert_eq!(timeout_value(Duration::from_secs(120)), "120000m");
        assert_eq!(timeout_value(Duration::from_secs(1_000_000)), "1000000S");
    }
}

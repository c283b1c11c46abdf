//! The gRPC health check, `grpc.health.v1.Health/Check`, with its two messages written by hand.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http::Request;
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::dial::{self, dial, join};
use super::run::Outcome;

const SERVING: u64 = 1;
const MAX_ANSWER: usize = 64 * 1024;
const UNIMPLEMENTED: &str = "12";
const NOT_FOUND: &str = "5";

pub(super) async fn probe(host: &str, port: u16, service: &str, timeout: Duration) -> Outcome {
    let address = join(host, port);
    let within = format!("{}s", timeout.as_secs());
    match tokio::time::timeout(timeout, check(host, port, service)).await {
        Err(_) => Outcome::Failure(format!("timeout: health rpc did not complete within {within}")),
        Ok(Err(error @ (Failed::Dial(_) | Failed::Handshake(_)))) => Outcome::Failure(format!(
            "failed to connect service {address:?} within {within}: {error}"
        )),
        Ok(Err(error)) => Outcome::Failure(error.to_string()),
        Ok(Ok(SERVING)) => Outcome::Success,
        Ok(Ok(status)) => {
            let word = match status {
                0 => "UNKNOWN",
                2 => "NOT_SERVING",
                3 => "SERVICE_UNKNOWN",
                _ => "UNRECOGNIZED",
            };
            Outcome::Failure(format!("service unhealthy (responded with {word:?})"))
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Dial(#[from] dial::Error),
    #[error(transparent)]
    Handshake(hyper::Error),
    #[error("health rpc failed: {0}")]
    Request(#[from] http::Error),
    #[error("health rpc failed: {0}")]
    Exchange(#[from] hyper::Error),
    #[error("health rpc failed: {0}")]
    Answer(Box<dyn std::error::Error + Send + Sync>),
    #[error("this server does not implement the grpc health protocol (grpc.health.v1.Health)")]
    Unimplemented,
    #[error("health rpc failed: service unknown")]
    NotFound,
    #[error("health rpc failed: code {code}: {message}")]
    Code { code: String, message: String },
}

async fn check(host: &str, port: u16, service: &str) -> Result<u64, Failed> {
    let stream = dial(host, port, Duration::MAX).await?;
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .map_err(Failed::Handshake)?;
    // It ends by itself once nobody waits for an answer.
    telemetry::task::spawn("probe-connection", connection);
    let uri = format!("http://{}/grpc.health.v1.Health/Check", join(host, port));
    let request = Request::post(uri)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("user-agent", "kube-probe/1.35")
        .body(Full::new(frame(&request(service))))?;
    let response = sender.send_request(request).await?;
    let headers = response.headers().clone();
    let body =
        Limited::new(response.into_body(), MAX_ANSWER).collect().await.map_err(Failed::Answer)?;
    let trailers = body.trailers().cloned().unwrap_or_default();
    let field = |name: &str| {
        let value = trailers.get(name).or_else(|| headers.get(name));
        value.and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    };
    match field("grpc-status").as_str() {
        "0" | "" => Ok(status(&body.to_bytes())),
        UNIMPLEMENTED => Err(Failed::Unimplemented),
        NOT_FOUND => Err(Failed::NotFound),
        code => Err(Failed::Code { code: code.to_owned(), message: field("grpc-message") }),
    }
}

/// `HealthCheckRequest { service = 1 }`.
fn request(service: &str) -> Vec<u8> {
    let mut out = Vec::new();
    if !service.is_empty() {
        out.push(0x0a);
        let mut length = service.len();
        while length >= 0x80 {
            out.push(length as u8 | 0x80);
            length >>= 7;
        }
        out.push(length as u8);
        out.extend_from_slice(service.as_bytes());
    }
    out
}

/// A message as gRPC frames it: not compressed, length, bytes.
fn frame(message: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(5 + message.len());
    out.put_u8(0);
    out.put_u32(message.len() as u32);
    out.extend_from_slice(message);
    out.freeze()
}

/// `HealthCheckResponse { status = 1 }` out of its frame; absent means 0.
fn status(frame: &[u8]) -> u64 {
    let Some([0x08, rest @ ..]) = frame.get(5..) else { return 0 };
    let mut value = 0;
    for (index, byte) in rest.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            break;
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages() {
        assert_eq!(&frame(&request("ab"))[..], b"\0\0\0\0\x04\x0a\x02ab");
        assert_eq!(&frame(&request(""))[..], b"\0\0\0\0\0");
        assert_eq!(request(&"x".repeat(200))[..3], [0x0a, 0xc8, 0x01]);
        assert_eq!(status(b"\0\0\0\0\x02\x08\x01"), SERVING);
        assert_eq!(status(b"\0\0\0\0\0"), 0);
        assert_eq!(status(b""), 0);
    }
}

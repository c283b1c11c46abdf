//! A unary gRPC call over hyper's HTTP/2, and the one message of etcd that is needed.
//!
//! Wire format: gRPC over HTTP/2 (`grpc/doc/PROTOCOL-HTTP2.md`); `etcdserverpb.PutRequest` has the
//! key in field 1 and the value in field 2.

use anyhow::{Result, ensure};
use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper::{HeaderMap, Request};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

/// One connection; clones share it.
#[derive(Clone)]
pub(crate) struct Channel {
    send: SendRequest<Full<Bytes>>,
    authority: String,
}

impl Channel {
    pub(crate) async fn connect(authority: &str) -> Result<Self> {
        let stream = TcpStream::connect(authority).await?;
        stream.set_nodelay(true)?;
        let (send, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self { send, authority: authority.to_owned() })
    }

    /// Calls `method`, such as `/etcdserverpb.KV/Put`, and expects success.
    pub(crate) async fn call(&mut self, method: &str, frame: Bytes) -> Result<()> {
        let request = Request::post(format!("http://{}{method}", self.authority))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(Full::new(frame))?;
        let response = self.send.send_request(request).await?;
        let (head, body) = response.into_parts();
        let answer = body.collect().await?;
        // A failure may come without a body, its status among the headers.
        let status = answer.trailers().and_then(status).or_else(|| status(&head.headers));
        ensure!(
            head.status.is_success() && status == Some("0"),
            "{method} answered HTTP {} and gRPC status {status:?}",
            head.status
        );
        Ok(())
    }
}

fn status(headers: &HeaderMap) -> Option<&str> {
    headers.get("grpc-status")?.to_str().ok()
}

/// An uncompressed gRPC frame that holds a `PutRequest`.
pub(crate) fn put_frame(key: &[u8], value: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(key.len() + value.len() + 16);
    frame.put_u8(0);
    frame.put_u32(0);
    field(&mut frame, 1, key);
    field(&mut frame, 2, value);
    let len = (frame.len() - 5) as u32;
    frame[1..5].copy_from_slice(&len.to_be_bytes());
    frame.freeze()
}

fn field(out: &mut BytesMut, number: u8, bytes: &[u8]) {
    const LENGTH_DELIMITED: u8 = 2;
    out.put_u8(number << 3 | LENGTH_DELIMITED);
    let mut len = bytes.len();
    while len >= 0x80 {
        out.put_u8(len as u8 | 0x80);
        len >>= 7;
    }
    out.put_u8(len as u8);
    out.put_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_put_is_framed_as_grpc_wants_it() {
        let frame = put_frame(b"k", &[7; 300]);
        assert_eq!(&frame[..11], [0, 0, 0, 1, 0x32, 0x0a, 1, b'k', 0x12, 0xac, 0x02]);
        assert_eq!(&frame[11..], [7; 300]);
    }
}

//! A forwarded connection: `portforward.k8s.io`, a data and an error stream.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use super::{connect, failed, stream_type};
use crate::spdy::{Client, Stream};
use crate::{Reader, Result};

const PROTOCOL: &str = "portforward.k8s.io";
/// Longest error message that is read.
const MAX_MESSAGE: u64 = 1 << 16;

/// A connection to a port of a sandbox.
pub(in crate::cri) struct Forwarded {
    data: Stream,
    /// The server's error message when the stream ends; empty on success.
    error: Option<BoxFuture<'static, String>>,
    _client: Client,
}

impl Forwarded {
    /// Connects to a port at a URL of the streaming server.
    pub(in crate::cri) async fn open(url: &str, port: u16) -> Result<Self> {
        let client = connect(url, PROTOCOL).await?;
        Self::over(client, port).await.map_err(|error| failed(url, error))
    }

    async fn over(client: Client, port: u16) -> io::Result<Self> {
        let headers = |kind| {
            let mut headers = stream_type(kind);
            headers.push(("port".to_owned(), port.to_string()));
            headers.push(("requestid".to_owned(), "0".to_owned()));
            headers
        };
        let error = client.open(headers("error")).await?.reader;
        let data = client.open(headers("data")).await?;
        Ok(Self { data, error: Some(message(error).boxed()), _client: client })
    }
}

async fn message(error: Reader) -> String {
    let mut text = Vec::new();
    let _ = error.take(MAX_MESSAGE).read_to_end(&mut text).await;
    String::from_utf8_lossy(&text).into_owned()
}

impl AsyncRead for Forwarded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.data.reader).poll_read(cx, buffer))?;
        if buffer.filled().len() > before || buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        // The end; the server says on the other stream whether it is a good one.
        if let Some(error) = self.error.as_mut() {
            let message = ready!(error.poll_unpin(cx));
            self.error = None;
            if !message.is_empty() {
                return Poll::Ready(Err(io::Error::other(message)));
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Forwarded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.data.writer).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.data.writer).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.data.writer).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;
    use crate::spdy;

    async fn ends(last: &'static [u8]) -> (String, io::Result<()>) {
        let (near, far) = tokio::io::duplex(1 << 16);
        let server = tokio::spawn(async move {
            let mut session = spdy::Session::new(Box::new(far)).unwrap();
            let mut error = session.accept().await.unwrap();
            let mut data = session.accept().await.unwrap();
            assert_eq!((error.header("port"), data.header("requestid")), (Some("80"), Some("0")));
            let mut got = Vec::new();
            data.reader.read_to_end(&mut got).await.unwrap();
            data.writer.write_all(&got).await.unwrap();
            data.writer.shutdown().await.unwrap();
            error.writer.write_all(last).await.unwrap();
            error.writer.shutdown().await.unwrap();
            drop((data, error));
            session.close().await;
        });
        let client = Client::new(Box::new(near)).unwrap();
        let mut forwarded = Forwarded::over(client, 80).await.unwrap();
        forwarded.write_all(b"echo").await.unwrap();
        forwarded.shutdown().await.unwrap();
        let mut back = vec![0; 4];
        forwarded.read_exact(&mut back).await.unwrap();
        let end = forwarded.read_to_end(&mut Vec::new()).await.map(drop);
        server.await.unwrap();
        (String::from_utf8(back).unwrap(), end)
    }

    #[tokio::test]
    async fn bytes_come_back_and_errors_too() {
        let (back, end) = ends(b"").await;
        assert_eq!(back, "echo");
        end.unwrap();
        let (_, end) = ends(b"connection refused").await;
        assert_eq!(end.unwrap_err().to_string(), "connection refused");
    }
}

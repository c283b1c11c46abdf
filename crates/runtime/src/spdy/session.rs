//! The server's role: a SPDY connection as a source of streams.

use std::io;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Stream;
use super::connection::{Connection, QUEUE};
use crate::ByteStream;

/// A SPDY connection of a server. Dropping it closes the connection at once.
pub struct Session {
    streams: mpsc::Receiver<Stream>,
    connection: Connection,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}

impl Session {
    /// Speaks SPDY over a connection that was upgraded to it.
    ///
    /// # Errors
    /// The compression could not be set up.
    pub fn new(connection: ByteStream) -> io::Result<Self> {
        let (opened, streams) = mpsc::channel(QUEUE);
        Ok(Self { streams, connection: Connection::new(connection, Some(opened))? })
    }

    /// The next stream the client opens; `None` when the connection has ended.
    pub async fn accept(&mut self) -> Option<Stream> {
        self.streams.recv().await
    }

    /// Cancelled once the client has closed the connection.
    #[must_use]
    pub fn ended(&self) -> CancellationToken {
        self.connection.ended()
    }

    /// Says goodbye and returns when everything is written.
    pub async fn close(self) {
        self.connection.close().await;
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::spdy::frame::{FrameReader, Incoming};
    use crate::spdy::headers::Encoder;

    /// The frame by which a client opens a stream, with its own compression state.
    fn open(encoder: &mut Encoder, stream: u32, kind: &str) -> Vec<u8> {
        let headers = vec![("streamtype".to_owned(), kind.to_owned())];
        let block = encoder.encode(&headers).unwrap();
        let mut out = vec![0x80, 3, 0, 1, 0, 0, 0, 10 + block.len() as u8];
        out.extend(stream.to_be_bytes());
        out.extend([0; 6]);
        out.extend(block);
        out
    }

    #[tokio::test]
    async fn streams_are_opened_echoed_and_closed() {
        let (mut client, server) = tokio::io::duplex(1 << 16);
        let mut session = Session::new(Box::new(server)).unwrap();
        let mut encoder = Encoder::new().unwrap();
        let mut request = open(&mut encoder, 1, "stdin");
        request.extend(open(&mut encoder, 3, "stdout"));
        request.extend([0, 0, 0, 1, 1, 0, 0, 2, b'h', b'i']);
        client.write_all(&request).await.unwrap();

        let mut stdin = session.accept().await.unwrap();
        let mut stdout = session.accept().await.unwrap();
        assert_eq!(
            (stdin.header("streamtype"), stdout.header("streamtype")),
            (Some("stdin"), Some("stdout"))
        );
        let mut text = String::new();
        stdin.reader.read_to_string(&mut text).await.unwrap();
        stdout.writer.write_all(text.as_bytes()).await.unwrap();
        stdout.writer.shutdown().await.unwrap();
        drop((stdin, stdout));
        session.close().await;

        let (read, _write) = tokio::io::split(client);
        let mut frames = FrameReader::new(read);
        let mut seen = Vec::new();
        while let Some(frame) = frames.next().await.unwrap() {
            if let Incoming::Data { stream, fin, bytes } = frame {
                seen.push((stream, fin, bytes));
            }
        }
        let hi = Bytes::from_static(b"hi");
        assert_eq!(seen, [(3, false, hi), (3, true, Bytes::new())]);
    }
}

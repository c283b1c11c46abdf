//! The client's role: it opens the streams.

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio_util::sync::CancellationToken;

use super::connection::Connection;
use super::{Headers, Stream};
use crate::ByteStream;

/// A SPDY connection of a client. Dropping it closes the connection at once; what has arrived can
/// still be read.
pub struct Client {
    connection: Connection,
    next: AtomicU32,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

impl Client {
    /// Speaks SPDY over a connection that was upgraded to it.
    ///
    /// # Errors
    /// The compression could not be set up.
    pub fn new(connection: ByteStream) -> io::Result<Self> {
        // Section 2.3.2 of the specification: the client's streams are odd.
        Ok(Self { connection: Connection::new(connection, None)?, next: AtomicU32::new(1) })
    }

    /// Opens a stream. Names of headers are lower case.
    ///
    /// # Errors
    /// The connection has ended.
    pub async fn open(&self, headers: Headers) -> io::Result<Stream> {
        let id = self.next.fetch_add(2, Ordering::Relaxed);
        self.connection.open(id, headers).await
    }

    /// Cancelled once the server has closed the connection.
    #[must_use]
    pub fn ended(&self) -> CancellationToken {
        self.connection.ended()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::spdy::Session;

    fn kind(name: &str) -> Headers {
        vec![("streamtype".to_owned(), name.to_owned())]
    }

    #[tokio::test]
    async fn streams_end_each_half_by_itself() {
        let (near, far) = tokio::io::duplex(1 << 16);
        let client = Client::new(Box::new(near)).unwrap();
        let mut server = Session::new(Box::new(far)).unwrap();
        let mut stdin = client.open(kind("stdin")).await.unwrap();
        let mut error = client.open(kind("error")).await.unwrap();
        stdin.writer.write_all(b"in").await.unwrap();
        stdin.writer.shutdown().await.unwrap();

        let mut theirs = server.accept().await.unwrap();
        let mut status = server.accept().await.unwrap();
        assert_eq!(
            (theirs.header("streamtype"), status.header("streamtype")),
            (Some("stdin"), Some("error"))
        );
        let mut text = String::new();
        theirs.reader.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "in");
        theirs.writer.write_all(&vec![b'x'; 200_000]).await.unwrap();
        theirs.writer.shutdown().await.unwrap();
        status.writer.write_all(b"done").await.unwrap();
        let closed = tokio::spawn(async move {
            drop((theirs, status));
            server.close().await;
        });

        let mut back = Vec::new();
        stdin.reader.read_to_end(&mut back).await.unwrap();
        assert_eq!(back.len(), 200_000);
        let mut last = String::new();
        error.reader.read_to_string(&mut last).await.unwrap();
        assert_eq!(last, "done");
        closed.await.unwrap();
        client.ended().cancelled().await;
    }

    #[tokio::test]
    async fn a_lost_connection_ends_the_streams() {
        let (near, far) = tokio::io::duplex(1 << 16);
        let client = Client::new(Box::new(near)).unwrap();
        let mut stream = client.open(kind("error")).await.unwrap();
        drop(far);
        assert_eq!(stream.reader.read_to_end(&mut Vec::new()).await.unwrap(), 0);
        client.ended().cancelled().await;
        assert!(client.open(kind("stdin")).await.is_err());
    }
}

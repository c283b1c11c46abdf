//! A SPDY connection as a source of streams.

use std::collections::HashMap;
use std::io;

use bytes::{Bytes, BytesMut};
use runtime::{ByteStream, Reader, Writer};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::frame::{FrameReader, Incoming, Outgoing};
use super::headers::{Decoder, Encoder, Headers};
use crate::server::stream::{ChannelReader, ChannelWriter};

/// Messages in flight per stream.
const QUEUE: usize = 16;
/// Streams one client may have open: more than any protocol of ours needs.
const MAX_STREAMS: usize = 1024;

/// A stream the client opened.
pub(in crate::server) struct Stream {
    pub(in crate::server) headers: Headers,
    pub(in crate::server) reader: Reader,
    pub(in crate::server) writer: Writer,
}

impl Stream {
    /// A header by its lower-case name.
    pub(in crate::server) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// A SPDY connection. Dropping it closes the connection at once.
pub(in crate::server) struct Session {
    streams: mpsc::Receiver<Stream>,
    outgoing: mpsc::Sender<Outgoing>,
    reader: JoinHandle<()>,
    writer: Option<JoinHandle<()>>,
    ended: CancellationToken,
}

impl Session {
    /// Speaks SPDY over a connection that was upgraded to it.
    pub(in crate::server) fn new(connection: ByteStream) -> io::Result<Self> {
        let (read, write) = tokio::io::split(connection);
        let (outgoing, to_write) = mpsc::channel(QUEUE);
        let (opened, streams) = mpsc::channel(QUEUE);
        let encoder = Encoder::new()?;
        let writer = tokio::spawn(async move {
            if let Err(error) = write_frames(write, to_write, encoder).await {
                tracing::debug!(%error, "SPDY connection not written");
            }
        });
        let replies = outgoing.clone();
        let ended = CancellationToken::new();
        let guard = ended.clone().drop_guard();
        let reader = tokio::spawn(async move {
            let _guard = guard;
            if let Err(error) = read_frames(FrameReader::new(read), replies, opened).await {
                tracing::debug!(%error, "SPDY connection not read");
            }
        });
        Ok(Self { streams, outgoing, reader, writer: Some(writer), ended })
    }

    /// The next stream the client opens; `None` when the connection has ended.
    pub(in crate::server) async fn accept(&mut self) -> Option<Stream> {
        self.streams.recv().await
    }

    /// Cancelled once the client has closed the connection.
    pub(in crate::server) fn ended(&self) -> CancellationToken {
        self.ended.clone()
    }

    /// Says goodbye and returns when everything is written.
    pub(in crate::server) async fn close(mut self) {
        let _ = self.outgoing.send(Outgoing::GoAway { last_stream: 0 }).await;
        let writer = self.writer.take();
        drop(self);
        if let Some(writer) = writer {
            let _ = writer.await;
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.reader.abort();
        if let Some(writer) = &self.writer {
            writer.abort();
        }
    }
}

async fn write_frames<W: AsyncWrite + Unpin>(
    mut write: W,
    mut frames: mpsc::Receiver<Outgoing>,
    mut encoder: Encoder,
) -> io::Result<()> {
    let mut buffer = BytesMut::new();
    while let Some(frame) = frames.recv().await {
        let headers = match &frame {
            Outgoing::Accept { .. } => encoder.encode(&Headers::new())?,
            _ => Vec::new(),
        };
        frame.encode(&headers, &mut buffer);
        write.write_all_buf(&mut buffer).await?;
        if frames.is_empty() {
            write.flush().await?;
        }
    }
    write.shutdown().await
}

async fn read_frames<R: tokio::io::AsyncRead + Unpin>(
    mut frames: FrameReader<R>,
    replies: mpsc::Sender<Outgoing>,
    opened: mpsc::Sender<Stream>,
) -> io::Result<()> {
    let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
    let mut decoder = Decoder::default();
    let mut open: HashMap<u32, mpsc::Sender<Bytes>> = HashMap::new();
    while let Some(frame) = frames.next().await? {
        match frame {
            Incoming::Open { stream, fin, headers } => {
                let headers = decoder.decode(&headers)?;
                open.retain(|_, sender| !sender.is_closed());
                if open.len() >= MAX_STREAMS {
                    replies.send(Outgoing::Reset { stream }).await.map_err(gone)?;
                    continue;
                }
                let (sender, receiver) = mpsc::channel(QUEUE);
                if !fin {
                    open.insert(stream, sender);
                }
                replies.send(Outgoing::Accept { stream }).await.map_err(gone)?;
                let wrap = move |bytes| Outgoing::Data { stream, fin: false, bytes };
                let end = Outgoing::Data { stream, fin: true, bytes: Bytes::new() };
                let stream = Stream {
                    headers,
                    reader: Box::new(ChannelReader::new(receiver)),
                    writer: Box::new(ChannelWriter::new(replies.clone(), wrap, Some(end))),
                };
                opened
                    .send(stream)
                    .await
                    .map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
            }
            Incoming::Data { stream, fin, bytes } => {
                if let Some(sender) = open.get(&stream)
                    && !bytes.is_empty()
                {
                    // Nobody reads it any more, which is for its writer to find out.
                    let _ = sender.send(bytes).await;
                }
                if fin {
                    open.remove(&stream);
                }
            }
            Incoming::Reset { stream } => drop(open.remove(&stream)),
            Incoming::Ping { id } => replies.send(Outgoing::Ping { id }).await.map_err(gone)?,
            Incoming::Headers { block } => drop(decoder.decode(&block)?),
            Incoming::GoAway | Incoming::Ignored => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;

    /// What a client sends to open a stream, with its own compression state.
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

//! The part that both roles of a SPDY connection share: a task that reads frames, one that writes.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::Stream;
use super::channel::{self, ChannelWriter};
use super::frame::{FrameReader, Incoming, Outgoing};
use super::headers::{Decoder, Encoder, Headers};
use crate::ByteStream;

/// Messages in flight per stream.
pub(super) const QUEUE: usize = 16;
/// Streams one client may have open: more than any protocol of ours needs.
const MAX_STREAMS: usize = 1024;

fn gone() -> io::Error {
    io::ErrorKind::BrokenPipe.into()
}

/// Where the bytes of each stream go.
type Receivers = HashMap<u32, mpsc::Sender<Bytes>>;

/// The streams that are open; `None` once the connection has ended.
#[derive(Clone)]
struct Open(Arc<Mutex<Option<Receivers>>>);

impl Open {
    fn insert(&self, stream: u32, sender: mpsc::Sender<Bytes>) -> io::Result<bool> {
        let mut map = self.0.lock();
        let map = map.as_mut().ok_or_else(gone)?;
        map.retain(|_, sender| !sender.is_closed());
        let room = map.len() < MAX_STREAMS;
        if room {
            map.insert(stream, sender);
        }
        Ok(room)
    }

    fn get(&self, stream: u32) -> Option<mpsc::Sender<Bytes>> {
        self.0.lock().as_ref()?.get(&stream).cloned()
    }

    fn remove(&self, stream: u32) {
        if let Some(map) = self.0.lock().as_mut() {
            map.remove(&stream);
        }
    }
}

/// A SPDY connection. Dropping it closes the connection at once.
pub(super) struct Connection {
    open: Open,
    outgoing: mpsc::Sender<Outgoing>,
    reader: JoinHandle<()>,
    writer: Option<JoinHandle<()>>,
    ended: CancellationToken,
}

impl Connection {
    /// Speaks SPDY; streams that the other side opens go to `opened`, without it they are refused.
    pub(super) fn new(
        connection: ByteStream,
        opened: Option<mpsc::Sender<Stream>>,
    ) -> io::Result<Self> {
        let (read, write) = tokio::io::split(connection);
        let (outgoing, to_write) = mpsc::channel(QUEUE);
        let encoder = Encoder::new()?;
        let writer = telemetry::task::spawn("spdy-writer", async move {
            if let Err(error) = write_frames(write, to_write, encoder).await {
                tracing::debug!(%error, "SPDY connection not written");
            }
        });
        let ended = CancellationToken::new();
        let guard = ended.clone().drop_guard();
        let open = Open(Arc::new(Mutex::new(Some(HashMap::new()))));
        let (streams, replies) = (open.clone(), outgoing.clone());
        let reader = telemetry::task::spawn("spdy-reader", async move {
            let _guard = guard;
            let frames = FrameReader::new(read);
            if let Err(error) = read_frames(frames, &streams, replies, opened).await {
                tracing::debug!(%error, "SPDY connection not read");
            }
            *streams.0.lock() = None;
        });
        Ok(Self { open, outgoing, reader, writer: Some(writer), ended })
    }

    /// Opens a stream of this side.
    pub(super) async fn open(&self, stream: u32, headers: Headers) -> io::Result<Stream> {
        let Some(opened) = register(&self.open, &self.outgoing, stream, headers.clone())? else {
            return Err(io::Error::other("too many SPDY streams"));
        };
        self.outgoing.send(Outgoing::Open { stream, headers }).await.map_err(|_| gone())?;
        Ok(opened)
    }

    /// Cancelled once the other side has closed the connection.
    pub(super) fn ended(&self) -> CancellationToken {
        self.ended.clone()
    }

    /// Says goodbye and returns when everything is written.
    pub(super) async fn close(mut self) {
        let _ = self.outgoing.send(Outgoing::GoAway { last_stream: 0 }).await;
        let writer = self.writer.take();
        drop(self);
        if let Some(writer) = writer {
            let _ = writer.await;
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.reader.abort();
        if let Some(writer) = &self.writer {
            writer.abort();
        }
        *self.open.0.lock() = None;
    }
}

/// Makes both ends of a stream; `None` where there are too many already.
fn register(
    open: &Open,
    outgoing: &mpsc::Sender<Outgoing>,
    stream: u32,
    headers: Headers,
) -> io::Result<Option<Stream>> {
    let (sender, receiver) = mpsc::channel(QUEUE);
    if !open.insert(stream, sender)? {
        return Ok(None);
    }
    let wrap = move |bytes| Outgoing::Data { stream, fin: false, bytes };
    let end = Outgoing::Data { stream, fin: true, bytes: Bytes::new() };
    Ok(Some(Stream {
        headers,
        reader: Box::new(channel::reader(receiver)),
        writer: Box::new(ChannelWriter::new(outgoing.clone(), wrap, Some(end))),
    }))
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
            Outgoing::Open { headers, .. } => encoder.encode(headers)?,
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

async fn read_frames<R: AsyncRead + Unpin>(
    mut frames: FrameReader<R>,
    open: &Open,
    replies: mpsc::Sender<Outgoing>,
    opened: Option<mpsc::Sender<Stream>>,
) -> io::Result<()> {
    let mut decoder = Decoder::default();
    while let Some(frame) = frames.next().await? {
        match frame {
            Incoming::Open { stream, fin, headers } => {
                let headers = decoder.decode(&headers)?;
                let made = match &opened {
                    Some(opened) => register(open, &replies, stream, headers)?.zip(Some(opened)),
                    None => None,
                };
                let Some((made, opened)) = made else {
                    replies.send(Outgoing::Reset { stream }).await.map_err(|_| gone())?;
                    continue;
                };
                if fin {
                    open.remove(stream);
                }
                replies.send(Outgoing::Accept { stream }).await.map_err(|_| gone())?;
                opened.send(made).await.map_err(|_| gone())?;
            }
            Incoming::Data { stream, fin, bytes } => {
                if let Some(sender) = open.get(stream)
                    && !bytes.is_empty()
                {
                    // The reader is gone, which the writer will find out.
                    let _ = sender.send(bytes).await;
                }
                if fin {
                    open.remove(stream);
                }
            }
            Incoming::Reset { stream } => open.remove(stream),
            // This side sends none, so it is never the answer to one.
            Incoming::Ping { id } => {
                replies.send(Outgoing::Ping { id }).await.map_err(|_| gone())?;
            }
            Incoming::Headers { fin, stream, block } => {
                decoder.decode(&block)?;
                if fin {
                    open.remove(stream);
                }
            }
            Incoming::GoAway | Incoming::Ignored => {}
        }
    }
    Ok(())
}

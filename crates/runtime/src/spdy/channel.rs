//! Byte streams over channels: what all streaming protocols come down to.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::stream::poll_fn;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio_util::io::StreamReader;
use tokio_util::sync::PollSender;

/// Most bytes that are sent as one message.
const CHUNK: usize = 32 * 1024;

/// Reads what is sent on a channel; its end is the end of the stream.
pub fn reader(mut receiver: mpsc::Receiver<Bytes>) -> impl AsyncRead + Send + Unpin {
    StreamReader::new(poll_fn(move |cx| {
        receiver.poll_recv(cx).map(|bytes| bytes.map(io::Result::Ok))
    }))
}

/// Sends what is written, each piece wrapped into a message of the protocol.
pub struct ChannelWriter<T> {
    sender: PollSender<T>,
    wrap: Box<dyn Fn(Bytes) -> T + Send + Sync>,
    /// Says that nothing more comes.
    end: Option<T>,
}

impl<T> std::fmt::Debug for ChannelWriter<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChannelWriter").finish_non_exhaustive()
    }
}

impl<T: Send + 'static> ChannelWriter<T> {
    /// Sends to `sender`, and `end` when it is shut down.
    pub fn new(
        sender: mpsc::Sender<T>,
        wrap: impl Fn(Bytes) -> T + Send + Sync + 'static,
        end: Option<T>,
    ) -> Self {
        Self { sender: PollSender::new(sender), wrap: Box::new(wrap), end }
    }
}

impl<T: Send + Unpin + 'static> AsyncWrite for ChannelWriter<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let closed = |_| io::Error::from(io::ErrorKind::BrokenPipe);
        ready!(self.sender.poll_reserve(cx)).map_err(closed)?;
        let piece = &bytes[..bytes.len().min(CHUNK)];
        let message = (self.wrap)(Bytes::copy_from_slice(piece));
        self.sender.send_item(message).map_err(closed)?;
        Poll::Ready(Ok(piece.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let closed = |_| io::Error::from(io::ErrorKind::BrokenPipe);
        if self.end.is_some() {
            ready!(self.sender.poll_reserve(cx)).map_err(closed)?;
            if let Some(end) = self.end.take() {
                self.sender.send_item(end).map_err(closed)?;
            }
        }
        self.sender.close();
        Poll::Ready(Ok(()))
    }
}

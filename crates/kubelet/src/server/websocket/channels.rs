//! Kubernetes' channel protocol: the first byte of a message says which stream it belongs to.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use runtime::{Reader, Writer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
use tokio_util::sync::CancellationToken;

use runtime::spdy::{self, ChannelWriter};

/// With version 5 a message from the client on this channel closes the one it names.
const CLOSE: u8 = 255;
/// Messages in flight per channel.
const QUEUE: usize = 16;

/// How a sub-protocol writes its messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) struct Codec {
    /// Text messages in base64, with the channel as a digit.
    pub(in crate::server) base64: bool,
    /// The client can close single channels.
    pub(in crate::server) closes: bool,
}

impl Codec {
    /// The codec of a sub-protocol by its name.
    pub(in crate::server) fn of(protocol: &str) -> Self {
        Self { base64: protocol.contains("base64"), closes: protocol.starts_with("v5.") }
    }

    fn encode(self, channel: u8, bytes: &[u8]) -> Message {
        if self.base64 {
            let mut text = String::from(char::from(b'0' + channel));
            STANDARD.encode_string(bytes, &mut text);
            return Message::text(text);
        }
        let mut message = Vec::with_capacity(1 + bytes.len());
        message.push(channel);
        message.extend_from_slice(bytes);
        Message::binary(message)
    }

    fn decode(self, message: Message) -> Option<(u8, Bytes)> {
        let mut data = message.into_data();
        if data.is_empty() {
            return None;
        }
        let first = data.split_to(1)[0];
        if self.base64 {
            return Some((first.checked_sub(b'0')?, STANDARD.decode(data).ok()?.into()));
        }
        Some((first, data))
    }
}

/// A connection as channels. Dropping it closes the connection at once.
pub(in crate::server) struct Channels {
    codec: Codec,
    outgoing: mpsc::Sender<Message>,
    readers: HashMap<u8, mpsc::Receiver<Bytes>>,
    reader: JoinHandle<()>,
    writer: Option<JoinHandle<()>>,
    ended: CancellationToken,
}

impl Channels {
    /// Speaks the protocol over a connection. Messages on channels other than `readable` are
    /// dropped.
    pub(in crate::server) fn new<S>(
        socket: WebSocketStream<S>,
        codec: Codec,
        readable: &[u8],
    ) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sink, source) = socket.split();
        let (outgoing, messages) = mpsc::channel(QUEUE);
        let mut senders = HashMap::new();
        let mut readers = HashMap::new();
        for channel in readable {
            let (sender, receiver) = mpsc::channel(QUEUE);
            senders.insert(*channel, sender);
            readers.insert(*channel, receiver);
        }
        let ended = CancellationToken::new();
        let guard = ended.clone().drop_guard();
        let reader = telemetry::task::spawn("websocket-reader", async move {
            let _guard = guard;
            read(source, codec, senders).await;
        });
        let writer = Some(telemetry::task::spawn("websocket-writer", write(sink, messages)));
        Self { codec, outgoing, readers, reader, writer, ended }
    }

    /// The stream from the client on a channel; each can be taken once.
    pub(in crate::server) fn reader(&mut self, channel: u8) -> Option<Reader> {
        let receiver = self.readers.remove(&channel)?;
        Some(Box::new(spdy::reader(receiver)))
    }

    /// The stream to the client on a channel.
    pub(in crate::server) fn writer(&self, channel: u8) -> Writer {
        let codec = self.codec;
        let wrap = move |bytes: Bytes| codec.encode(channel, &bytes);
        // The server has no way to close a single channel: they end with the connection.
        Box::new(ChannelWriter::new(self.outgoing.clone(), wrap, None))
    }

    /// Sends one message, such as the empty one that says that the connection stands.
    pub(in crate::server) async fn send(&self, channel: u8, bytes: &[u8]) {
        // The reading side notices a client that is gone.
        let _ = self.outgoing.send(self.codec.encode(channel, bytes)).await;
    }

    /// Cancelled once the client has closed the connection.
    pub(in crate::server) fn ended(&self) -> CancellationToken {
        self.ended.clone()
    }

    /// Closes the connection and returns when everything is written. Writers must be gone.
    pub(in crate::server) async fn close(mut self) {
        let writer = self.writer.take();
        drop(self);
        if let Some(writer) = writer {
            let _ = writer.await;
        }
    }
}

impl Drop for Channels {
    fn drop(&mut self) {
        self.reader.abort();
        if let Some(writer) = &self.writer {
            writer.abort();
        }
    }
}

async fn read<S: AsyncRead + AsyncWrite + Unpin>(
    mut source: SplitStream<WebSocketStream<S>>,
    codec: Codec,
    mut senders: HashMap<u8, mpsc::Sender<Bytes>>,
) {
    while let Some(Ok(message)) = source.next().await {
        if !message.is_binary() && !message.is_text() {
            continue;
        }
        let Some((channel, bytes)) = codec.decode(message) else { continue };
        if codec.closes && channel == CLOSE {
            if let Some(closed) = bytes.first() {
                senders.remove(closed);
            }
        } else if let Some(sender) = senders.get(&channel)
            && !bytes.is_empty()
        {
            // The reader is gone, which the writer will find out.
            let _ = sender.send(bytes).await;
        }
    }
}

async fn write<S: AsyncRead + AsyncWrite + Unpin>(
    mut sink: SplitSink<WebSocketStream<S>, Message>,
    mut messages: mpsc::Receiver<Message>,
) {
    while let Some(message) = messages.recv().await {
        let sent =
            if messages.is_empty() { sink.send(message).await } else { sink.feed(message).await };
        if sent.is_err() {
            return;
        }
    }
    let normal = CloseFrame { code: CloseCode::Normal, reason: Utf8Bytes::default() };
    let _ = sink.send(Message::Close(Some(normal))).await;
    let _ = sink.close().await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio_tungstenite::tungstenite::protocol::Role;

    async fn pair(protocol: &str) -> (WebSocketStream<tokio::io::DuplexStream>, Channels) {
        let (a, b) = tokio::io::duplex(1 << 16);
        let client = WebSocketStream::from_raw_socket(a, Role::Client, None).await;
        let server = WebSocketStream::from_raw_socket(b, Role::Server, None).await;
        (client, Channels::new(server, Codec::of(protocol), &[0]))
    }

    #[tokio::test]
    async fn channels_are_kept_apart_and_can_be_closed() {
        let (mut client, mut channels) = pair("v5.channel.k8s.io").await;
        for message in [&b"\0in"[..], b"\x09lost", b"\0put", b"\xff\0"] {
            client.send(Message::binary(message.to_vec())).await.unwrap();
        }
        let mut text = String::new();
        channels.reader(0).unwrap().read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "input");
        assert!(channels.reader(0).is_none());

        let mut stdout = channels.writer(1);
        stdout.write_all(b"out").await.unwrap();
        stdout.shutdown().await.unwrap();
        drop(stdout);
        channels.close().await;
        let mut got = Vec::new();
        while let Some(Ok(message)) = client.next().await {
            if message.is_binary() {
                got.push(message.into_data());
            }
        }
        assert_eq!(got, [&b"\x01out"[..]]);
    }

    #[tokio::test]
    async fn base64_is_text() {
        let (mut client, mut channels) = pair("v4.base64.channel.k8s.io").await;
        client.send(Message::text("0aGk=")).await.unwrap();
        client.close(None).await.unwrap();
        let mut text = String::new();
        channels.reader(0).unwrap().read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "hi");
        channels.ended().cancelled().await;
        assert_eq!(channels.codec.encode(1, b"hi"), Message::text("1aGk="));
    }
}

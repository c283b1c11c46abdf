//! SPDY/3.1 frames on the wire.

use std::io;

use bytes::{BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::headers::Headers;

const VERSION: u16 = 3;
const SYN_STREAM: u16 = 1;
const SYN_REPLY: u16 = 2;
const RST_STREAM: u16 = 3;
const PING: u16 = 6;
const GOAWAY: u16 = 7;
const HEADERS: u16 = 8;
const FIN: u8 = 1;
/// Most bytes of a control frame.
const MAX_CONTROL: usize = 64 * 1024;
/// Most bytes of a data frame that are passed on as one piece.
const MAX_PIECE: usize = 64 * 1024;
const STREAM_MASK: u32 = 0x7fff_ffff;

/// A frame that is received.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Incoming {
    /// The other side opens a stream; `headers` is its packed header block.
    Open {
        stream: u32,
        fin: bool,
        headers: Vec<u8>,
    },
    /// Bytes of a stream; `fin` comes with the last ones.
    Data {
        stream: u32,
        fin: bool,
        bytes: Bytes,
    },
    /// A stream is given up.
    Reset {
        stream: u32,
    },
    Ping {
        id: u32,
    },
    /// The other side opens no more streams.
    GoAway,
    /// Headers of an open stream, packed: they say nothing here, but carry compression state.
    Headers {
        stream: u32,
        fin: bool,
        block: Vec<u8>,
    },
    /// Something without meaning for us.
    Ignored,
}

/// A frame that is sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outgoing {
    /// This side opens a stream.
    Open {
        stream: u32,
        headers: Headers,
    },
    /// The answer to an opened stream, without headers of its own.
    Accept {
        stream: u32,
    },
    Data {
        stream: u32,
        fin: bool,
        bytes: Bytes,
    },
    Reset {
        stream: u32,
    },
    Ping {
        id: u32,
    },
    GoAway {
        last_stream: u32,
    },
}

/// Reads frames, and long data frames in pieces.
pub(super) struct FrameReader<R> {
    inner: R,
    /// Stream, flag and bytes that are left of the present data frame.
    rest: Option<(u32, bool, usize)>,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    pub(super) fn new(inner: R) -> Self {
        Self { inner, rest: None }
    }

    /// The next frame; `None` at the end.
    pub(super) async fn next(&mut self) -> io::Result<Option<Incoming>> {
        if let Some((stream, fin, left)) = self.rest.take() {
            return self.data(stream, fin, left).await.map(Some);
        }
        let mut head = [0; 8];
        match self.inner.read_exact(&mut head).await {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            result => result?,
        };
        let [a, b, c, d, flags, e, f, g] = head;
        let length = u32::from_be_bytes([0, e, f, g]) as usize;
        if a & 0x80 == 0 {
            let stream = u32::from_be_bytes([a, b, c, d]);
            return self.data(stream, flags & FIN != 0, length).await.map(Some);
        }
        let version = u16::from_be_bytes([a & 0x7f, b]);
        if version != VERSION || length > MAX_CONTROL {
            let message = format!("SPDY control frame: version {version}, {length} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        let mut body = vec![0; length];
        self.inner.read_exact(&mut body).await?;
        control(u16::from_be_bytes([c, d]), flags, body).map(Some)
    }

    async fn data(&mut self, stream: u32, fin: bool, length: usize) -> io::Result<Incoming> {
        let piece = length.min(MAX_PIECE);
        let mut bytes = BytesMut::zeroed(piece);
        self.inner.read_exact(&mut bytes).await?;
        let left = length - piece;
        if left > 0 {
            self.rest = Some((stream, fin, left));
        }
        Ok(Incoming::Data { stream, fin: fin && left == 0, bytes: bytes.freeze() })
    }
}

fn control(kind: u16, flags: u8, mut body: Vec<u8>) -> io::Result<Incoming> {
    let word = |at: usize| {
        let bytes = body.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        bytes.map(u32::from_be_bytes).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidData, "SPDY control frame too short")
        })
    };
    Ok(match kind {
        SYN_STREAM => {
            // Stream, associated stream, priority and slot.
            let stream = word(0)? & STREAM_MASK;
            word(6)?;
            Incoming::Open { stream, fin: flags & FIN != 0, headers: body.split_off(10) }
        }
        RST_STREAM => Incoming::Reset { stream: word(0)? & STREAM_MASK },
        PING => Incoming::Ping { id: word(0)? },
        GOAWAY => Incoming::GoAway,
        SYN_REPLY | HEADERS if body.len() >= 4 => Incoming::Headers {
            stream: word(0)? & STREAM_MASK,
            fin: flags & FIN != 0,
            block: body.split_off(4),
        },
        _ => Incoming::Ignored,
    })
}

impl Outgoing {
    /// Its bytes. `headers` is the packed block for an opened or accepted stream.
    pub(super) fn encode(self, headers: &[u8], out: &mut BytesMut) {
        match self {
            Self::Open { stream, .. } => {
                control_head(out, SYN_STREAM, 10 + headers.len());
                out.put_u32(stream);
                // No associated stream, the highest priority, no slot.
                out.put_bytes(0, 6);
                out.put_slice(headers);
            }
            Self::Accept { stream } => {
                control_head(out, SYN_REPLY, 4 + headers.len());
                out.put_u32(stream);
                out.put_slice(headers);
            }
            Self::Data { stream, fin, bytes } => {
                out.put_u32(stream & STREAM_MASK);
                out.put_u32(u32::from(if fin { FIN } else { 0 }) << 24 | bytes.len() as u32);
                out.put_slice(&bytes);
            }
            Self::Reset { stream } => {
                const CANCEL: u32 = 5;
                control_head(out, RST_STREAM, 8);
                out.put_u32(stream);
                out.put_u32(CANCEL);
            }
            Self::Ping { id } => {
                control_head(out, PING, 4);
                out.put_u32(id);
            }
            Self::GoAway { last_stream } => {
                control_head(out, GOAWAY, 8);
                out.put_u32(last_stream);
                out.put_u32(0);
            }
        }
    }
}

fn control_head(out: &mut BytesMut, kind: u16, length: usize) {
    out.put_u16(0x8000 | VERSION);
    out.put_u16(kind);
    out.put_u32(length as u32);
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(bytes: &[u8]) -> io::Result<Vec<Incoming>> {
        let mut reader = FrameReader::new(bytes);
        let mut out = Vec::new();
        while let Some(frame) = reader.next().await? {
            out.push(frame);
        }
        Ok(out)
    }

    #[tokio::test]
    async fn frames() {
        let open =
            [&[0x80, 3, 0, 1, FIN, 0, 0, 12][..], &[0x80, 0, 0, 5, 0, 0, 0, 0, 0, 0][..], b"hh"]
                .concat();
        let data = [&[0, 0, 0, 5, FIN, 0, 0, 2][..], b"hi"].concat();
        let ping = [0x80, 3, 0, 6, 0, 0, 0, 4, 0, 0, 0, 9];
        let got = read(&[open, data, ping.to_vec()].concat()).await.unwrap();
        let wanted = [
            Incoming::Open { stream: 5, fin: true, headers: b"hh".to_vec() },
            Incoming::Data { stream: 5, fin: true, bytes: Bytes::from_static(b"hi") },
            Incoming::Ping { id: 9 },
        ];
        assert_eq!(got, wanted);
    }

    #[tokio::test]
    async fn what_is_written_can_be_read() {
        let mut bytes = BytesMut::new();
        let big = Bytes::from(vec![7; MAX_PIECE + 1]);
        Outgoing::Data { stream: 1, fin: true, bytes: big }.encode(&[], &mut bytes);
        Outgoing::Reset { stream: 3 }.encode(&[], &mut bytes);
        Outgoing::GoAway { last_stream: 3 }.encode(&[], &mut bytes);
        Outgoing::Accept { stream: 3 }.encode(b"x", &mut bytes);
        let got = read(&bytes).await.unwrap();
        assert!(
            matches!(&got[0], Incoming::Data { fin: false, bytes, .. } if bytes.len() == MAX_PIECE)
        );
        assert!(matches!(&got[1], Incoming::Data { fin: true, bytes, .. } if bytes.len() == 1));
        assert_eq!(got[2..4], [Incoming::Reset { stream: 3 }, Incoming::GoAway]);
        assert_eq!(got[4], Incoming::Headers { stream: 3, fin: false, block: b"x".to_vec() });
    }

    #[tokio::test]
    async fn broken_frames_are_errors() {
        let table: [&[u8]; 4] = [
            &[0x80, 2, 0, 1, 0, 0, 0, 0],
            &[0x80, 3, 0, 1, 0, 0xff, 0xff, 0xff],
            &[0x80, 3, 0, 1, 0, 0, 0, 4, 0, 0, 0, 1],
            &[0, 0, 0, 1, 0, 0, 0, 9, 1],
        ];
        for bytes in table {
            assert!(read(bytes).await.is_err(), "{bytes:?}");
        }
    }
}

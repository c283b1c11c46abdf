//! Frames on the shim's socket: a kind, a length, a payload.

/// The kind of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum FrameKind {
    /// Client: wanted streams, one byte each for stdin, stdout, stderr.
    Attach = 0,
    Stdin = 1,
    Stdout = 2,
    Stderr = 3,
    /// Client: width and height, two bytes each.
    Resize = 4,
    /// Client: end of standard input.
    StdinEnd = 5,
    /// Shim: the exit code, four bytes.
    Exit = 6,
    /// Client: open the log file anew.
    ReopenLog = 7,
    /// Shim: done; the payload is an error message where it is not empty.
    Done = 8,
}

impl FrameKind {
    fn from_byte(byte: u8) -> Option<Self> {
        use FrameKind::*;
        [Attach, Stdin, Stdout, Stderr, Resize, StdinEnd, Exit, ReopenLog, Done]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }
}

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: FrameKind,
    pub(crate) payload: Vec<u8>,
}

/// Bytes before the payload.
pub(crate) const HEADER: usize = 5;
const MAX_PAYLOAD: usize = 1 << 20;

impl Frame {
    pub(crate) fn encode(kind: FrameKind, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER + payload.len());
        bytes.push(kind as u8);
        bytes.extend_from_slice(&(payload.len() as u32).to_be_bytes());
        bytes.extend_from_slice(payload);
        bytes
    }

    /// Takes the first complete frame off the buffer; `None` asks for more bytes.
    ///
    /// # Errors
    /// For an unknown kind or an absurd length: the peer is not ours.
    pub(crate) fn decode(buffer: &mut Vec<u8>) -> std::io::Result<Option<Self>> {
        let Some(header) = buffer.first_chunk::<HEADER>() else { return Ok(None) };
        let [kind, length @ ..] = *header;
        let length = u32::from_be_bytes(length) as usize;
        let kind = FrameKind::from_byte(kind)
            .filter(|_| length <= MAX_PAYLOAD)
            .ok_or_else(|| std::io::Error::other("malformed frame"))?;
        if buffer.len() < HEADER + length {
            return Ok(None);
        }
        let payload = buffer[HEADER..HEADER + length].to_vec();
        buffer.drain(..HEADER + length);
        Ok(Some(Self { kind, payload }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_survive_any_split() {
        let bytes =
            [Frame::encode(FrameKind::Stdin, b"hello"), Frame::encode(FrameKind::StdinEnd, b"")]
                .concat();
        let (mut buffer, mut got) = (Vec::new(), Vec::new());
        for byte in bytes {
            buffer.push(byte);
            got.extend(Frame::decode(&mut buffer).unwrap());
        }
        assert_eq!(got.len(), 2);
        assert_eq!((got[0].kind, got[0].payload.as_slice()), (FrameKind::Stdin, &b"hello"[..]));
        assert_eq!(got[1].kind, FrameKind::StdinEnd);
    }

    #[test]
    fn garbage_is_an_error() {
        assert!(Frame::decode(&mut vec![9, 0, 0, 0, 0]).is_err());
        assert!(Frame::decode(&mut vec![1, 0xff, 0, 0, 0]).is_err());
    }
}

//! Protobuf's wire format.

/// Wire type of integers and booleans.
pub(super) const VARINT: u8 = 0;
/// Wire type of doubles.
pub(super) const FIXED64: u8 = 1;
/// Wire type of strings, bytes and messages.
pub(super) const LEN: u8 = 2;
const FIXED32: u8 = 5;

/// The reason why bytes cannot be decoded.
#[derive(Debug)]
pub(super) struct WireError(pub(super) String);

impl From<&str> for WireError {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

/// The value of one field.
#[derive(Clone, Copy, Debug)]
pub(super) enum Payload<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    /// Skipped: no Kubernetes type has such fields.
    Fixed32,
}

impl<'a> Payload<'a> {
    pub(super) fn varint(self) -> Result<u64, WireError> {
        match self {
            Self::Varint(v) => Ok(v),
            _ => Err("proto: wrong wireType for integer field".into()),
        }
    }

    pub(super) fn bytes(self) -> Result<&'a [u8], WireError> {
        match self {
            Self::Bytes(b) => Ok(b),
            _ => Err("proto: wrong wireType for length-delimited field".into()),
        }
    }

    pub(super) fn text(self) -> Result<&'a str, WireError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| "proto: string is not valid UTF-8".into())
    }
}

/// The fields of a message, in the order they were written.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    fn read(&mut self) -> Result<(u32, Payload<'a>), WireError> {
        let key = read_varint(&mut self.0)?;
        let number = u32::try_from(key >> 3).map_err(|_| "proto: illegal tag")?;
        if number == 0 {
            return Err("proto: illegal tag 0".into());
        }
        let payload = match (key & 7) as u8 {
            VARINT => Payload::Varint(read_varint(&mut self.0)?),
            FIXED64 => {
                let (head, rest) = self.0.split_first_chunk::<8>().ok_or("unexpected EOF")?;
                self.0 = rest;
                Payload::Fixed64(u64::from_le_bytes(*head))
            }
            LEN => {
                let len = usize::try_from(read_varint(&mut self.0)?).map_err(|_| "length")?;
                let (head, rest) = self.0.split_at_checked(len).ok_or("unexpected EOF")?;
                self.0 = rest;
                Payload::Bytes(head)
            }
            FIXED32 => {
                self.0 = self.0.get(4..).ok_or("unexpected EOF")?;
                Payload::Fixed32
            }
            other => return Err(WireError(format!("proto: illegal wireType {other}"))),
        };
        Ok((number, payload))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Payload<'a>), WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.read();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

/// Takes one varint off the front.
pub(super) fn read_varint(bytes: &mut &[u8]) -> Result<u64, WireError> {
    let mut value = 0u64;
    for shift in (0..70).step_by(7) {
        let (&byte, rest) = bytes.split_first().ok_or("unexpected EOF")?;
        *bytes = rest;
        if shift == 63 && byte > 1 {
            break;
        }
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err("proto: integer overflow".into())
}

/// Builds a message.
#[derive(Default)]
pub(super) struct Writer(pub(super) Vec<u8>);

impl Writer {
    pub(super) fn varint(&mut self, mut v: u64) {
        while v >= 0x80 {
            self.0.push(v as u8 | 0x80);
            v >>= 7;
        }
        self.0.push(v as u8);
    }

    pub(super) fn key(&mut self, number: u32, wire_type: u8) {
        self.varint(u64::from(number) << 3 | u64::from(wire_type));
    }

    pub(super) fn integer(&mut self, number: u32, v: i64) {
        self.key(number, VARINT);
        self.varint(v as u64);
    }

    pub(super) fn double(&mut self, number: u32, v: f64) {
        self.key(number, FIXED64);
        self.0.extend_from_slice(&v.to_le_bytes());
    }

    pub(super) fn bytes(&mut self, number: u32, v: &[u8]) {
        self.key(number, LEN);
        self.varint(v.len() as u64);
        self.0.extend_from_slice(v);
    }

    /// Writes a nested message in place. Its length is not known beforehand, so one byte is
    /// reserved, and more are inserted for the rare longer message.
    pub(super) fn message(&mut self, number: u32, body: impl FnOnce(&mut Self)) {
        self.key(number, LEN);
        let start = self.0.len();
        self.0.push(0);
        body(self);
        let len = self.0.len() - start - 1;
        if len < 0x80 {
            self.0[start] = len as u8;
        } else {
            let mut prefix = Self::default();
            prefix.varint(len as u64);
            self.0.splice(start..=start, prefix.0);
        }
    }
}

fn varint_len(v: u64) -> usize {
    (64 - (v | 1).leading_zeros() as usize).div_ceil(7)
}

/// Size of a length-delimited field with `len` bytes of content.
pub(super) fn field_len(number: u32, len: usize) -> usize {
    varint_len(u64::from(number) << 3) + varint_len(len as u64) + len
}

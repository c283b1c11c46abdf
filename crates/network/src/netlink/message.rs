//! Building and reading netlink messages (`struct nlmsghdr`, `struct nlattr`).

const HEADER: usize = 16;

/// Marks an attribute that holds attributes.
pub(crate) const NESTED: u16 = 0x8000;

/// One netlink message under construction.
#[derive(Debug, Clone)]
pub struct Message {
    bytes: Vec<u8>,
}

impl Message {
    /// A message of this type with these `NLM_F_*` flags.
    #[must_use]
    pub fn new(kind: u16, flags: u16) -> Self {
        let mut bytes = vec![0; HEADER];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
        Self { bytes }
    }

    /// Attributes without a header, to be appended to a message.
    pub(crate) fn fragment() -> Self {
        Self { bytes: Vec::new() }
    }

    /// Appends the attributes of a fragment.
    pub(crate) fn append(mut self, fragment: &Self) -> Self {
        self.bytes.extend_from_slice(&fragment.bytes);
        self
    }

    /// Bytes so far.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Appends bytes of the fixed header that follows `nlmsghdr`, padded to four.
    #[must_use]
    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend_from_slice(bytes);
        self.pad();
        self
    }

    /// Appends an attribute.
    #[must_use]
    pub fn attr(mut self, kind: u16, value: &[u8]) -> Self {
        self.push(kind, value);
        self
    }

    /// Appends a NUL-terminated string.
    #[must_use]
    pub fn str(mut self, kind: u16, value: &str) -> Self {
        self.push_str(kind, value);
        self
    }

    /// Appends a 32-bit number in host order.
    #[must_use]
    pub fn u32(self, kind: u16, value: u32) -> Self {
        self.attr(kind, &value.to_ne_bytes())
    }

    /// Appends a 32-bit number in network order, as nf_tables wants it.
    #[must_use]
    pub fn be32(self, kind: u16, value: u32) -> Self {
        self.attr(kind, &value.to_be_bytes())
    }

    /// Appends a 64-bit number in network order.
    #[must_use]
    pub fn be64(self, kind: u16, value: u64) -> Self {
        self.attr(kind, &value.to_be_bytes())
    }

    /// Appends an attribute holding what `build` appends.
    #[must_use]
    pub fn nest(mut self, kind: u16, build: impl FnOnce(Self) -> Self) -> Self {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        let mut message = build(self);
        let length = (message.bytes.len() - start) as u16;
        message.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        message.bytes[start + 2..start + 4].copy_from_slice(&(kind | NESTED).to_ne_bytes());
        message
    }

    fn push(&mut self, kind: u16, value: &[u8]) {
        let length = (4 + value.len()) as u16;
        self.bytes.extend_from_slice(&length.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(value);
        self.pad();
    }

    fn push_str(&mut self, kind: u16, value: &str) {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.push(kind, &bytes);
    }

    fn pad(&mut self) {
        while !self.bytes.len().is_multiple_of(4) {
            self.bytes.push(0);
        }
    }

    /// Completes the header with this sequence number.
    pub(crate) fn finish(mut self, sequence: u32) -> Vec<u8> {
        let length = self.bytes.len() as u32;
        self.bytes[0..4].copy_from_slice(&length.to_ne_bytes());
        self.bytes[8..12].copy_from_slice(&sequence.to_ne_bytes());
        self.bytes
    }
}

/// A received attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// Its type, without flags.
    pub kind: u16,
    /// Its payload.
    pub value: &'a [u8],
}

impl<'a> Attribute<'a> {
    /// As a 32-bit number in host order; zero where it is too short.
    #[must_use]
    pub fn u32(&self) -> u32 {
        self.value.first_chunk().map_or(0, |bytes| u32::from_ne_bytes(*bytes))
    }

    /// As a 32-bit number in network order; zero where it is too short.
    #[must_use]
    pub fn be32(&self) -> u32 {
        self.value.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes))
    }

    /// As a 64-bit number in network order; zero where it is too short.
    #[must_use]
    pub fn be64(&self) -> u64 {
        self.value.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
    }

    /// As a string up to its NUL.
    #[must_use]
    pub fn str(&self) -> &'a str {
        let end = self.value.iter().position(|byte| *byte == 0).unwrap_or(self.value.len());
        std::str::from_utf8(&self.value[..end]).unwrap_or_default()
    }

    /// The attributes inside.
    #[must_use]
    pub fn nested(&self) -> Attributes<'a> {
        Attributes(self.value)
    }
}

/// Attributes in a buffer, in order. Stops at the first malformed one.
#[derive(Debug, Clone, Copy)]
pub struct Attributes<'a>(pub &'a [u8]);

impl<'a> Attributes<'a> {
    /// The first attribute of this type.
    #[must_use]
    pub fn find(mut self, kind: u16) -> Option<Attribute<'a>> {
        Iterator::find(&mut self, |attribute| attribute.kind == kind)
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Attribute<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let [a, b, c, d, ..] = *self.0 else { return None };
        let length = usize::from(u16::from_ne_bytes([a, b]));
        let kind = u16::from_ne_bytes([c, d]) & 0x3fff;
        let value = self.0.get(4..length)?;
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Attribute { kind, value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_built_parses_back() {
        let bytes = Message::new(16, 5)
            .raw(&[1, 2, 3])
            .str(1, "eth0")
            .nest(2, |message| message.u32(3, 7).be32(4, 9))
            .finish(42);
        assert_eq!(bytes.len() as u32, u32::from_ne_bytes(bytes[0..4].try_into().unwrap()));
        let mut attributes = Attributes(&bytes[HEADER + 4..]);
        assert_eq!(attributes.next().unwrap().str(), "eth0");
        let nest = attributes.next().unwrap();
        assert_eq!(nest.kind, 2);
        assert_eq!(nest.nested().find(3).unwrap().u32(), 7);
        assert_eq!(nest.nested().find(4).unwrap().be32(), 9);
        assert!(attributes.next().is_none());
    }

    #[test]
    fn malformed_attributes_end_the_walk() {
        for bytes in [&[][..], &[1, 0], &[3, 0, 1, 0], &[200, 0, 1, 0, 9]] {
            assert!(Attributes(bytes).next().is_none(), "{bytes:?}");
        }
    }
}

//! Sets and maps.

use std::time::Duration;

use super::consts::*;
use super::rule::{Verdict, write_verdict};
use crate::netlink::Message;

/// Type of a part of a key, as `nft list` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldType {
    /// IPv4 address, 4 bytes.
    Ipv4,
    /// IPv6 address, 16 bytes.
    Ipv6,
    /// Transport protocol, 1 byte in 4.
    Protocol,
    /// Port, 2 bytes in 4.
    Port,
    /// Packet mark, 4 bytes in host order.
    Mark,
}

impl FieldType {
    /// nft's number of the type, and its length in a concatenation.
    fn describe(self) -> (u32, u32) {
        match self {
            Self::Ipv4 => (7, 4),
            Self::Ipv6 => (8, 16),
            Self::Protocol => (12, 4),
            Self::Port => (13, 4),
            Self::Mark => (19, 4),
        }
    }
}

/// The values of a set's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetKind<'a> {
    /// Nothing.
    Set,
    /// A verdict each.
    VerdictMap,
    /// A value of these parts each.
    Map(&'a [FieldType]),
}

/// A set or map to be made.
#[derive(Debug, Clone)]
pub struct SetSpec<'a> {
    /// Its name.
    pub name: &'a str,
    /// Parts of its keys.
    pub key: &'a [FieldType],
    /// Its values.
    pub kind: SetKind<'a>,
    /// Lifetime of elements; `None` keeps them.
    pub timeout: Option<Duration>,
    /// Rules may add elements.
    pub dynamic: bool,
}

/// The number and length of a concatenation. A single part has its exact length only where that is
/// a multiple of four, as all single keys here are padded.
fn concatenate(fields: &[FieldType]) -> (u32, u32) {
    fields.iter().fold((0, 0), |(number, length), field| {
        let (kind, size) = field.describe();
        (number << 6 | kind, length + size)
    })
}

impl SetSpec<'_> {
    pub(super) fn write(&self, message: Message, id: u32) -> Message {
        const MAP: u32 = 0x8;
        const TIMEOUT: u32 = 0x10;
        const EVAL: u32 = 0x20;
        const VERDICT_TYPE: u32 = 0xffff_ff00;
        let mut flags = if self.kind == SetKind::Set { 0 } else { MAP };
        if self.timeout.is_some() {
            flags |= TIMEOUT;
        }
        if self.dynamic {
            flags |= EVAL;
        }
        let (key_type, key_length) = concatenate(self.key);
        let mut message = message
            .str(2, self.name)
            .be32(3, flags)
            .be32(4, key_type)
            .be32(5, key_length)
            .be32(10, id);
        match self.kind {
            SetKind::Set => {}
            SetKind::VerdictMap => message = message.be32(6, VERDICT_TYPE),
            SetKind::Map(fields) => {
                let (data_type, data_length) = concatenate(fields);
                message = message.be32(6, data_type).be32(7, data_length);
            }
        }
        match self.timeout {
            Some(timeout) => message.be64(11, timeout.as_millis() as u64),
            None => message,
        }
    }
}

/// The value of an element.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Data {
    /// Nothing.
    None,
    /// A verdict.
    Verdict(Verdict),
    /// A value.
    Value(Vec<u8>),
}

/// An element of a set or map.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Element {
    /// Its key: the parts one after the other, each padded to four bytes.
    pub key: Vec<u8>,
    /// Its values.
    pub data: Data,
}

impl Element {
    pub(super) fn write(&self, message: Message, key_only: bool) -> Message {
        let message = message.nest(SET_ELEM_KEY, |m| m.attr(DATA_VALUE, &self.key));
        match &self.data {
            _ if key_only => message,
            Data::None => message,
            Data::Value(value) => message.nest(SET_ELEM_DATA, |m| m.attr(DATA_VALUE, value)),
            Data::Verdict(verdict) => {
                message.nest(SET_ELEM_DATA, |m| write_verdict(m, DATA_VERDICT, verdict))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn concatenations_have_nfts_numbers() {
        let key = [FieldType::Ipv4, FieldType::Protocol, FieldType::Port];
        assert_eq!(concatenate(&key), ((7 << 6 | 12) << 6 | 13, 12));
        assert_eq!(concatenate(&[FieldType::Ipv6]), (8, 16));
    }
}

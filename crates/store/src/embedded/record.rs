//! The framing shared by log segments and snapshots.
//!
//! ```text
//! length u32 | crc32 of body u32 | body
//! body: durable u64 | revision u64 | created u64 | revision_at u32 | key length u32 | op u8 | key | value
//! ```
//! All integers are little endian. A length of zero ends a segment. `durable` is the file offset
//! up to which everything had been synced when this record was written: a bad record below the
//! `durable` of a later good one was acknowledged, so it is damage and not a torn tail.

use bytes::{BufMut, Bytes, BytesMut};

use crate::{Event, Key, Record, Revision};

const HEADER: usize = 8;
const FIXED: usize = 8 + 8 + 8 + 4 + 4 + 1;
/// Larger than any request the API server accepts.
const MAX_BODY: usize = 64 << 20;

const PUT: u8 = 1;
const DELETE: u8 = 2;

/// One decoded record.
#[derive(Debug)]
pub(crate) struct Decoded {
    pub(crate) event: Event,
    /// Bytes of the whole frame.
    pub(crate) len: usize,
}

/// The content found at an offset of a segment.
#[derive(Debug)]
pub(crate) enum Frame {
    Record(Decoded),
    /// Zeroes, or the end of the file.
    End,
    Bad(&'static str),
}

/// Appends the frame of `event` to `out`.
pub(crate) fn encode(out: &mut BytesMut, event: &Event, durable: u64) {
    let start = out.len();
    out.put_bytes(0, HEADER);
    out.put_u64_le(durable);
    out.put_u64_le(event.revision);
    match &event.record {
        Some(record) => {
            out.put_u64_le(record.created);
            out.put_u32_le(record.revision_at as u32);
            out.put_u32_le(event.key.len() as u32);
            out.put_u8(PUT);
            out.put_slice(event.key.as_bytes());
            out.put_slice(&record.bytes);
        }
        None => {
            out.put_u64_le(0);
            out.put_u32_le(0);
            out.put_u32_le(event.key.len() as u32);
            out.put_u8(DELETE);
            out.put_slice(event.key.as_bytes());
        }
    }
    let body = start + HEADER;
    let crc = crc32fast::hash(&out[body..]);
    let len = (out.len() - body) as u32;
    out[start..start + 4].copy_from_slice(&len.to_le_bytes());
    out[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
}

/// Reads the frame at the start of `buf`.
pub(crate) fn decode(buf: &[u8]) -> Frame {
    if buf.len() < 4 {
        return if buf.iter().all(|b| *b == 0) { Frame::End } else { Frame::Bad("torn length") };
    }
    let len = u32_at(buf, 0) as usize;
    if len == 0 {
        return Frame::End;
    }
    if !(FIXED..=MAX_BODY).contains(&len) {
        return Frame::Bad("impossible record length");
    }
    let Some(body) = buf.get(HEADER..HEADER + len) else {
        return Frame::Bad("record runs past the end of the file");
    };
    if crc32fast::hash(body) != u32_at(buf, 4) {
        return Frame::Bad("checksum mismatch");
    }
    parse(body, len).unwrap_or(Frame::Bad("malformed record"))
}

fn parse(body: &[u8], len: usize) -> Option<Frame> {
    let revision = u64_at(body, 8);
    let created = u64_at(body, 16);
    let revision_at = u32_at(body, 24) as usize;
    let key_len = u32_at(body, 28) as usize;
    let key: Key = std::str::from_utf8(body.get(FIXED..FIXED + key_len)?).ok()?.into();
    let value = body.get(FIXED + key_len..)?;
    let record = match body[32] {
        PUT if revision_at <= value.len() => Some(Record {
            bytes: Bytes::copy_from_slice(value),
            revision_at,
            created,
            modified: revision,
        }),
        DELETE => None,
        _ => return None,
    };
    Some(Frame::Record(Decoded { event: Event { revision, key, record }, len: HEADER + len }))
}

/// Returns true if a whole record that was written after `offset` had been synced is anywhere in
/// `rest`, the bytes that follow a bad record at `offset`.
pub(crate) fn acknowledged_after(rest: &[u8], offset: u64, last: Revision) -> bool {
    let plausible = |at: usize| {
        let body = at + HEADER;
        rest.len() >= body + FIXED
            && u64_at(rest, body) > offset
            && (last + 1..last + (1 << 32)).contains(&u64_at(rest, body + 8))
    };
    (1..rest.len()).any(|at| plausible(at) && matches!(decode(&rest[at..]), Frame::Record(_)))
}

fn u32_at(buf: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([buf[at], buf[at + 1], buf[at + 2], buf[at + 3]])
}

fn u64_at(buf: &[u8], at: usize) -> u64 {
    u64::from(u32_at(buf, at)) | u64::from(u32_at(buf, at + 4)) << 32
}

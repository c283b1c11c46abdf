//! Kubernetes' protobuf encoding, transcoded to and from JSON by schema.
//!
//! An object travels as the magic `k8s\0` and a `runtime.Unknown` message that holds
//! `apiVersion`, `kind` and the object's own encoding, called *raw* here.

mod decode;
mod encode;
mod wire;

use crate::object::ObjectExt;
use crate::schema::{Registry, Type};
use crate::status::Status;
use crate::text::quote;
use serde_json::Value;

/// The first bytes of every encoded object.
pub const MAGIC: &[u8] = b"k8s\0";

/// Decodes an enveloped object.
///
/// # Errors
/// 400 when the bytes are malformed or the kind is unknown.
pub fn decode(bytes: &[u8]) -> Result<Value, Status> {
    decode::enveloped(bytes, 0).map_err(|e| Status::bad_request(e.0))
}

/// Decodes a value of type `ty` without envelope.
///
/// # Errors
/// 400 when the bytes are malformed.
pub fn decode_raw(ty: &Type, bytes: &[u8]) -> Result<Value, Status> {
    decode::raw(ty, bytes, 0).map_err(|e| Status::bad_request(e.0))
}

/// Encodes an object of a built-in kind with its envelope.
///
/// # Errors
/// 406 when the kind has no protobuf form.
pub fn encode(object: &Value) -> Result<Vec<u8>, Status> {
    let (api_version, kind) = (object.api_version(), object.kind());
    let ty = Registry::builtin().lookup_api_version(api_version, kind).ok_or_else(|| {
        let (version, kind) = (quote(api_version), quote(kind));
        Status::not_acceptable(format!("no protobuf form for kind {kind} of version {version}"))
    })?;
    Ok(envelope(api_version, kind, &encode_raw(ty, object)))
}

/// Encodes a value without envelope.
#[must_use]
pub fn encode_raw(ty: &Type, value: &Value) -> Vec<u8> {
    let mut out = wire::Writer::default();
    encode::message(ty, value, &mut out);
    out.0
}

/// Puts an already encoded object into an envelope.
#[must_use]
pub fn envelope(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
    let mut out = open_envelope(api_version, kind, raw.len());
    out.bytes(2, raw);
    close_envelope(out)
}

fn open_envelope(api_version: &str, kind: &str, raw_len: usize) -> wire::Writer {
    let fixed = MAGIC.len() + api_version.len() + kind.len() + 24;
    let mut out = wire::Writer(Vec::with_capacity(raw_len + fixed));
    out.0.extend_from_slice(MAGIC);
    out.message(1, |out| {
        out.bytes(1, api_version.as_bytes());
        out.bytes(2, kind.as_bytes());
    });
    out
}

/// `contentEncoding` and `contentType` are always written, and always empty.
fn close_envelope(mut out: wire::Writer) -> Vec<u8> {
    out.bytes(3, b"");
    out.bytes(4, b"");
    out.0
}

/// Encodes a list with its envelope from items that are already encoded (without envelope).
#[must_use]
pub fn encode_list_envelope<'a>(
    list: &Type,
    api_version: &str,
    kind: &str,
    list_meta: &Value,
    items: impl Iterator<Item = &'a [u8]>,
) -> Vec<u8> {
    let head = encode_raw(list, &serde_json::json!({ "metadata": list_meta }));
    let number = list.field("items").map_or(2, |f| f.tag);
    let items: Vec<&[u8]> = items.collect();
    let len = head.len() + items.iter().map(|i| wire::field_len(number, i.len())).sum::<usize>();
    let mut out = open_envelope(api_version, kind, len);
    out.key(2, wire::LEN);
    out.varint(len as u64);
    out.0.extend_from_slice(&head);
    for item in items {
        out.bytes(number, item);
    }
    close_envelope(out)
}

/// Encodes a `metav1.WatchEvent` around an enveloped object; the caller writes the frame's length
/// (4 bytes, big endian) before it.
#[must_use]
pub fn encode_watch_event(event: &str, object: &[u8]) -> Vec<u8> {
    let mut out = wire::Writer(Vec::with_capacity(object.len() + event.len() + 16));
    out.bytes(1, event.as_bytes());
    out.key(2, wire::LEN);
    out.varint(wire::field_len(1, object.len()) as u64);
    out.bytes(1, object);
    out.0
}

#[cfg(test)]
mod tests;

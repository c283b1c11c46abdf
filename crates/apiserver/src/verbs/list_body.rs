//! The bytes of a list, generated while they are sent.

use std::iter;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use apimachinery::Status;
use apimachinery::codec::protobuf;
use apimachinery::schema::Type;
use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, SizeHint};
use serde_json::{Value, json};

use crate::body::{self, Body, BoxError};
use crate::cache::Entry;
use crate::encode::{entry_bytes, value_bytes};
use crate::negotiate::Encoding;
use crate::registry::KindRef;

/// Small pieces are merged, so that the transport gets few large chunks.
const CHUNK: usize = 64 << 10;

/// Packs pieces into chunks while they are sent: a large list is never in memory as a whole.
fn packed(
    mut pieces: impl Iterator<Item = Result<Bytes, Status>>,
) -> impl Iterator<Item = Result<Frame<Bytes>, BoxError>> {
    let mut capacity = 4096;
    std::iter::from_fn(move || {
        let mut chunk = BytesMut::with_capacity(capacity);
        capacity = CHUNK + 4096;
        while chunk.len() < CHUNK {
            match pieces.next() {
                Some(Ok(piece)) => chunk.put_slice(&piece),
                Some(Err(status)) => return Some(Err(status.message.into())),
                None => break,
            }
        }
        (!chunk.is_empty()).then(|| Ok(Frame::data(chunk.freeze())))
    })
}

fn streamed(pieces: impl Iterator<Item = Result<Bytes, Status>> + Send + 'static) -> Body {
    StreamBody::new(futures::stream::iter(packed(pieces))).boxed_unsync()
}

/// `head`, the items with commas between them, and `tail`.
fn separated(
    head: String,
    items: impl Iterator<Item = Result<Bytes, Status>> + Send + 'static,
    tail: impl Into<Bytes>,
) -> Body {
    let items = items.enumerate().flat_map(move |(i, item)| {
        let comma: &[u8] = if i > 0 { b"," } else { b"" };
        [Ok(Bytes::from_static(comma)), item]
    });
    let tail = tail.into();
    streamed(iter::once(Ok(head.into())).chain(items).chain(iter::once(Ok(tail))))
}

/// The JSON list of the entries.
pub(super) fn json_list(kind: KindRef, entries: Vec<Arc<Entry>>, metadata: &Value) -> Body {
    let (name, api_version, list) = (kind.kind, kind.api_version(), kind.list_kind());
    let head = format!(
        r#"{{"kind":"{list}","apiVersion":"{api_version}","metadata":{metadata},"items":["#
    );
    // Items inherit their type from the list. It is the beginning of each object. Custom resources
    // keep theirs.
    let inherit = kind.custom.is_none();
    let of_item = format!(r#"{{"kind":"{name}","apiVersion":"{api_version}","#);
    let items = entries.into_iter().enumerate().flat_map(move |(i, entry)| {
        let bytes = match entry_bytes(&kind, &entry, Encoding::Json) {
            Ok(bytes) => bytes,
            Err(status) => return [Err(status), Ok(Bytes::new())],
        };
        let typed = inherit && bytes.starts_with(of_item.as_bytes());
        let before: &[u8] = match (i > 0, typed) {
            (true, true) => b",{",
            (false, true) => b"{",
            (true, false) => b",",
            (false, false) => b"",
        };
        let rest = if typed { bytes.slice(of_item.len()..) } else { bytes };
        [Ok(Bytes::from_static(before)), Ok(rest)]
    });
    let tail = Ok(Bytes::from_static(b"]}\n"));
    streamed(iter::once(Ok(head.into())).chain(items).chain(iter::once(tail)))
}

/// A list whose items are generated from the entries one by one. `list` is complete except for the
/// empty field that takes the items (`items`, or a table's `rows`).
pub(super) fn made_list(
    encoding: Encoding,
    list: Value,
    entries: Vec<Arc<Entry>>,
    make: impl Fn(&Entry) -> Value + Send + 'static,
) -> Result<Body, Status> {
    let held = if list.get("rows").is_some() { "rows" } else { "items" };
    let items = entries.into_iter().map(move |entry| make(&entry));
    let text = match encoding {
        Encoding::Json => list.to_string(),
        Encoding::Yaml => String::from_utf8_lossy(&value_bytes(&list, encoding)?).into_owned(),
        // Its length must be known first: `protobuf_list`.
        Encoding::Protobuf => return Err(Status::internal("a list made in protobuf")),
    };
    let lost = || Status::internal("a list without room for its items");
    if encoding == Encoding::Json {
        let (head, tail) = text.split_once(&format!("\"{held}\":[]")).ok_or_else(lost)?;
        let (head, tail) = (format!("{head}\"{held}\":["), format!("]{tail}\n"));
        let items = items.map(move |item| value_bytes(&item, encoding));
        return Ok(separated(head, items, tail));
    }
    let (head, tail) = text.split_once(&format!("{held}: []\n")).ok_or_else(lost)?;
    let mut items = items.peekable();
    if items.peek().is_none() {
        return Ok(body::full(text));
    }
    let (head, tail) = (format!("{head}{held}:\n"), tail.to_owned());
    // The only item of a list has the same indentation as in this one.
    let items = items.map(move |item| value_bytes(&Value::Array(vec![item]), encoding));
    Ok(streamed(iter::once(Ok(head.into())).chain(items).chain(iter::once(Ok(tail.into())))))
}

/// `raw`, `contentEncoding` and `contentType` of a `runtime.Unknown`, all empty
/// (`k8s.io/apimachinery/pkg/runtime/generated.proto`).
const NOTHING_ENVELOPED: [u8; 6] = [RAW, 0, 0x1a, 0, 0x22, 0];
const RAW: u8 = 0x12;

/// An enveloped list of encoded items. Its size is known, so that it can be compressed.
pub(super) fn protobuf_list(
    list: &Type,
    api_version: &str,
    kind: &str,
    metadata: &Value,
    items: Vec<Bytes>,
) -> Result<Body, Status> {
    let number = list.field("items").map_or(2, |f| f.tag);
    let own = protobuf::encode_raw(list, &json!({"metadata": metadata}));
    let sizes = items.iter().map(|item| field_head(number, item.len()).len() + item.len());
    let raw_len = own.len() + sizes.sum::<usize>();
    let empty = protobuf::envelope(api_version, kind, b"");
    let opening = empty
        .strip_suffix(&NOTHING_ENVELOPED)
        .ok_or_else(|| Status::internal("the protobuf envelope has changed"))?;
    let mut head = BytesMut::from(opening);
    head.put_u8(RAW);
    put_varint(&mut head, raw_len as u64);
    head.put_slice(&own);
    let tail = &NOTHING_ENVELOPED[2..];
    let size = head.len() + raw_len - own.len() + tail.len();
    let items = items.into_iter().flat_map(move |item| {
        let head = field_head(number, item.len());
        [head, item]
    });
    let pieces =
        iter::once(head.freeze()).chain(items).chain(iter::once(Bytes::from_static(tail))).map(Ok);
    let stream = StreamBody::new(futures::stream::iter(packed(pieces)));
    Ok(OfSize { body: stream.boxed_unsync(), left: size as u64 }.boxed_unsync())
}

/// Key and length of a length-delimited field (protobuf's wire type 2).
fn field_head(number: u32, len: usize) -> Bytes {
    let mut head = BytesMut::with_capacity(8);
    put_varint(&mut head, u64::from(number << 3 | 2));
    put_varint(&mut head, len as u64);
    head.freeze()
}

fn put_varint(out: &mut BytesMut, mut n: u64) {
    while n >= 0x80 {
        out.put_u8(n as u8 | 0x80);
        n >>= 7;
    }
    out.put_u8(n as u8);
}

/// A body of known size.
struct OfSize {
    body: Body,
    left: u64,
}

impl http_body::Body for OfSize {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let Some(Ok(frame)) = &frame {
            let sent = frame.data_ref().map_or(0, Bytes::len) as u64;
            self.left = self.left.saturating_sub(sent);
        }
        Poll::Ready(frame)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use apimachinery::schema::Registry;

    use super::*;

    #[tokio::test]
    async fn a_streamed_protobuf_list_is_the_encoded_one() {
        let list = Registry::builtin().lookup("", "v1", "PodList").unwrap();
        let metadata = json!({"resourceVersion": "7"});
        for items in [vec![], vec![vec![1; 3]], vec![vec![2; 200]; 1000]] {
            let items: Vec<Bytes> = items.into_iter().map(Bytes::from).collect();
            let want = protobuf::encode_list_envelope(
                list,
                "v1",
                "PodList",
                &metadata,
                items.iter().map(Bytes::as_ref),
            );
            let body = protobuf_list(list, "v1", "PodList", &metadata, items).unwrap();
            assert_eq!(http_body::Body::size_hint(&body).exact(), Some(want.len() as u64));
            assert_eq!(body.collect().await.unwrap().to_bytes(), want);
        }
    }
}

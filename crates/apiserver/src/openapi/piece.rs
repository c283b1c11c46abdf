//! Documents as pieces of finished bytes, so that a change of one piece leaves the others as they
//! are, in memory too.

use bytes::Bytes;
use http::header::{ETAG, HeaderValue, IF_NONE_MATCH};
use http::{HeaderMap, Response, StatusCode};
use sha2::{Digest, Sha256};

use crate::body::{Body, full, pieces};
use crate::encode::respond;

/// Bytes and their hash.
pub(super) struct Piece {
    pub(super) bytes: Bytes,
    hash: [u8; 32],
}

impl Piece {
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        Self { hash: Sha256::digest(&bytes).into(), bytes: bytes.into() }
    }
}

/// A tag of what these pieces make.
pub(super) fn tag<'a>(pieces: impl Iterator<Item = &'a Piece>) -> String {
    let mut hash = Sha256::new();
    pieces.for_each(|piece| hash.update(piece.hash));
    hex::encode_upper(hash.finalize())
}

fn known(tag: &str, headers: &HeaderMap) -> bool {
    headers.get(IF_NONE_MATCH).is_some_and(|value| {
        value.as_bytes().strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""))
            == Some(tag.as_bytes())
    })
}

/// Answers with a document, which is made unless the client knows its tag.
pub(super) fn answer<I: Iterator<Item = Bytes>>(
    tag: &str,
    media_type: &'static str,
    headers: &HeaderMap,
    document: impl FnOnce() -> I,
) -> Response<Body> {
    let mut response = if known(tag, headers) {
        respond(StatusCode::NOT_MODIFIED, media_type, full(""))
    } else {
        respond(StatusCode::OK, media_type, pieces(document()))
    };
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{tag}\"")) {
        response.headers_mut().insert(ETAG, tag);
    }
    response
}

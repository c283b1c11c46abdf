//! Request and response bodies.

mod pieces;
mod unread;

use std::convert::Infallible;

use apimachinery::Status;
use bytes::{Bytes, BytesMut};
use futures::Stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;

pub(crate) use unread::Unread;

/// Anything that can go wrong with a body.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
/// A body of either direction.
pub type Body = UnsyncBoxBody<Bytes, BoxError>;

/// Largest accepted request body (upstream: 3 MiB).
const MAX_BODY: usize = 3 << 20;

/// A body of known bytes.
pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|e: Infallible| match e {}).boxed_unsync()
}

/// A body of known bytes in several pieces.
pub(crate) fn pieces(pieces: impl Iterator<Item = Bytes>) -> Body {
    pieces::Pieces::new(pieces).map_err(|e: Infallible| match e {}).boxed_unsync()
}

/// A body that is produced while it is read.
pub(crate) fn stream(chunks: impl Stream<Item = Result<Bytes, BoxError>> + Send + 'static) -> Body {
    use futures::TryStreamExt;
    StreamBody::new(chunks.map_ok(Frame::data)).boxed_unsync()
}

/// Reads a request body to its end.
pub(crate) async fn read(mut body: Body) -> Result<Bytes, Status> {
    let too_large = || Status::request_entity_too_large(format!("limit is {MAX_BODY}"));
    // The full limit is read, as upstream does: the rest of a body that is slightly too large is
    // then drained, and its client sees the answer instead of a reset.
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame =
            frame.map_err(|e| Status::bad_request(format!("reading the request body: {e}")))?;
        if let Ok(data) = frame.into_data() {
            if all.len() + data.len() > MAX_BODY {
                return Err(too_large());
            }
            all.extend_from_slice(&data);
        }
    }
    Ok(all.freeze())
}

//! Request and response bodies.

use std::convert::Infallible;

use apimachinery::Status;
use bytes::Bytes;
use futures::Stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited, StreamBody};
use hyper::body::Frame;

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

/// A body that is made as it is read.
pub(crate) fn stream(
    chunks: impl Stream<Item = Result<Bytes, BoxError>> + Send + 'static,
) -> Body {
    use futures::TryStreamExt;
    StreamBody::new(chunks.map_ok(Frame::data)).boxed_unsync()
}

/// Reads a request body to its end.
pub(crate) async fn read(body: Body) -> Result<Bytes, Status> {
    match Limited::new(body, MAX_BODY).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(e) if e.is::<LengthLimitError>() => {
            Err(Status::request_entity_too_large(format!("limit is {MAX_BODY}")))
        }
        Err(e) => Err(Status::bad_request(format!("reading the request body: {e}"))),
    }
}

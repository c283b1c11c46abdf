//! Compresses large answers for clients that accept it.

use std::io::Write;
use std::task::{Context, Poll};

use apimachinery::Status;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures::future::{Either, MapOk};
use futures::{StreamExt, TryFutureExt};
use http::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, VARY,
};
use http::{HeaderMap, Response};
use http_body::Body as _;
use http_body_util::BodyStream;
use tower::Service;

use super::{Received, Step};
use crate::body::{self, Body};

#[derive(Clone)]
pub(super) struct Compress<S>(pub(super) S);

impl<S: Step<Received>> Service<Received> for Compress<S> {
    type Response = Response<Body>;
    type Error = Status;
    type Future = Either<MapOk<S::Future, fn(Response<Body>) -> Response<Body>>, S::Future>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, received: Received) -> Self::Future {
        let accepted = takes_gzip(received.request.headers());
        let inner = self.0.call(received);
        if accepted { Either::Left(inner.map_ok(compress)) } else { Either::Right(inner) }
    }
}

/// Returns true if the client accepts gzip.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let encodings = headers.get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok());
    encodings.is_some_and(|all| all.split(',').any(|one| one.trim().starts_with("gzip")))
}

/// Smaller answers are not worth compressing (upstream: 128 KiB).
const COMPRESS_FROM: u64 = 128 << 10;

/// Compresses an answer as it is sent, if it is large and not a watch.
fn compress(response: Response<Body>) -> Response<Body> {
    let headers = response.headers();
    let hint = response.body().size_hint();
    let large = hint.exact().is_some_and(|n| n > COMPRESS_FROM);
    let ours = headers.get(CONTENT_TYPE).is_some_and(|t| {
        t.to_str().is_ok_and(|t| t.starts_with("application/") && !t.contains("stream=watch"))
    });
    if !large || !ours || headers.contains_key(CONTENT_ENCODING) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    // The router and proxied servers give the length that the answer no longer has.
    parts.headers.remove(CONTENT_LENGTH);
    parts.headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    parts.headers.append(VARY, HeaderValue::from_static("Accept-Encoding"));
    let encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let state = (BodyStream::new(body), Some(encoder));
    let stream = futures::stream::unfold(state, |(mut body, encoder)| async move {
        let mut encoder = encoder?;
        loop {
            match body.next().await {
                Some(Ok(frame)) => {
                    let data = frame.into_data().unwrap_or_default();
                    if let Err(e) = encoder.write_all(&data) {
                        return Some((Err(e.into()), (body, None)));
                    }
                    if encoder.get_ref().len() > 32 << 10 {
                        let chunk = Bytes::from(std::mem::take(encoder.get_mut()));
                        return Some((Ok(chunk), (body, Some(encoder))));
                    }
                }
                Some(Err(e)) => return Some((Err(e), (body, None))),
                None => {
                    let last = encoder.finish().map(Bytes::from).map_err(Into::into);
                    return Some((last, (body, None)));
                }
            }
        }
    });
    Response::from_parts(parts, body::stream(stream))
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn a_compressed_answer_has_no_length_of_before() {
        let text = "a".repeat(COMPRESS_FROM as usize + 1);
        let response = Response::builder()
            .header(CONTENT_TYPE, "application/json")
            .header(CONTENT_LENGTH, text.len())
            .body(body::full(text.clone()))
            .unwrap();
        let response = compress(response);
        assert_eq!(response.headers()[CONTENT_ENCODING], "gzip");
        assert!(!response.headers().contains_key(CONTENT_LENGTH));
        let sent = response.into_body().collect().await.unwrap().to_bytes();
        let mut read = String::new();
        flate2::read::GzDecoder::new(&sent[..]).read_to_string(&mut read).unwrap();
        assert_eq!(read, text);
    }
}

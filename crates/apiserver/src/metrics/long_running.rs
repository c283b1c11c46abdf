//! A response body that is observed when it ends.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};

use crate::body::{Body, BoxError};

/// A body that counts its bytes and calls `done` with their number when it is dropped.
pub(super) struct Observed<F: FnOnce(u64) + Send + Unpin + 'static> {
    body: Body,
    sent: u64,
    done: Option<F>,
}

impl<F: FnOnce(u64) + Send + Unpin + 'static> Observed<F> {
    pub(super) fn new(body: Body, done: F) -> Self {
        Self { body, sent: 0, done: Some(done) }
    }
}

impl<F: FnOnce(u64) + Send + Unpin + 'static> http_body::Body for Observed<F> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(Ok(frame)) = &frame {
            self.sent += frame.data_ref().map_or(0, Bytes::len) as u64;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<F: FnOnce(u64) + Send + Unpin + 'static> Drop for Observed<F> {
    fn drop(&mut self) {
        if let Some(done) = self.done.take() {
            done(self.sent);
        }
    }
}

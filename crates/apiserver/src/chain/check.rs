//! A layer that runs one check: the request continues or is refused.

use std::future::{Ready, ready};
use std::task::{Context, Poll};

use apimachinery::Status;
use futures::future::Either;
use http::Response;
use tower::{Layer, Service};

use super::{Outcome, Received, Step};
use crate::body::Body;

/// Answers synchronously, and may store its result in the request.
type Question = fn(&mut Received) -> Result<(), Status>;

#[derive(Clone, Copy)]
pub(super) struct CheckLayer(Question);

/// The layer that runs the check `question`.
pub(super) fn check(question: Question) -> CheckLayer {
    CheckLayer(question)
}

impl<S> Layer<S> for CheckLayer {
    type Service = Check<S>;

    fn layer(&self, inner: S) -> Check<S> {
        Check { question: self.0, inner }
    }
}

#[derive(Clone)]
pub(super) struct Check<S> {
    question: Question,
    inner: S,
}

impl<S: Step<Received>> Service<Received> for Check<S> {
    type Response = Response<Body>;
    type Error = Status;
    type Future = Either<Ready<Outcome>, S::Future>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut received: Received) -> Self::Future {
        match (self.question)(&mut received) {
            Ok(()) => Either::Right(self.inner.call(received)),
            Err(status) => Either::Left(ready(Err(status))),
        }
    }
}

//! A layer that runs one check: the request continues or is refused.

use std::future::{Ready, ready};
use std::task::{Context, Poll};

use apimachinery::Status;
use futures::future::{BoxFuture, Either};
use http::Response;
use tower::{Layer, Service};

use super::{Outcome, Received, Step, until_gone};
use crate::body::Body;

/// The outcome of a check that waited, and the request.
pub(super) type Waited = BoxFuture<'static, (Received, Result<(), Status>)>;

/// The answer to a question about a request.
pub(super) enum Answer {
    Now(Result<(), Status>),
    /// It must be waited for, with the request.
    Later(Box<dyn FnOnce(Received) -> Waited + Send>),
}

/// May store its result in the request.
type Question = fn(&mut Received) -> Answer;

#[derive(Clone, Copy)]
pub(super) struct CheckLayer(Question);

/// The layer that runs the check `question`. One that is answered at once costs no allocation.
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
    type Future = Either<Either<Ready<Outcome>, S::Future>, BoxFuture<'static, Outcome>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut received: Received) -> Self::Future {
        match (self.question)(&mut received) {
            Answer::Now(Ok(())) => Either::Left(Either::Right(self.inner.call(received))),
            Answer::Now(Err(status)) => Either::Left(Either::Left(ready(Err(status)))),
            Answer::Later(later) => {
                let mut inner = self.inner.clone();
                Either::Right(Box::pin(async move {
                    let gone = received.gone.clone();
                    let (received, answer) = until_gone(&gone, later(received)).await?;
                    answer?;
                    inner.call(received).await
                }))
            }
        }
    }
}

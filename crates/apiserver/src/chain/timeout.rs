//! Bounds the time in which ordinary requests are answered and their answers read.

use std::task::{Context, Poll};

use apimachinery::Status;
use futures::future::BoxFuture;
use http::Response;
use telemetry::task;
use tower::Service;

use super::trace::Lasts;
use super::{Outcome, Received, Step};
use crate::body::Body;
use crate::limits::{self, Deadline};

#[derive(Clone)]
pub(super) struct Timeout<S>(pub(super) S);

impl<S: Step<Received>> Service<Received> for Timeout<S> {
    type Response = Response<Body>;
    type Error = Status;
    type Future = BoxFuture<'static, Outcome>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, received: Received) -> Self::Future {
        // Dropped with this future, which is dropped when the client disconnects.
        let gone = received.gone.clone().drop_guard();
        if limits::is_long_running(&received.info) {
            let inner = self.0.call(received);
            return Box::pin(async move {
                let _gone = gone;
                let mut response = inner.await?;
                response.extensions_mut().insert(Lasts);
                Ok(response)
            });
        }
        let (begun, reads) = (received.stages.begun(), received.info.is_read());
        let allotted = limits::allotted(&received.query);
        let inner = self.0.call(received);
        Box::pin(async move {
            let _gone = gone;
            let time = allotted?;
            let mut response = if reads {
                limits::within(time, inner).await?
            } else {
                // A write that has begun is completed even if its client has left: otherwise
                // resources reserved for a commit could leak.
                let write = task::spawn("request", inner);
                let ended = |ended| Err(Status::internal(ended));
                limits::within(time, async { write.await.unwrap_or_else(ended) }).await?
            };
            response.extensions_mut().insert(Deadline(begun + time));
            Ok(response)
        })
    }
}

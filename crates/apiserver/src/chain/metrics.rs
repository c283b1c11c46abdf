//! Counts and times requests.

use std::task::{Context, Poll};

use apimachinery::Status;
use futures::future::BoxFuture;
use http::Response;
use tower::Service;

use super::{Outcome, Received, Step};
use crate::body::Body;

#[derive(Clone)]
pub(super) struct Observe<S>(pub(super) S);

impl<S: Step<Received>> Service<Received> for Observe<S> {
    type Response = Response<Body>;
    type Error = Status;
    type Future = BoxFuture<'static, Outcome>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, received: Received) -> Self::Future {
        let requests = received.server.metrics.requests.clone();
        let begun = received.stages.begun();
        let headers = received.request.headers();
        let kind = received.kind.as_deref();
        let tracked = requests.begin(&received.info, kind, &received.query, headers, begun);
        let inner = self.0.call(received);
        Box::pin(async move { requests.end(tracked, inner.await) })
    }
}

//! Contains panics; the client gets upstream's answer. Placed inside [`super::timeout`], because a
//! write continues in a task of its own.

use std::task::{Context, Poll};

use apimachinery::Status;
use futures::future::BoxFuture;
use http::{Response, StatusCode};
use telemetry::task;
use tower::Service;

use super::{Outcome, Received, Step};
use crate::body::Body;
use crate::routes;

#[derive(Clone)]
pub(super) struct PanicGuard<S>(pub(super) S);

impl<S: Step<Received>> Service<Received> for PanicGuard<S> {
    type Response = Response<Body>;
    type Error = Status;
    type Future = BoxFuture<'static, Outcome>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, received: Received) -> Self::Future {
        let mut inner = self.0.clone();
        // The inner layers already compute in `call`.
        let serve = task::watched("request", async move { inner.call(received).await });
        Box::pin(async move {
            task::caught(serve).await.unwrap_or_else(|task::Panicked| {
                let text =
                    "This request caused apiserver to panic. Look in the logs for details.\n";
                Ok(routes::plain(StatusCode::INTERNAL_SERVER_ERROR, text))
            })
        })
    }
}

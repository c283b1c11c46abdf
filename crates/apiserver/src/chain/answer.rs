//! Encodes a refusal in the form that the client accepts.

use std::convert::Infallible;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::Response;
use http::header::ACCEPT;
use tower::Service;

use super::{Arrival, Step};
use crate::body::Body;
use crate::encode;
use crate::limits::{Deadline, LONGEST};
use crate::negotiate::Encoding;

#[derive(Clone)]
pub(super) struct Answer<S>(pub(super) S);

impl<S: Step<Arrival>> Service<Arrival> for Answer<S> {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, arrival: Arrival) -> Self::Future {
        let accept = arrival.request.headers().get(ACCEPT).cloned();
        let deadline = Deadline(arrival.stages.begun() + LONGEST);
        let inner = self.0.call(arrival);
        Box::pin(async move {
            Ok(inner.await.unwrap_or_else(|status| {
                let accept = accept.as_ref().and_then(|value| value.to_str().ok());
                let mut response = encode::error(&status, Encoding::wanted(accept));
                response.extensions_mut().insert(deadline);
                response
            }))
        })
    }
}

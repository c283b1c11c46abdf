//! Parses the path, the verb and the query of a request.

use std::future::{Ready, ready};
use std::task::{Context, Poll};

use apimachinery::Status;
use futures::future::Either;
use http::Response;
use tokio_util::sync::CancellationToken;
use tower::Service;

use super::{Arrival, Outcome, Received, Step};
use crate::body::Body;
use crate::request::{Query, RequestInfo};
use crate::routes;

#[derive(Clone)]
pub(super) struct ReadInfo<S>(pub(super) S);

impl<S: Step<Received>> Service<Arrival> for ReadInfo<S> {
    type Response = Response<Body>;
    type Error = Status;
    type Future = Either<Ready<Outcome>, S::Future>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, arrival: Arrival) -> Self::Future {
        let Arrival { server, request, user, stages } = arrival;
        let query = Query::parse(request.uri().query());
        let Ok(info) = RequestInfo::parse(request.method(), request.uri().path(), &query) else {
            return Either::Left(ready(Err(routes::no_such_path())));
        };
        let (within, gone) = (user.is_some(), CancellationToken::new());
        let kinds = server.kinds();
        let kind = kinds.find(&info.group, &info.version, &info.resource).cloned();
        let received = Received {
            server,
            request,
            info,
            kind,
            query,
            within,
            user,
            stages,
            gone,
            seats: None,
            audit: Default::default(),
        };
        Either::Right(self.0.call(received))
    }
}

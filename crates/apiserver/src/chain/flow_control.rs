//! Lets requests in by API Priority and Fairness, which may make them wait (KEP-1040).

use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use apimachinery::Status;
use futures::future::{BoxFuture, Either};
use http::header::RETRY_AFTER;
use http::{HeaderValue, Response, StatusCode};
use tower::Service;

use super::{Outcome, Received, Step};
use crate::body::Body;
use crate::flow_control::Admitted;
use crate::{limits, routes};

/// Part of a request's time in which it may wait.
const WAITING: u32 = 4;
/// Longest time in which any may wait, and that of a watch.
const LONGEST: Duration = Duration::from_secs(60);
const OF_WATCH: Duration = Duration::from_secs(15);

/// Asks for the seats of each request.
#[derive(Clone)]
pub(super) struct FlowControl<S>(pub(super) S);

impl<S: Step<Received>> Service<Received> for FlowControl<S> {
    type Response = Response<Body>;
    type Error = Status;
    type Future = Either<S::Future, BoxFuture<'static, Outcome>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut received: Received) -> Self::Future {
        let watch = received.info.verb == "watch";
        // The cluster's own components in this process limit themselves.
        if received.within || (limits::is_long_running(&received.info) && !watch) {
            return Either::Left(self.0.call(received));
        }
        let admitted = match ask(&received) {
            Ok(admitted) => admitted,
            Err(status) => return Either::Right(Box::pin(std::future::ready(Err(status)))),
        };
        match admitted {
            Admitted::Now(seats) => {
                received.seats = Some(seats);
                Either::Left(self.0.call(received))
            }
            Admitted::Refused(seconds) => {
                Either::Right(Box::pin(std::future::ready(Ok(too_many(seconds)))))
            }
            Admitted::Later(waits) => {
                let until = until(&received, watch);
                let mut inner = self.0.clone();
                Either::Right(Box::pin(async move {
                    let gone = received.gone.clone();
                    match waits.turn(until, gone.cancelled()).await {
                        Ok(seats) => {
                            received.stages.passed("waited for seats");
                            received.seats = Some(seats);
                            inner.call(received).await
                        }
                        Err(seconds) => Ok(too_many(seconds)),
                    }
                }))
            }
        }
    }
}

fn ask(received: &Received) -> Result<Admitted, Status> {
    let server = &received.server;
    let collection = || {
        let kind = received.kind.as_ref().filter(|kind| kind.conversion.is_none())?;
        server.collection(kind).ok()
    };
    let (matched, admitted) =
        server.flow_control.admit(received.user()?, &received.info, &received.query, collection);
    if let Some(matched) = matched {
        received.stages.matched(matched);
    }
    Ok(admitted)
}

fn until(received: &Received, watch: bool) -> Instant {
    let allotted = limits::allotted(&received.query).ok().filter(|_| !watch);
    let time = allotted.map_or(OF_WATCH, |time| time / WAITING);
    received.stages.begun() + time.min(LONGEST)
}

/// Upstream's answer, which is no `Status`.
fn too_many(seconds: u64) -> Response<Body> {
    let text = "Too many requests, please try again later.\n";
    let mut response = routes::plain(StatusCode::TOO_MANY_REQUESTS, text);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    response
}

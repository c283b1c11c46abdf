//! Authenticates the sender of the request.

use std::future::{Ready, ready};
use std::task::{Context, Poll};
use std::time::Instant;

use apimachinery::Status;
use futures::future::{BoxFuture, Either};
use http::Response;
use tower::Service;
use tracing::Span;

use super::{Outcome, Received, Step, audit, until_gone};
use crate::authn::{self, Attempt};
use crate::body::Body;
use crate::user::User;

#[derive(Clone)]
pub(super) struct Authenticate<S>(pub(super) S);

impl<S: Step<Received>> Service<Received> for Authenticate<S> {
    type Response = Response<Body>;
    type Error = Status;
    type Future = Either<Either<Ready<Outcome>, S::Future>, BoxFuture<'static, Outcome>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut received: Received) -> Self::Future {
        // Callers in this process set the user themselves; nothing from a network can.
        if let Some(user) = &received.user {
            Span::current().record("user", &*user.name);
            return Either::Left(Either::Right(self.0.call(received)));
        }
        let begun = Instant::now();
        let question = match authn::authenticate(&received.server, &received.request) {
            Attempt::Ask(question) => question,
            Attempt::Done(user) => {
                return Either::Left(match note(&mut received, user, begun) {
                    Ok(()) => Either::Right(self.0.call(received)),
                    Err(status) => Either::Left(ready(Err(status))),
                });
            }
        };
        let mut inner = self.0.clone();
        Either::Right(Box::pin(async move {
            let user = until_gone(&received.gone.clone(), question.ask(&received.server)).await?;
            note(&mut received, user, begun)?;
            inner.call(received).await
        }))
    }
}

/// Keeps the outcome with the request.
fn note(received: &mut Received, user: Result<User, Status>, begun: Instant) -> Result<(), Status> {
    let name = user.as_ref().ok().map(|user| user.name.as_str());
    received.server.metrics.access.authenticated(name, begun.elapsed());
    let user = match user {
        Ok(user) => user,
        Err(status) => {
            audit::unauthenticated(received, &status);
            return Err(status);
        }
    };
    authn::clear_credentials(&received.server, &mut received.request);
    Span::current().record("user", &*user.name);
    received.user = Some(user);
    Ok(())
}

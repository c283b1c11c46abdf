//! Replaces the user by the one that the request impersonates.

use apimachinery::Status;
use tracing::Span;

use super::Received;
use super::check::Answer;
use crate::authn::{self, Wanted};
use crate::authz::Attributes;

pub(super) fn impersonate(received: &mut Received) -> Answer {
    match authn::wanted(received.request.headers_mut()) {
        Ok(None) => Answer::Now(Ok(())),
        Err(status) => Answer::Now(Err(status)),
        Ok(Some(wanted)) => Answer::Later(Box::new(move |mut received| {
            Box::pin(async move {
                let answer = become_user(&mut received, &wanted).await;
                (received, answer)
            })
        })),
    }
}

async fn become_user(received: &mut Received, wanted: &Wanted) -> Result<(), Status> {
    let info = &received.info;
    let attributes = Attributes::of(received.user()?, info.verb, info);
    let impersonated = authn::impersonate(&received.server, wanted, attributes).await?;
    received.audit.impersonates(&impersonated.user, impersonated.constraint);
    Span::current().record("user", &*impersonated.user.name);
    received.user = Some(impersonated.user);
    Ok(())
}

//! Replaces the user by the one that the request impersonates.

use apimachinery::Status;
use tracing::Span;

use super::Received;
use crate::authn;

pub(super) fn impersonate(received: &mut Received) -> Result<(), Status> {
    let headers = received.request.headers();
    if let Some(user) = authn::impersonate(&received.server, received.user()?, headers)? {
        Span::current().record("user", &*user.name);
        received.user = Some(user);
    }
    Ok(())
}

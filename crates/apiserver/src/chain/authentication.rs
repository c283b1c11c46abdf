//! Authenticates the sender of the request.

use std::time::Instant;

use apimachinery::Status;
use tracing::Span;

use super::Received;
use crate::authn;

/// Callers in this process set the user themselves; nothing from a network can.
pub(super) fn authenticate(received: &mut Received) -> Result<(), Status> {
    if received.user.is_none() {
        let begun = Instant::now();
        let user = authn::authenticate(&received.server, &received.request);
        let name = user.as_ref().ok().map(|user| user.name.as_str());
        received.server.metrics.access.authenticated(name, begun.elapsed());
        received.user = Some(user?);
    }
    Span::current().record("user", &*received.user()?.name);
    Ok(())
}

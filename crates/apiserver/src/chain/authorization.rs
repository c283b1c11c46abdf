//! Checks that the user is allowed to do what the request asks for.

use std::time::Instant;

use apimachinery::Status;

use super::Received;

pub(super) fn authorize(received: &mut Received) -> Result<(), Status> {
    let begun = Instant::now();
    let (server, info) = (&received.server, &received.info);
    let authorized = server.authorize(received.user()?, info.verb, info);
    server.metrics.access.authorized(authorized.is_ok(), begun.elapsed());
    authorized?;
    received.stages.passed("authorized");
    Ok(())
}

//! Limits the number of concurrent requests.

use apimachinery::Status;

use super::Received;

/// The cluster's own components in this process limit themselves.
pub(super) fn enter(received: &mut Received) -> Result<(), Status> {
    if !received.within {
        let place = received.server.in_flight.enter(received.user()?, &received.info)?;
        received.place = place;
    }
    Ok(())
}

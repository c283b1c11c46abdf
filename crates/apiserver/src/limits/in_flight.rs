//! Limits concurrent requests (upstream's `--max-requests-inflight`).

use std::collections::HashMap;
use std::sync::Arc;

use apimachinery::Status;
use parking_lot::Mutex;

use crate::request::RequestInfo;
use crate::user::{MASTERS, User};

/// Seconds after which a refused client may retry.
const RETRY: u32 = 1;

/// Concurrent requests of one kind.
struct Lane {
    limit: usize,
    /// By user, so that one cannot use all places.
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    all: usize,
    by_user: HashMap<String, usize>,
}

impl Lane {
    fn new(limit: usize) -> Self {
        Self { limit, counts: Mutex::default() }
    }
}

/// The counts of both kinds.
pub(crate) struct InFlight {
    reading: Arc<Lane>,
    mutating: Arc<Lane>,
}

impl Default for InFlight {
    /// Upstream's limits.
    fn default() -> Self {
        Self { reading: Arc::new(Lane::new(400)), mutating: Arc::new(Lane::new(200)) }
    }
}

/// One request's place, released when it is dropped.
pub(crate) struct Place {
    lane: Arc<Lane>,
    user: String,
}

impl InFlight {
    /// A place for a request, or 429. Administrators always get one, so that they can repair the
    /// cluster. Other users get at most half of the places.
    pub(crate) fn enter(&self, user: &User, info: &RequestInfo) -> Result<Option<Place>, Status> {
        if super::is_long_running(info) || user.in_group(MASTERS) {
            return Ok(None);
        }
        let lane = if info.is_read() { &self.reading } else { &self.mutating };
        let mut counts = lane.counts.lock();
        let own = counts.by_user.get(&user.name).copied().unwrap_or(0);
        if counts.all >= lane.limit || own >= lane.limit / 2 {
            let message = "too many requests, please try again later.";
            return Err(Status::too_many_requests(message, RETRY));
        }
        counts.all += 1;
        match counts.by_user.get_mut(&user.name) {
            Some(count) => *count += 1,
            None => {
                counts.by_user.insert(user.name.clone(), 1);
            }
        }
        Ok(Some(Place { lane: lane.clone(), user: user.name.clone() }))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.lane.counts.lock();
        counts.all -= 1;
        if let Some(count) = counts.by_user.get_mut(&self.user) {
            *count -= 1;
            if *count == 0 {
                counts.by_user.remove(&self.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(verb: &'static str) -> RequestInfo {
        RequestInfo { is_resource: true, verb, resource: "pods".into(), ..RequestInfo::default() }
    }

    #[test]
    fn one_user_cannot_take_every_place_and_administrators_have_theirs() {
        let in_flight = InFlight::default();
        let users: Vec<User> = (0..3).map(|i| User::new(format!("u{i}"), &[])).collect();
        let create = info("create");
        let mut held = Vec::new();
        for user in &users[..2] {
            held.extend((0..100).map(|_| in_flight.enter(user, &create).unwrap()));
            let refused = in_flight.enter(user, &create).err().unwrap();
            assert_eq!(refused.code, 429);
            assert_eq!(refused.details.unwrap().retry_after_seconds, 1);
        }
        assert_eq!(in_flight.enter(&users[2], &create).err().unwrap().code, 429);
        assert!(in_flight.enter(&users[0], &info("get")).is_ok());
        assert!(in_flight.enter(&users[0], &info("watch")).unwrap().is_none());
        assert!(in_flight.enter(&User::new("admin", &[MASTERS]), &create).is_ok());
        held.pop();
        assert!(in_flight.enter(&users[2], &create).is_ok());
        held.clear();
        assert!(in_flight.mutating.counts.lock().by_user.is_empty());
    }
}

//! Exponential backoff per key, as upstream's `flowcontrol.Backoff`.

use std::collections::HashMap;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

/// First wait after a failure: 10 s.
pub(crate) const FIRST: Duration = Duration::from_secs(10);
/// Longest wait: 5 minutes.
pub(crate) const LAST: Duration = Duration::from_secs(300);

/// Waits that double with each failure and are forgotten after twice the longest one.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    entries: HashMap<String, Entry>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    wait: Duration,
    updated: Timestamp,
}

fn since(earlier: Timestamp, later: Timestamp) -> Duration {
    Duration::try_from(later.duration_since(earlier)).unwrap_or_default()
}

impl Backoff {
    /// The present wait of a key, were it to fail at `event`.
    pub(crate) fn wait(&self, key: &str, event: Timestamp) -> Option<Duration> {
        let entry = self.entries.get(key)?;
        (since(entry.updated, event) <= 2 * LAST).then_some(entry.wait)
    }

    /// The rest, at `now`, of the wait that began at `event`; `None` once it is over.
    pub(crate) fn remaining(
        &self,
        key: &str,
        event: Timestamp,
        now: Timestamp,
    ) -> Option<Duration> {
        let wait = self.wait(key, event)?;
        wait.checked_sub(since(event, now)).filter(|left| !left.is_zero())
    }

    /// The rest, at `now`, of the wait that began with the last failure.
    pub(crate) fn remaining_since_update(&self, key: &str, now: Timestamp) -> Option<Duration> {
        self.remaining(key, self.entries.get(key)?.updated, now)
    }

    /// Lengthens the wait of a key that failed at `event`.
    pub(crate) fn next(&mut self, key: &str, event: Timestamp, now: Timestamp) {
        let wait = match self.wait(key, event) {
            None => FIRST,
            Some(wait) => (wait * 2).min(LAST),
        };
        self.entries.insert(key.to_owned(), Entry { wait, updated: now });
    }

    /// Forgets every key that begins with `prefix`.
    pub(crate) fn forget(&mut self, prefix: &str) {
        self.entries.retain(|key, _| !key.starts_with(prefix));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn waits_double_to_five_minutes_and_reset_after_ten() {
        let mut backoff = Backoff::default();
        let mut waits = Vec::new();
        let mut clock = 0;
        assert!(backoff.remaining("k", at(0), at(0)).is_none(), "the first restart is immediate");
        for _ in 0..7 {
            backoff.next("k", at(clock), at(clock));
            let left = backoff.remaining("k", at(clock + 1), at(clock + 1)).unwrap();
            waits.push(left.as_secs());
            clock += 1 + left.as_secs() as i64;
        }
        assert_eq!(waits, [10, 20, 40, 80, 160, 300, 300]);
        assert!(backoff.remaining("k", at(clock), at(clock + 300)).is_none());
        let long_after = clock + 1000;
        assert!(backoff.remaining("k", at(long_after), at(long_after)).is_none());
        backoff.next("k", at(long_after), at(long_after));
        assert_eq!(backoff.wait("k", at(long_after)), Some(FIRST));
        backoff.forget("");
        assert_eq!(backoff.wait("k", at(long_after)), None);
    }
}

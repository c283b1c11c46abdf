//! Waits between the replacements of a pod that fails over and over.

use std::collections::HashMap;
use std::time::Duration;

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::jiff::Timestamp;
use parking_lot::Mutex;

use crate::common::meta;

/// As upstream's `flowcontrol.NewBackOff(1*time.Second, 15*time.Minute)`.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(15 * 60);

/// The uid of a set, its generation, and a node.
type Key = (String, i64, String);

/// The waits of all sets on all nodes.
#[derive(Default)]
pub(super) struct Backoffs(Mutex<HashMap<Key, (Duration, Timestamp)>>);

fn since(at: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(at)).unwrap_or_default()
}

impl Backoffs {
    /// Notes an attempt and makes the next wait longer, or says how long to wait before one.
    pub(super) fn attempt(&self, set: &DaemonSet, node: &str, now: Timestamp) -> Option<Duration> {
        let observed = set.status.as_ref().and_then(|status| status.observed_generation);
        let key = (meta::uid(set).to_owned(), observed.unwrap_or(0), node.to_owned());
        let mut waits = self.0.lock();
        waits.retain(|_, (_, at)| since(*at, now) <= LONGEST * 2);
        let known = waits.get(&key).copied();
        if let Some((wait, at)) = known
            && let Some(left) = wait.checked_sub(since(at, now)).filter(|left| !left.is_zero())
        {
            return Some(left);
        }
        let next = known.map_or(FIRST, |(wait, _)| (wait * 2).min(LONGEST));
        waits.insert(key, (next, now));
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_per_node() {
        let (backoffs, set) = (Backoffs::default(), DaemonSet::default());
        let at = |second| Timestamp::from_second(second).unwrap();
        for (node, second, expected) in [
            ("n1", 0, None),
            ("n1", 0, Some(1)),
            ("n2", 0, None),
            ("n1", 1, None),
            ("n1", 2, Some(1)),
            ("n1", 3, None),
            ("n1", 4, Some(3)),
            ("n1", 4000, None),
            ("n1", 4001, None),
        ] {
            let wait = backoffs.attempt(&set, node, at(second)).map(|wait| wait.as_secs());
            assert_eq!(wait, expected, "{node} at {second}");
        }
    }
}

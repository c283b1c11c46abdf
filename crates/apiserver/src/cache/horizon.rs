//! Limits exact reads to recent revisions: pages expire as in upstream, whose store is compacted.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use store::Revision;

/// Minimum time for which a list can be continued (upstream compacts every five minutes).
const KEEP: Duration = Duration::from_secs(300);
/// Minimum time between marks.
const SPACING: Duration = Duration::from_secs(15);

/// Records which revision was current at which time.
#[derive(Default)]
pub(crate) struct Horizon {
    marks: Mutex<VecDeque<(Instant, Revision)>>,
}

impl Horizon {
    /// The oldest revision that may be read at `now`, given the newest one, `present`.
    ///
    /// Marks are made on reads rather than by a timer: unread revisions need not expire.
    pub(crate) fn oldest(&self, now: Instant, present: Revision) -> Revision {
        let mut marks = self.marks.lock();
        let passed = |(at, _): &(Instant, _), time| now.duration_since(*at) >= time;
        if marks.back().is_none_or(|last| passed(last, SPACING)) {
            marks.push_back((now, present));
        }
        while marks.get(1).is_some_and(|mark| passed(mark, KEEP)) {
            marks.pop_front();
        }
        marks.front().filter(|mark| passed(mark, KEEP)).map_or(0, |(_, revision)| *revision)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_can_be_continued_for_five_minutes() {
        let (horizon, begin) = (Horizon::default(), Instant::now());
        let oldest = |seconds| horizon.oldest(begin + Duration::from_secs(seconds), 100 + seconds);
        for seconds in (0..300).step_by(20) {
            assert_eq!(oldest(seconds), 0);
        }
        assert_eq!(oldest(300), 100, "revision 100 itself can still be read");
        assert_eq!(oldest(319), 100);
        assert_eq!(oldest(320), 120);
        assert_eq!(oldest(10_000), 419, "the last mark, however old");
        assert_eq!(horizon.marks.lock().len(), 2);
    }
}

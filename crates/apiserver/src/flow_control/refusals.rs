//! When refused clients may come again.

use std::collections::{HashMap, VecDeque};

use parking_lot::Mutex;

/// Longest time, in seconds.
const LONGEST: u64 = 32;

/// Refused requests of each priority level in the last seconds.
#[derive(Default)]
pub(super) struct Refusals(Mutex<HashMap<String, Recent>>);

struct Recent {
    /// Seconds and what was refused in them.
    seconds: VecDeque<(u64, u64)>,
    wait: u64,
    doubled: u64,
}

impl Refusals {
    /// Notes a refusal in this second of some clock; the seconds that the client is to wait.
    pub(super) fn note(&self, level: &str, now: u64) -> u64 {
        let mut all = self.0.lock();
        if !all.contains_key(level) {
            let new = Recent { seconds: VecDeque::new(), wait: 1, doubled: 0 };
            all.insert(level.to_owned(), new);
        }
        all.get_mut(level).map_or(1, |recent| recent.note(now))
    }

    /// Forgets levels that are no more.
    pub(super) fn keep(&self, known: impl Fn(&str) -> bool) {
        self.0.lock().retain(|level, _| known(level));
    }
}

impl Recent {
    /// The time doubles under many refusals, and shrinks by a second at a time when there are few,
    /// as upstream and TCP do.
    fn note(&mut self, now: u64) -> u64 {
        match self.seconds.back_mut() {
            Some((second, count)) if *second == now => *count += 1,
            _ => {
                self.seconds.push_back((now, 1));
                while self.seconds.front().is_some_and(|(second, _)| second + LONGEST < now) {
                    self.seconds.pop_front();
                }
                self.adapt(now);
            }
        }
        self.wait
    }

    fn adapt(&mut self, now: u64) {
        let recent = self.seconds.iter().filter(|(s, _)| *s < now && s + self.wait >= now);
        let refused: u64 = recent.map(|(_, count)| count).sum();
        if now.saturating_sub(self.doubled) >= self.wait && refused >= 3 * self.wait {
            self.wait = (2 * self.wait).min(LONGEST);
            self.doubled = now;
        } else if refused < self.wait && self.wait > 1 {
            self.wait -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_grows_under_load_and_shrinks_after_it() {
        let refusals = Refusals::default();
        let burst = |second| (0..10).map(|_| refusals.note("l", second)).last().unwrap();
        assert_eq!(burst(100), 1);
        assert_eq!(burst(101), 2);
        assert_eq!(burst(102), 2);
        assert_eq!(burst(103), 4);
        assert_eq!(refusals.note("other", 103), 1);
        assert_eq!(refusals.note("l", 200), 3);
        assert_eq!(refusals.note("l", 300), 2);
    }
}

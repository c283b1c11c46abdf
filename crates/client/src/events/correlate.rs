//! Which occurrences become a new Event, which count on an old one, and which are dropped.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::Occurrence;

/// Events about one object that may be written at once; upstream's spam filter.
const BURST: f64 = 25.0;
/// Time in which one more becomes allowed.
const REFILL: Duration = Duration::from_secs(300);
/// Entries kept, as upstream's cache sizes.
const CAPACITY: usize = 4096;
/// After so many similar events with different messages they are written as one.
const SIMILAR: usize = 10;
/// Within this time.
const SIMILAR_WITHIN: Duration = Duration::from_secs(600);

/// An Event object already written.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Known {
    pub(super) name: String,
    pub(super) count: i32,
}

#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    object: [String; 5],
    kind: &'static str,
    reason: String,
    message: String,
}

struct Bucket {
    tokens: f64,
    at: Instant,
}

#[derive(Default)]
struct Similar {
    messages: Vec<String>,
    at: Option<Instant>,
}

/// The correlator's memory.
#[derive(Default)]
pub(super) struct Correlator {
    known: HashMap<Key, Known>,
    buckets: HashMap<[String; 5], Bucket>,
    similar: HashMap<Key, Similar>,
}

impl Correlator {
    /// Decides what to write; `None` means that the object has too many events. The message may
    /// be rewritten to stand for several similar ones.
    pub(super) fn admit(&mut self, occurrence: &mut Occurrence, now: Instant) -> Option<Key> {
        let object = identity(occurrence);
        if self.buckets.len() >= CAPACITY {
            self.buckets.clear();
        }
        let bucket =
            self.buckets.entry(object.clone()).or_insert(Bucket { tokens: BURST, at: now });
        let gained = now.duration_since(bucket.at).as_secs_f64() / REFILL.as_secs_f64();
        bucket.tokens = (bucket.tokens + gained).min(BURST);
        bucket.at = now;

        let group = Key {
            object: object.clone(),
            kind: occurrence.kind.as_str(),
            reason: occurrence.reason.clone(),
            message: String::new(),
        };
        let mut key = Key { message: occurrence.message.clone(), ..group.clone() };
        if self.similar.len() >= CAPACITY {
            self.similar.clear();
        }
        let similar = self.similar.entry(group.clone()).or_default();
        if similar.at.is_none_or(|at| now.duration_since(at) > SIMILAR_WITHIN) {
            similar.messages.clear();
        }
        similar.at = Some(now);
        if !similar.messages.contains(&occurrence.message) {
            if similar.messages.len() < SIMILAR {
                similar.messages.push(occurrence.message.clone());
            } else {
                occurrence.message =
                    format!("(combined from similar events): {}", occurrence.message);
                key = group;
            }
        }
        if bucket.tokens < 1.0 {
            return None;
        }
        bucket.tokens -= 1.0;
        Some(key)
    }

    /// The Event that already stands for this key.
    pub(super) fn known(&self, key: &Key) -> Option<&Known> {
        self.known.get(key)
    }

    /// Remembers what was written.
    pub(super) fn wrote(&mut self, key: Key, known: Known) {
        if self.known.len() >= CAPACITY {
            self.known.clear();
        }
        self.known.insert(key, known);
    }
}

fn identity(occurrence: &Occurrence) -> [String; 5] {
    let about = &occurrence.about;
    [&about.kind, &about.namespace, &about.name, &about.uid, &about.field_path]
        .map(|part| part.clone().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::super::EventType;
    use super::*;

    fn occurrence(message: &str) -> Occurrence {
        Occurrence {
            about: Default::default(),
            kind: EventType::Warning,
            reason: "BackOff".into(),
            message: message.into(),
        }
    }

    #[test]
    fn a_noisy_object_is_cut_off_and_recovers() {
        let mut correlator = Correlator::default();
        let start = Instant::now();
        let mut admitted = 0;
        for _ in 0..40 {
            admitted += u32::from(correlator.admit(&mut occurrence("m"), start).is_some());
        }
        assert_eq!(admitted, 25);
        let later = start + REFILL;
        assert!(correlator.admit(&mut occurrence("m"), later).is_some());
        assert!(correlator.admit(&mut occurrence("m"), later).is_none());
    }

    #[test]
    fn the_eleventh_different_message_stands_for_the_rest() {
        let mut correlator = Correlator::default();
        let now = Instant::now();
        let mut keys = Vec::new();
        for n in 0..12 {
            let mut occurrence = occurrence(&format!("attempt {n}"));
            keys.push(correlator.admit(&mut occurrence, now).unwrap());
            let combined = occurrence.message.starts_with("(combined from similar events): ");
            assert_eq!(combined, n >= 10, "{n}");
        }
        assert!(keys[10] == keys[11]);
        assert!(keys[9] != keys[10]);
    }
}

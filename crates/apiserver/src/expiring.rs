//! Answers that are believed for a while.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// The digest of a question.
pub(crate) type Key = [u8; 32];

struct Known<V> {
    value: V,
    size: usize,
    until: Instant,
    /// Which of the answers to this question it is.
    number: u64,
}

/// Answers by the digests of their questions, bounded in number and size: whoever asks for ever
/// new things makes this forget, not grow.
pub(crate) struct Expiring<V> {
    known: HashMap<Key, Known<V>>,
    /// Oldest first. Those that were replaced are still in it.
    order: VecDeque<(Key, u64)>,
    most: usize,
    most_bytes: usize,
    bytes: usize,
    next: u64,
}

impl<V> Expiring<V> {
    /// At most so many, of so many bytes together.
    pub(crate) fn new(most: usize, most_bytes: usize) -> Self {
        let (known, order) = (HashMap::new(), VecDeque::new());
        Self { known, order, most, most_bytes, bytes: 0, next: 0 }
    }

    pub(crate) fn get(&self, key: &Key, now: Instant) -> Option<&V> {
        let known = self.known.get(key)?;
        (known.until > now).then_some(&known.value)
    }

    /// Keeps an answer and says its size; for no time, or of a size beside which nothing else could
    /// be kept, it is not.
    pub(crate) fn keep(
        &mut self,
        key: Key,
        (value, size): (V, usize),
        ttl: Duration,
        now: Instant,
    ) {
        let Some(until) = now.checked_add(ttl) else { return };
        if ttl.is_zero() || size > self.most_bytes / 64 {
            return;
        }
        let number = self.next;
        self.next += 1;
        self.bytes += size;
        if let Some(old) = self.known.insert(key, Known { value, size, until, number }) {
            self.bytes -= old.size;
        }
        self.order.push_back((key, number));
        while self.order.len() > self.most || self.bytes > self.most_bytes {
            let Some((oldest, number)) = self.order.pop_front() else { return };
            if self.known.get(&oldest).is_some_and(|known| known.number == number)
                && let Some(known) = self.known.remove(&oldest)
            {
                self.bytes -= known.size;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn key(i: u64) -> Key {
        let mut key = [1; 32];
        key[..8].copy_from_slice(&i.to_be_bytes());
        key
    }

    #[test]
    fn answers_are_kept_for_a_time() {
        let (mut answers, now) = (Expiring::new(8, 6400), Instant::now());
        answers.keep(key(0), ("a", 1), Duration::ZERO, now);
        assert_eq!(answers.get(&key(0), now), None);
        answers.keep(key(0), ("a", 1), SECOND, now);
        assert_eq!(answers.get(&key(0), now), Some(&"a"));
        answers.keep(key(0), ("b", 1), SECOND * 2, now);
        assert_eq!(answers.get(&key(0), now + SECOND), Some(&"b"));
        assert_eq!(answers.get(&key(0), now + SECOND * 2), None);
        answers.keep(key(1), ("large", 101), SECOND, now);
        assert_eq!(answers.get(&key(1), now), None);
    }

    #[test]
    fn a_flood_makes_it_forget_and_not_grow() {
        let now = Instant::now();
        let mut many = Expiring::new(100, 1 << 20);
        // The same question again and again is no flood of questions.
        (0..1000).for_each(|_| many.keep(key(0), ((), 1), SECOND, now));
        assert_eq!((many.known.len(), many.bytes), (1, 1));
        assert!(many.order.len() <= 100);
        (0..1000).for_each(|i| many.keep(key(i), ((), 1), SECOND, now));
        assert_eq!((many.known.len(), many.order.len(), many.bytes), (100, 100, 100));
        assert!(many.get(&key(999), now).is_some() && many.get(&key(899), now).is_none());
        let mut large = Expiring::new(1000, 6400);
        (0..1000).for_each(|i| large.keep(key(i), ((), 100), SECOND, now));
        assert_eq!((large.known.len(), large.bytes), (64, 6400));
    }
}

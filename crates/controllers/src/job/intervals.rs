//! Sets of completion indexes, written like `0-3,5`.

use std::collections::BTreeSet;
use std::fmt;

/// Ordered, disjoint, closed intervals.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Intervals(Vec<(i32, i32)>);

impl Intervals {
    /// Reads what is below `completions`; pieces that are no interval are passed over, because a
    /// damaged status must not stop the Job.
    pub(super) fn parse(text: &str, completions: i32) -> Self {
        let mut result = Self::default();
        for piece in text.split(',').filter(|piece| !piece.is_empty()) {
            let (first, last) = piece.split_once('-').unwrap_or((piece, piece));
            let (Ok(first), Ok(last)) = (first.parse::<i32>(), last.parse::<i32>()) else {
                tracing::warn!(piece, "not an interval of completion indexes");
                continue;
            };
            if first >= completions {
                break;
            }
            result.push((first, last.min(completions - 1)));
        }
        result
    }

    fn push(&mut self, (first, last): (i32, i32)) {
        match self.0.last_mut() {
            Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
            _ => self.0.push((first, last)),
        }
    }

    /// These and those of `other`.
    pub(super) fn union(&self, other: &Self) -> Self {
        let mut all: Vec<_> = self.0.iter().chain(&other.0).copied().collect();
        all.sort_unstable();
        let mut result = Self::default();
        all.into_iter().for_each(|interval| result.push(interval));
        result
    }

    /// These and single ones.
    pub(super) fn with(&self, indexes: impl IntoIterator<Item = i32>) -> Self {
        let single: BTreeSet<i32> = indexes.into_iter().collect();
        self.union(&Self(single.into_iter().map(|index| (index, index)).collect()))
    }

    /// How many there are.
    pub(super) fn total(&self) -> i32 {
        self.0.iter().map(|(first, last)| last - first + 1).sum()
    }

    /// Returns true if `index` is one of them.
    pub(super) fn has(&self, index: i32) -> bool {
        let at = self.0.partition_point(|(_, last)| *last < index);
        self.0.get(at).is_some_and(|(first, _)| *first <= index)
    }

    /// How many are also in `other`.
    pub(super) fn common(&self, other: &Self) -> i32 {
        let (mut i, mut j, mut count) = (0, 0, 0);
        while let (Some(a), Some(b)) = (self.0.get(i), other.0.get(j)) {
            count += (a.1.min(b.1) - a.0.max(b.0) + 1).max(0);
            if a.1 <= b.1 {
                i += 1;
            }
            if b.1 <= a.1 {
                j += 1;
            }
        }
        count
    }

    /// The first `count` indexes below `completions` that are not here.
    pub(super) fn missing(&self, count: usize, completions: i32) -> Vec<i32> {
        let bounds = self.0.iter().copied().chain([(completions, completions)]);
        let mut next = 0;
        let gaps = bounds.flat_map(|(first, last)| {
            let gap = next..first.min(completions);
            next = last.saturating_add(1);
            gap
        });
        gaps.take(count).collect()
    }
}

/// Upstream's `orderedIntervals.String`: two neighbours are written one by one.
impl fmt::Display for Intervals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (first, last)) in self.0.iter().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            write!(f, "{comma}{first}")?;
            if last > first {
                let link = if *last == first + 1 { "," } else { "-" };
                write!(f, "{link}{last}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_and_written_as_upstream_does() {
        for (text, completions, expected, total) in [
            ("", 10, "", 0),
            ("0", 10, "0", 1),
            ("0,1", 10, "0,1", 2),
            ("0-1,2", 10, "0-2", 3),
            ("0,2-4,7", 10, "0,2-4,7", 5),
            ("0,2-9", 5, "0,2-4", 4),
            ("8,9", 5, "", 0),
            ("1,x,3-y,4", 10, "1,4", 2),
        ] {
            let read = Intervals::parse(text, completions);
            assert_eq!((read.to_string().as_str(), read.total()), (expected, total), "{text}");
        }
    }

    #[test]
    fn sets_are_joined_and_compared() {
        let set = |text: &str| Intervals::parse(text, 100);
        for (a, b, union, common) in [
            ("", "", "", 0),
            ("0-3", "2-5", "0-5", 2),
            ("0,5-9", "1,2,7", "0-2,5-9", 1),
            ("0-9", "3,5,7", "0-9", 3),
            ("1,3", "2", "1-3", 0),
        ] {
            assert_eq!(set(a).union(&set(b)).to_string(), union);
            assert_eq!(set(a).common(&set(b)), common);
            assert_eq!(set(b).common(&set(a)), common);
        }
        assert_eq!(set("1").with([4, 0, 2]).to_string(), "0-2,4");
        let some = set("2-4,8");
        assert!([2, 3, 4, 8].iter().all(|index| some.has(*index)));
        assert!(![0, 1, 5, 7, 9].iter().any(|index| some.has(*index)));
    }

    #[test]
    fn gaps_are_found_in_order() {
        for (taken, count, completions, expected) in [
            ("", 2, 5, vec![0, 1]),
            ("0,2-3", 9, 6, vec![1, 4, 5]),
            ("0-5", 3, 6, vec![]),
            ("1-9", 3, 5, vec![0]),
            ("", 0, 5, vec![]),
        ] {
            let taken = Intervals::parse(taken, 100);
            assert_eq!(taken.missing(count, completions), expected, "{taken}");
        }
    }
}

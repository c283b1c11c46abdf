//! Where the least is given up.

use super::Candidate;
use super::victims::started;

/// The best of several nodes, by upstream's order of what matters: fewest broken budgets, lowest
/// highest priority, lowest sum of priorities, fewest victims, and the shortest run of what is most
/// important among them. The first of those that are equal.
pub(super) fn best(candidates: Vec<Candidate>) -> Option<Candidate> {
    let useful = candidates.into_iter().filter(|candidate| !candidate.victims.is_empty());
    useful.min_by_key(|candidate| {
        let victims = &candidate.victims;
        let highest = victims.iter().map(|pod| pod.priority()).max();
        // Shifted, so that a few victims of negative priority are not worse than many.
        let shifted = |priority: i32| i64::from(priority) + i64::from(i32::MAX) + 1;
        let sum: i64 = victims.iter().map(|pod| shifted(pod.priority())).sum();
        let most_important = victims.iter().filter(|pod| Some(pod.priority()) == highest);
        let earliest = most_important
            .map(|pod| started(pod).map_or(i64::MAX, |time| time.0.as_second()))
            .min();
        (candidate.violations, highest, sum, victims.len(), std::cmp::Reverse(earliest))
    })
}

//! Seats that a priority level was asked for, over time.

use std::time::Instant;

/// Part of the former demand that one period leaves, so that half is left after five minutes
/// (upstream's number).
const SMOOTHING: f64 = 0.977;
/// Seconds of a period.
const PERIOD: f64 = 10.0;

/// Integrates a number of seats over time.
#[derive(Debug)]
pub(super) struct Demand {
    since: Instant,
    at: Instant,
    now: f64,
    sum: f64,
    sum_of_squares: f64,
    most: f64,
    smoothed: f64,
}

/// The demand of a period.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Observed {
    /// The most seats at once.
    pub(super) most: usize,
    /// A smoothed upper bound of the usual demand.
    pub(super) smoothed: f64,
}

impl Demand {
    pub(super) fn new(at: Instant) -> Self {
        Self { since: at, at, now: 0.0, sum: 0.0, sum_of_squares: 0.0, most: 0.0, smoothed: 0.0 }
    }

    /// From `at` on there is a demand for so many seats.
    pub(super) fn set(&mut self, at: Instant, seats: usize) {
        self.pass(at);
        self.now = seats as f64;
        self.most = self.most.max(self.now);
    }

    fn pass(&mut self, at: Instant) {
        let passed = at.saturating_duration_since(self.at).as_secs_f64();
        self.at = self.at.max(at);
        self.sum += self.now * passed;
        self.sum_of_squares += self.now * self.now * passed;
    }

    /// Ends a period, which may be as long as several.
    pub(super) fn observe(&mut self, at: Instant) -> Observed {
        self.pass(at);
        let passed = self.at.saturating_duration_since(self.since).as_secs_f64();
        if passed > 0.0 {
            let mean = self.sum / passed;
            let variance = self.sum_of_squares / passed - mean * mean;
            let envelope = mean + variance.max(0.0).sqrt();
            let left = SMOOTHING.powf((passed / PERIOD).max(1.0));
            self.smoothed = envelope.max(left * self.smoothed + (1.0 - left) * envelope);
        }
        let observed = Observed { most: self.most as usize, smoothed: self.smoothed };
        (self.since, self.sum, self.sum_of_squares) = (self.at, 0.0, 0.0);
        self.most = self.now;
        observed
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_demand_is_remembered_for_a_while() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let mut demand = Demand::new(begun);
        demand.set(at(0), 10);
        demand.set(at(5), 0);
        // A mean of 5 and a deviation of 5.
        assert_eq!(demand.observe(at(10)), Observed { most: 10, smoothed: 10.0 });
        let observed = demand.observe(at(20));
        assert_eq!((observed.most, (observed.smoothed * 100.0).round()), (0, 977.0));
        // Half is left five minutes later, in however many periods.
        let left = demand.observe(at(320)).smoothed;
        assert!((4.7..5.0).contains(&left), "{left}");
    }
}

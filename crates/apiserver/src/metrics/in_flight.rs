//! Number of concurrent requests.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use telemetry::metrics::{Desc, Kind, Registry, Samples};

/// Maximum number of concurrent requests in each second.
#[derive(Default)]
struct Peak {
    now: usize,
    /// The second that `peak` belongs to.
    second: u64,
    peak: usize,
    /// The peak of the previous second.
    last: usize,
}

impl Peak {
    fn turn(&mut self, second: u64) {
        if second != self.second {
            // A second without a begin or end has as many as at its start.
            self.last = if second == self.second + 1 { self.peak } else { self.now };
            self.second = second;
            self.peak = self.now;
        }
    }

    fn begin(&mut self, second: u64) {
        self.turn(second);
        self.now += 1;
        self.peak = self.peak.max(self.now);
    }

    fn end(&mut self, second: u64) {
        self.turn(second);
        self.now -= 1;
    }

    /// The maximum of the previous second and of this one so far.
    fn most(&mut self, second: u64) -> usize {
        self.turn(second);
        self.peak.max(self.last)
    }
}

/// Concurrent requests that are not long-running, of both kinds.
#[derive(Clone)]
pub(super) struct InFlight {
    lanes: Arc<[Mutex<Peak>; 2]>,
    since: Instant,
}

/// One of these requests.
pub(super) struct Place {
    all: InFlight,
    mutating: bool,
}

impl InFlight {
    pub(super) fn new(registry: &Registry) -> Self {
        let new = Self { lanes: Arc::default(), since: Instant::now() };
        let all = new.clone();
        registry.collect(
            Desc::stable(
                "apiserver_current_inflight_requests",
                "Maximal number of currently used inflight request limit of this apiserver per request kind in last second.",
            ),
            Kind::Gauge,
            ["request_kind"],
            move |samples: &mut Samples<1>| {
                let second = all.second();
                for (kind, lane) in ["readOnly", "mutating"].into_iter().zip(all.lanes.iter()) {
                    samples.add([kind], lane.lock().most(second) as f64);
                }
            },
        );
        new
    }

    fn second(&self) -> u64 {
        self.since.elapsed().as_secs()
    }

    fn lane(&self, mutating: bool) -> &Mutex<Peak> {
        &self.lanes[usize::from(mutating)]
    }

    pub(super) fn enter(&self, mutating: bool) -> Place {
        self.lane(mutating).lock().begin(self.second());
        Place { all: self.clone(), mutating }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.all.lane(self.mutating).lock().end(self.all.second());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_is_seen_for_a_second_after_it() {
        let mut peak = Peak::default();
        for _ in 0..3 {
            peak.begin(10);
        }
        for _ in 0..2 {
            peak.end(10);
        }
        assert_eq!(peak.most(10), 3);
        assert_eq!(peak.most(11), 3);
        assert_eq!(peak.most(12), 1);
        assert_eq!(peak.most(90), 1);
        peak.end(91);
        assert_eq!(peak.most(91), 1);
        assert_eq!(peak.most(93), 0);
    }
}

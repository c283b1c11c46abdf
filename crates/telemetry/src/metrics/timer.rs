//! How long something takes.

use std::time::Instant;

use super::Histogram;

/// Observes in a histogram the seconds from its making to its drop.
#[derive(Debug)]
pub struct Timer {
    histogram: Histogram,
    begun: Instant,
}

impl Timer {
    /// Begins now.
    pub fn start(histogram: Histogram) -> Self {
        Self { histogram, begun: Instant::now() }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.histogram.observe(self.begun.elapsed().as_secs_f64());
    }
}

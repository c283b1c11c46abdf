//! Order statistics.

use std::time::Duration;

/// The `percent`th percentile by nearest rank; zero of nothing.
pub(crate) fn percentile(samples: &[Duration], percent: usize) -> Duration {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

/// Milliseconds as a number.
pub(crate) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_samples() {
        let samples: Vec<_> = (1..=50).rev().map(Duration::from_millis).collect();
        assert_eq!(percentile(&samples, 50), Duration::from_millis(25));
        assert_eq!(percentile(&samples, 99), Duration::from_millis(50));
        assert_eq!(percentile(&samples, 100), Duration::from_millis(50));
        assert_eq!(percentile(&samples[..1], 50), Duration::from_millis(50));
        assert_eq!(percentile(&[], 50), Duration::ZERO);
    }
}

//! Bounds of histograms.

/// `count` bounds, the first `start`, each `factor` times the one before. Computed as upstream does,
/// so that the bounds are the same numbers to the last digit.
pub fn exponential(start: f64, factor: f64, count: usize) -> Vec<f64> {
    std::iter::successors(Some(start), |bound| Some(bound * factor)).take(count).collect()
}

/// `count` bounds, the first `start`, each `width` more than the one before.
pub fn linear(start: f64, width: f64, count: usize) -> Vec<f64> {
    std::iter::successors(Some(start), |bound| Some(bound + width)).take(count).collect()
}

/// The bounds of histograms that name none.
pub const DEFAULT: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

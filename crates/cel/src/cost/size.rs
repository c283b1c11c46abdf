//! The least and the most of a size or of a cost.

/// The least and the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Estimate {
    /// At least.
    pub min: u64,
    /// At most; `u64::MAX` where nothing bounds it.
    pub max: u64,
}

impl Estimate {
    pub(crate) const UNKNOWN: Estimate = Estimate { min: 0, max: u64::MAX };

    pub(crate) fn new(min: u64, max: u64) -> Estimate {
        Estimate { min, max }
    }

    pub(crate) fn fixed(value: u64) -> Estimate {
        Estimate { min: value, max: value }
    }

    pub(crate) fn plus(self, other: Estimate) -> Estimate {
        Estimate {
            min: self.min.saturating_add(other.min),
            max: self.max.saturating_add(other.max),
        }
    }

    pub(crate) fn times(self, other: Estimate) -> Estimate {
        Estimate {
            min: self.min.saturating_mul(other.min),
            max: self.max.saturating_mul(other.max),
        }
    }

    pub(crate) fn scaled(self, factor: f64) -> Estimate {
        Estimate { min: scale(self.min, factor), max: scale(self.max, factor) }
    }

    pub(crate) fn union(self, other: Estimate) -> Estimate {
        Estimate { min: self.min.min(other.min), max: self.max.max(other.max) }
    }
}

/// Rounded up. (A float that is too large becomes the largest integer.)
fn scale(value: u64, factor: f64) -> u64 {
    let value = value as f64;
    if value > 0.0 && factor > 0.0 && value > u64::MAX as f64 / factor {
        return u64::MAX;
    }
    (value * factor).ceil() as u64
}

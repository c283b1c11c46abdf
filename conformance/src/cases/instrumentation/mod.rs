//! Cases of sig-instrumentation.

mod events;
mod metrics;

use crate::case::Case;

pub(super) fn cases() -> Vec<Case> {
    [events::cases(), metrics::cases()].into_iter().flatten().collect()
}

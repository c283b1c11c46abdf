//! Cases of sig-scheduling.

mod limits;
mod placement;
mod preemption;

use crate::case::Case;

pub(super) fn cases() -> Vec<Case> {
    [limits::cases(), placement::cases(), preemption::cases()].into_iter().flatten().collect()
}

//! Cases of sig-instrumentation.

use crate::case::Case;

pub(super) fn cases() -> Vec<Case> {
    Vec::new()
}

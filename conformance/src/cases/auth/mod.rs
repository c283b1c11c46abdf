//! Cases of sig-auth.

use crate::case::Case;

pub(super) fn cases() -> Vec<Case> {
    Vec::new()
}

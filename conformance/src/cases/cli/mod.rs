//! Cases of sig-cli.

use crate::case::Case;

pub(super) fn cases() -> Vec<Case> {
    Vec::new()
}

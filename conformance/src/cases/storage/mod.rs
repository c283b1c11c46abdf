//! Cases of sig-storage.

mod downward;
mod empty_dir;
mod files;
mod immutable;
mod kinds;
mod published;
mod subpath;
mod updates;

use crate::case::Case;

pub(super) fn cases() -> Vec<Case> {
    [
        downward::cases(),
        empty_dir::cases(),
        files::cases(),
        immutable::cases(),
        kinds::cases(),
        published::cases(),
        subpath::cases(),
        updates::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

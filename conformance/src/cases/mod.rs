//! The cases: a folder for each special interest group, a file for each area.

mod api_machinery;
mod apps;
mod auth;
mod cli;
mod instrumentation;
mod lifecycle;
mod network;
mod node;
mod scheduling;
mod storage;

use crate::case::Case;

/// All cases.
pub(crate) fn all() -> Vec<Case> {
    [
        api_machinery::cases(),
        apps::cases(),
        auth::cases(),
        cli::cases(),
        instrumentation::cases(),
        network::cases(),
        node::cases(),
        scheduling::cases(),
        storage::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

//! Cases of sig-node.

mod commands;
mod environment;
mod ephemeral;
mod exec;
mod files;
mod hooks;
mod identity;
mod init;
mod kinds;
mod pods;
mod probes;
mod resize;
mod resize_tables;
mod runtime;
mod runtime_class;
mod taints;

use crate::case::Case;

pub(super) fn cases() -> Vec<Case> {
    [
        commands::cases(),
        ephemeral::cases(),
        environment::cases(),
        exec::cases(),
        files::cases(),
        hooks::cases(),
        identity::cases(),
        init::cases(),
        kinds::cases(),
        pods::cases(),
        probes::cases(),
        resize::cases(),
        resize_tables::cases(),
        runtime::cases(),
        runtime_class::cases(),
        taints::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The whole command line that does steps, for probes and hooks.
pub(in crate::cases) fn do_command(steps: &[&str]) -> serde_json::Value {
    serde_json::json!([crate::image::COMMAND, &["do"], steps].concat())
}

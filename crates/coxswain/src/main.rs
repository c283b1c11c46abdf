//! The one binary: a cluster in one command, and each component alone.

// First: the others use its macro.
#[macro_use]
mod say;

mod addons;
mod cli;
mod component;
mod control;
mod daemon;
mod demo;
mod dir;
mod kubeconfig;
mod logging;
mod machine;
mod node;
mod plan;
mod plane;
mod routes;
mod serving;
mod up;

use std::process::ExitCode;

fn main() -> ExitCode {
    // Before any thread: the binary is also its own container shim.
    runtime::maybe_run_shim();
    cli::run()
}

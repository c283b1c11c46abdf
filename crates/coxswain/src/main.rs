//! The one binary: a cluster in one command, and each component alone.

// First: the others use its macro.
#[macro_use]
mod say;

mod addons;
mod audit_args;
mod authentication;
mod authorization;
mod cli;
mod component;
mod control;
mod daemon;
mod demo;
mod dir;
mod encryption_args;
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

/// Objects are trees of many small pieces: glibc's allocator takes twice the time for them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Before any thread: the binary is also its own container shim.
    runtime::maybe_run_shim();
    cli::run()
}

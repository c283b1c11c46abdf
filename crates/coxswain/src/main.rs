//! The one binary: a cluster in one command, and each component alone.

mod cli;
mod dir;
mod up;

use std::process::ExitCode;

fn main() -> ExitCode {
    // Before any thread: the binary is also its own container shim.
    cli::run()
}

//! One file per benchmark.

pub(crate) mod api;
pub(crate) mod build;
pub(crate) mod extension;
pub(crate) mod list;
pub(crate) mod memory;
pub(crate) mod pods;
pub(crate) mod size;
pub(crate) mod store;
pub(crate) mod up;
pub(crate) mod watch;

/// Real containers need root; others measure with simulated ones.
fn best_runtime() -> &'static str {
    if nix::unistd::geteuid().is_root() { "embedded" } else { "simulated" }
}

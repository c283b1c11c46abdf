//! A cluster to test with: starts `coxswain up`, drives it with stock clients, takes it down.

mod cluster;
mod command;

pub use cluster::Cluster;
pub use command::{Outcome, run, tool};

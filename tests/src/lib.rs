//! A cluster to test with: starts `coxswain up`, drives it with stock clients, takes it down.

mod cluster;
mod command;
mod document;
mod image;
mod traces;

pub use cluster::{Cluster, free_port};
pub use command::{Outcome, run, tool};
pub use document::{Step, commands, steps};
pub use image::BUSYBOX;
pub use traces::{machine_name, traces};

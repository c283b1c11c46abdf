//! The scheduler: finds a node for every pod that has none.
//!
//! One task owns the queue and the cluster's picture and decides one pod at a time; what it decides
//! is assumed at once and written by tasks of their own, so that a slow API never blocks a decision.

mod affinity;
mod cache;
mod change;
mod cluster;
mod evictions;
mod framework;
mod nominations;
mod objects;
mod plugins;
mod pod;
mod preemption;
mod queue;
mod resources;
mod run;
mod storage;

pub use run::{Config, run};

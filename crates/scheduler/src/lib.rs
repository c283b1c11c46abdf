//! The scheduler: finds a node for every pod that has none.
//!
//! One task owns the queue and the cache and decides one pod at a time; what it decides is
//! assumed at once and written by tasks of their own, so that a slow API never blocks a decision.

mod cache;
mod framework;
mod plugins;
mod pod;
mod queue;
mod resources;
mod run;

pub use run::{Config, run};

//! Domain rules that more than one component applies: each is written here once.
//!
//! A rule reads typed objects and answers; it does no I/O and keeps no state.

pub mod container;
pub mod cron;
pub mod node_selector;
pub mod quota;
pub mod resources;
pub mod selector;
pub mod tolerations;

#[cfg(test)]
mod fuzz_tests;

//! How an operator sees what a process does: its log, its metrics and its tasks.

pub mod log;
pub mod metrics;
pub mod task;

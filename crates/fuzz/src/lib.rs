//! Random and mutated input for whatever reads bytes from outside: for tests only.
//!
//! A check must not panic, and must answer in bounded time and memory. Inputs that it takes are
//! mutated further. Without `FUZZ_SECONDS` a run has so few inputs that it takes a moment, the same
//! each time; with it, it takes that long and starts elsewhere each time, unless `FUZZ_SEED` says
//! where.

mod binary;
mod engine;
mod random;
mod tree;

pub use engine::{bytes, text, values};
pub use random::Random;

//! Random and mutated input for whatever reads bytes from outside: for tests only.
//!
//! A check must not panic, and must answer in bounded time and memory. Inputs that it takes are
//! mutated further. Without `FUZZ_SECONDS` a run takes about a second and is the same each time
//! as far as it goes; with it, it takes that long and starts elsewhere each time, unless
//! `FUZZ_SEED` says where.

mod binary;
mod engine;
mod random;
mod tree;

pub use engine::{bytes, text, values};
pub use random::Random;

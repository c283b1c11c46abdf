//! The bench crate.
fn main() {}

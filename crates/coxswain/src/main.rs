//! The coxswain crate.
fn main() {}

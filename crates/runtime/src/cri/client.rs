//! The calls, by what they are about.

mod container;
mod image;
pub(super) mod sandbox;
mod stream;

//! The model of a Kubernetes object: schema, encodings, selectors, patches, ownership and errors.
//!
//! Nothing here does I/O or knows of a cluster; every other crate of the project builds on it.

pub mod apply;
pub mod codec;
pub mod field;
pub mod jsonpath;
pub mod meta;
pub mod names;
pub mod object;
pub mod openapi;
pub mod patch;
pub mod quantity;
pub mod schema;
pub mod selector;
pub mod status;
pub mod structural;
pub mod text;
pub mod time;
pub mod validate;

pub use object::{Object, ObjectExt};
pub use status::Status;

#[cfg(test)]
mod fuzz_tests;

//! Encodings of objects: JSON, YAML and protobuf.

pub mod json;
pub mod protobuf;
mod tree;
pub mod yaml;

/// The path of a field that occurred more than once, for example `spec.replicas`.
pub type Duplicate = String;

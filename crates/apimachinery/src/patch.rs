//! The three kinds of patch that are not server-side apply.

mod json;
mod merge;
pub mod strategic;

pub use json::json_patch;
pub use merge::merge_patch;

//! The three kinds of patch that are not server-side apply, and what messages show of them.

mod json;
mod merge;
mod shown;
pub mod strategic;

pub use json::json_patch;
pub use merge::merge_patch;
pub use shown::{shown, shown_patched};

//! The three kinds of patch other than server-side apply, and their form in messages.

mod json;
mod merge;
mod shown;
pub mod strategic;

pub use json::{Undone, carry_out, json_patch};
pub use merge::merge_patch;
pub use shown::{shown, shown_patched};

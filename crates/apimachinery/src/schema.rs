//! The types of the API: one model for built-in kinds and custom ones.
//!
//! Validation, patches, server-side apply, protobuf and OpenAPI all use it.

mod custom;
mod facts;
mod layout;
mod model;
mod registry;
mod zeros;

pub(crate) use layout::{Layout, Slot};
pub use model::{Alternative, Field, Gvk, ListKind, ListShape, MapShape, Patch, Ref, Shape, Type};
pub use registry::Registry;
pub(crate) use zeros::is_time_by_value;
pub(crate) use zeros::is_told_from_none;
pub use zeros::{has_empty, leave_out_empty, write_missing, write_zeros};

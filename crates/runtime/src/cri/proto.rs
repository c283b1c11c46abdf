//! The messages of CRI v1 as far as they are used here, with the field numbers of
//! `k8s.io/cri-api/pkg/apis/runtime/v1/api.proto` (v0.35). Fields that are left out are unknown
//! fields to the decoder, which skips them.
//!
//! Enumerations are open in proto3; their numbers are read in `convert`.

mod container;
mod image;
mod runtime;
mod sandbox;
mod security;
mod stats;
mod stream;

pub(crate) use container::*;
pub(crate) use image::*;
pub(crate) use runtime::*;
pub(crate) use sandbox::*;
pub(crate) use security::*;
pub(crate) use stats::*;
pub(crate) use stream::*;

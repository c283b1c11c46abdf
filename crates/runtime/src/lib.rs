//! Pods as processes: sandboxes, containers and images behind the [`Runtime`] trait, in the
//! vocabulary of the Container Runtime Interface (CRI).
#![allow(unsafe_code)]

mod api;
mod error;

pub use api::*;
pub use error::{Error, Result};

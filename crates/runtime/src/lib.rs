//! Pods as processes: sandboxes, containers and images behind the [`Runtime`] trait, in the
//! vocabulary of the Container Runtime Interface (CRI).
#![allow(unsafe_code)]

mod api;
mod cgroup;
pub mod cri;
pub mod embedded;
mod error;
mod image;
pub mod private;
mod shim;
pub mod simulated;
pub mod spdy;
mod spec;
pub mod sysctl;
pub mod tree;

pub use api::*;
pub use error::{Error, PullError, Result};
pub use image::{
    Contents, ImageFile, ImageSpec, RegistryConfig, build_image_tar, full_image_name, repository_of,
};
pub use shim::maybe_run_shim;

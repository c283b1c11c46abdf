//! Between the kubelet's words and CRI's messages.

mod container;
mod image;
mod sandbox;
mod security;
mod signal;
mod stats;

use jiff::Timestamp;

pub(super) use container::{
    container_config, container_filter, container_state, container_status, linux_resources,
};
pub(super) use image::{image, image_config, image_spec, registry_auth};
pub(super) use sandbox::{sandbox_config, sandbox_filter, sandbox_state, sandbox_status};
pub(super) use stats::{container_stats, sandbox_stats};

/// Nanoseconds of Unix time; zero where it has not happened.
fn time(nanoseconds: i64) -> Option<Timestamp> {
    (nanoseconds > 0).then(|| Timestamp::from_nanosecond(nanoseconds.into()).ok()).flatten()
}

fn text(path: &std::path::Path) -> String {
    path.to_string_lossy().into_owned()
}

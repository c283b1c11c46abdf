//! Scratch space that lives as long as its pod.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use k8s_openapi::api::core::v1::EmptyDirVolumeSource;

use super::tmpfs;
use crate::quantity::value;

/// Makes the directory, in memory where that is asked for.
pub(super) fn prepare(path: &Path, source: &EmptyDirVolumeSource) -> Result<(), String> {
    let made = || -> std::io::Result<()> {
        if path.exists() && source.medium.as_deref() != Some("Memory") {
            return Ok(());
        }
        fs::create_dir_all(path)?;
        if source.medium.as_deref() == Some("Memory") {
            let limit = source.size_limit.as_ref().map(value).filter(|limit| *limit > 0);
            tmpfs::mount(path, limit)?;
        }
        fs::set_permissions(path, fs::Permissions::from_mode(0o777))
    };
    made().map_err(|error| error.to_string())
}

//! Scratch space that lives as long as its pod.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use k8s_openapi::api::core::v1::EmptyDirVolumeSource;

use super::tmpfs;
use crate::quantity::value;

/// Makes the directory, in memory where that is asked for. Says whether it is new, and so empty.
pub(super) fn prepare(path: &Path, source: &EmptyDirVolumeSource) -> io::Result<bool> {
    let in_memory = source.medium.as_deref() == Some("Memory");
    let mut new = !path.exists();
    fs::create_dir_all(path)?;
    if in_memory {
        let limit = source.size_limit.as_ref().map(value).filter(|limit| *limit > 0);
        new |= tmpfs::mount(path, limit)?;
    }
    if new {
        fs::set_permissions(path, fs::Permissions::from_mode(0o777))?;
    }
    Ok(new)
}

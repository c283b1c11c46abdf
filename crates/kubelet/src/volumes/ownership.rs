//! `fsGroup`: volumes that belong to a group of the pod.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::path::Path;

use k8s_openapi::api::core::v1::Pod;

use crate::pod::spec;

const DIR_BITS: u32 = 0o2770;
const FILE_BITS: u32 = 0o660;

/// Gives everything below `path` to the group, where there is one. With
/// `fsGroupChangePolicy: OnRootMismatch` only when the top does not look right.
pub(super) fn apply(path: &Path, group: Option<i64>, pod: &Pod) -> Result<(), String> {
    let Some(group) = group.and_then(|group| u32::try_from(group).ok()) else { return Ok(()) };
    let policy = spec(pod)
        .security_context
        .as_ref()
        .and_then(|context| context.fs_group_change_policy.as_deref());
    let result = || -> io::Result<()> {
        if policy == Some("OnRootMismatch") {
            let metadata = fs::metadata(path)?;
            if metadata.gid() == group && metadata.mode() & DIR_BITS == DIR_BITS {
                return Ok(());
            }
        }
        give(path, group)
    };
    result().map_err(|error| format!("applyFSGroup failed for vol {}: {error}", path.display()))
}

fn give(path: &Path, group: u32) -> io::Result<()> {
    let metadata = fs::symlink_metadata(path)?;
    if metadata.gid() != group {
        lchown(path, None, Some(group))?;
    }
    if metadata.is_symlink() {
        return Ok(());
    }
    let bits = if metadata.is_dir() { DIR_BITS } else { FILE_BITS };
    if metadata.mode() & bits != bits {
        let mode = (metadata.mode() & 0o7777) | bits;
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    }
    if metadata.is_dir() {
        for entry in fs::read_dir(path)? {
            give(&entry?.path(), group)?;
        }
    }
    Ok(())
}

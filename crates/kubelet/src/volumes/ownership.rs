//! `fsGroup`: volumes that belong to a group of the pod.
//!
//! Containers write to volumes, those of earlier pods and those of other nodes too. The walk opens
//! each name in the directory that it was found in, and changes what it has open: a link or a
//! mount is never followed, whatever is exchanged meanwhile.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Pod;
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::{FileStat, fstat};
use nix::unistd::{Gid, fchownat};
use runtime::tree::{Tree, names_in, path_of};

use crate::pod::spec;

const DIR_BITS: u32 = 0o2770;
const FILE_BITS: u32 = 0o660;
const TYPE: u32 = 0o170_000;
const LINK: u32 = 0o120_000;
const DIRECTORY: u32 = 0o040_000;
const ENOENT: i32 = nix::Error::ENOENT as i32;
const EXDEV: i32 = nix::Error::EXDEV as i32;
/// Nested directories that are followed; each holds a descriptor.
const MAX_DEPTH: usize = 512;

/// A volume cannot be given to its group.
#[derive(Debug, thiserror::Error)]
#[error("applyFSGroup failed for vol {}: {source}", path.display())]
pub(crate) struct Error {
    path: PathBuf,
    source: io::Error,
}

/// The group of the pod's volumes, where it has one.
pub(super) fn fs_group(pod: &Pod) -> Option<u32> {
    let context = spec(pod).security_context.as_ref()?;
    context.fs_group.and_then(|group| u32::try_from(group).ok())
}

/// Returns true if a volume is walked only when its top directory has the wrong owner or mode.
pub(super) fn on_root_mismatch(pod: &Pod) -> bool {
    let context = spec(pod).security_context.as_ref();
    let policy = context.and_then(|context| context.fs_group_change_policy.as_deref());
    policy == Some("OnRootMismatch")
}

/// Gives all that is below `path` to the group; with `on_root_mismatch` only when the top does not
/// look right.
pub(super) fn apply(path: &Path, group: u32, on_root_mismatch: bool) -> Result<(), Error> {
    let result = || -> io::Result<()> {
        let tree = Tree::open(path)?;
        let top = tree.open_same_mount(Path::new(""), OFlag::O_PATH)?;
        let found = fstat(&top)?;
        if on_root_mismatch && found.st_gid == group && found.st_mode & DIR_BITS == DIR_BITS {
            return Ok(());
        }
        walk(&tree, group)?;
        give(&top, &found, group)
    };
    result().map_err(|source| Error { path: path.to_owned(), source })
}

/// Those in a directory come before it, as upstream does: until the walk is done its top does
/// not look right.
fn walk(top: &Tree, group: u32) -> io::Result<()> {
    struct Level {
        tree: Tree,
        left: Vec<std::ffi::OsString>,
    }
    let open = |tree: Tree| -> io::Result<Level> {
        let left = names_in(&tree.open_same_mount(Path::new(""), OFlag::O_RDONLY)?)?;
        Ok(Level { tree, left })
    };
    let again = top.open_same_mount(Path::new(""), OFlag::O_PATH | OFlag::O_DIRECTORY)?;
    let mut stack = vec![open(again.into())?];
    while let Some(level) = stack.last_mut() {
        let Some(name) = level.left.pop() else {
            stack.pop();
            continue;
        };
        let node = match level.tree.open_same_mount(Path::new(&name), OFlag::O_PATH) {
            // Gone meanwhile, or another file system, which is not this volume.
            Err(error) if matches!(error.raw_os_error(), Some(ENOENT | EXDEV)) => {
                continue;
            }
            result => result?,
        };
        let found = fstat(&node)?;
        give(&node, &found, group)?;
        if found.st_mode & TYPE == DIRECTORY {
            if stack.len() == MAX_DEPTH {
                return Err(io::Error::other(format!("more than {MAX_DEPTH} nested directories")));
            }
            stack.push(open(node.into())?);
        }
    }
    Ok(())
}

fn give(node: &OwnedFd, found: &FileStat, group: u32) -> io::Result<()> {
    if found.st_gid != group {
        fchownat(node, "", None, Some(Gid::from_raw(group)), AtFlags::AT_EMPTY_PATH)?;
    }
    if found.st_mode & TYPE == LINK {
        return Ok(());
    }
    let bits = if found.st_mode & TYPE == DIRECTORY { DIR_BITS } else { FILE_BITS };
    // A change of owner takes set-id bits away, which were read before it.
    let mode = (found.st_mode & 0o7777) | bits;
    if found.st_mode & 0o7777 != mode || found.st_gid != group {
        fs::set_permissions(path_of(node), fs::Permissions::from_mode(mode))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, lchown, symlink};

    const GROUP: u32 = 4242;

    fn state(path: &Path) -> (u32, u32) {
        let found = fs::symlink_metadata(path).unwrap();
        (found.gid(), found.mode() & 0o7777)
    }

    #[test]
    fn the_walk_stays_in_the_volume() {
        assert!(nix::unistd::geteuid().is_root(), "this test needs root");
        let dir = tempfile::tempdir().unwrap();
        let (volume, host) = (dir.path().join("volume"), dir.path().join("host"));
        fs::create_dir_all(volume.join("sub")).unwrap();
        fs::create_dir(&host).unwrap();
        fs::write(host.join("file"), "").unwrap();
        fs::write(volume.join("sub/file"), "").unwrap();
        fs::set_permissions(volume.join("sub/file"), fs::Permissions::from_mode(0o4711)).unwrap();
        let before = (state(&host), state(&host.join("file")));
        symlink(&host, volume.join("dir")).unwrap();
        symlink(host.join("file"), volume.join("sub/link")).unwrap();
        let mounted = volume.join("mounted");
        fs::create_dir(&mounted).unwrap();
        let (none, bind) = (None::<&str>, nix::mount::MsFlags::MS_BIND);
        nix::mount::mount(Some(&host), &mounted, none, bind, none).unwrap();
        let result = apply(&volume, GROUP, false);
        nix::mount::umount(&mounted).unwrap();
        result.unwrap();
        assert_eq!(state(&volume), (GROUP, 0o2775));
        assert_eq!(state(&volume.join("sub/file")), (GROUP, 0o4771));
        assert_eq!(state(&volume.join("sub/link")).0, GROUP, "the link itself is the volume's");
        assert_eq!((state(&host), state(&host.join("file"))), before);
    }

    #[test]
    fn a_top_that_looks_right_is_enough_where_that_is_asked_for() {
        assert!(nix::unistd::geteuid().is_root(), "this test needs root");
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        lchown(dir.path(), None, Some(GROUP)).unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o2770)).unwrap();
        apply(dir.path(), GROUP, true).unwrap();
        assert_ne!(state(&file).0, GROUP);
        apply(dir.path(), GROUP, false).unwrap();
        assert_eq!(state(&file).0, GROUP);
    }
}

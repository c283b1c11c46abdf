//! Single paths within volumes, resolved so that no symbolic link leads out of the volume.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use nix::fcntl::OFlag;
use nix::mount::{MsFlags, mount};
use nix::sys::stat::{Mode, fstat, mkdirat};
use runtime::tree::{Links, Tree, path_of};

const TYPE: u32 = 0o170_000;
const DIRECTORY: u32 = 0o040_000;

/// Binds `inner` of `volume` to `place` and returns `place`. Where `inner` is absent it becomes a
/// directory. A volume of files that change by renaming is followed to its present content.
///
/// # Errors
/// `inner` leads out of the volume, or cannot be bound.
pub(crate) fn bind(volume: &Path, inner: &Path, place: &Path) -> io::Result<PathBuf> {
    if !inner.components().all(|part| matches!(part, Component::Normal(_))) {
        let message = format!("{} must be relative and without ..", inner.display());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    // The file stays open, so that nobody can exchange it before it is bound.
    let handle = find(volume, inner)?;
    let is_dir = fstat(&handle)?.st_mode & TYPE == DIRECTORY;
    super::tmpfs::unmount_below(place)?;
    if is_dir {
        fs::create_dir_all(place)?;
    } else {
        fs::create_dir_all(place.parent().unwrap_or(place))?;
        fs::write(place, b"")?;
    }
    let none = None::<&str>;
    mount(Some(&path_of(&handle)), place, none, MsFlags::MS_BIND | MsFlags::MS_REC, none)?;
    Ok(place.to_owned())
}

/// Opens a path of the volume, making it where there is none. Links are followed within.
fn find(volume: &Path, inner: &Path) -> io::Result<OwnedFd> {
    let tree = Tree::open(volume)?;
    match tree.open_at(inner, OFlag::O_PATH, Links::Inside) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => make(&tree, inner),
        Err(error) if error.raw_os_error() == Some(nix::Error::EXDEV as i32) => {
            let message = format!("{} leads out of its volume", inner.display());
            Err(io::Error::new(io::ErrorKind::PermissionDenied, message))
        }
        result => result,
    }
}

/// Makes the missing directories of a path, refusing symbolic links. They are as accessible as the
/// volume itself.
fn make(tree: &Tree, path: &Path) -> io::Result<OwnedFd> {
    let mode = fs::Permissions::from_mode(fstat(tree)?.st_mode & 0o7777);
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY;
    let mut at = tree.open_at(Path::new(""), flags, Links::Refuse)?;
    for part in path.components() {
        let made = match mkdirat(&at, part.as_os_str(), Mode::S_IRWXU) {
            Ok(()) => true,
            Err(nix::Error::EEXIST) => false,
            Err(error) => return Err(error.into()),
        };
        at = Tree::from(at).open_at(part.as_ref(), flags, Links::Refuse)?;
        if made {
            fs::set_permissions(path_of(&at), mode.clone())?;
        }
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_that_lead_out_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let volume = dir.path().join("volume");
        fs::create_dir_all(volume.join("real")).unwrap();
        std::os::unix::fs::symlink("/etc", volume.join("out")).unwrap();
        let place = dir.path().join("place");
        for inner in ["out", "out/ssl", "../x", "/etc"] {
            assert!(bind(&volume, Path::new(inner), &place).is_err(), "{inner}");
        }
        let tree = Tree::open(&volume).unwrap();
        assert!(make(&tree, Path::new("out/x")).is_err());
        std::os::unix::fs::symlink("real", volume.join("in")).unwrap();
        find(&volume, Path::new("in")).unwrap();
        fs::set_permissions(&volume, fs::Permissions::from_mode(0o2777)).unwrap();
        find(&volume, Path::new("real/new/deep")).unwrap();
        let made = fs::metadata(volume.join("real/new/deep")).unwrap();
        assert_eq!(made.permissions().mode() & 0o7777, 0o2777);
    }
}

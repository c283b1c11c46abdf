//! Single paths within volumes, resolved so that no symbolic link leads out of the volume.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use nix::fcntl::{OFlag, open, openat};
use nix::mount::{MsFlags, mount};
use nix::sys::stat::{Mode, mkdirat};

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
    let root = volume.canonicalize()?;
    let target = match root.join(inner).canonicalize() {
        Ok(target) if target.starts_with(&root) => target,
        Ok(_) => {
            let message = format!("{} leads out of its volume", inner.display());
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_dirs(&root, inner)?;
            root.join(inner)
        }
        Err(error) => return Err(error),
    };
    // What was checked is held open, so that nobody can exchange it before it is bound.
    let handle = open_inside(&root, target.strip_prefix(&root).unwrap_or(Path::new("")))?;
    let is_dir = fs::metadata(proc_path(&handle))?.is_dir();
    super::tmpfs::unmount_below(place)?;
    if is_dir {
        fs::create_dir_all(place)?;
    } else {
        fs::create_dir_all(place.parent().unwrap_or(place))?;
        fs::write(place, b"")?;
    }
    let none = None::<&str>;
    mount(Some(&proc_path(&handle)), place, none, MsFlags::MS_BIND | MsFlags::MS_REC, none)?;
    Ok(place.to_owned())
}

fn proc_path(handle: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", handle.as_raw_fd()))
}

/// Opens a path below `root` step by step, refusing symbolic links.
fn open_inside(root: &Path, path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
    let mut at = open(root, flags, Mode::empty())?;
    for part in path.components() {
        at = openat(&at, part.as_os_str(), flags, Mode::empty())?;
    }
    Ok(at)
}

/// Makes the missing directories of a path below `root`, refusing symbolic links.
fn make_dirs(root: &Path, path: &Path) -> io::Result<()> {
    let flags = OFlag::O_PATH | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW | OFlag::O_DIRECTORY;
    let mut at = open(root, flags, Mode::empty())?;
    for part in path.components() {
        match mkdirat(&at, part.as_os_str(), Mode::from_bits_truncate(0o750)) {
            Ok(()) | Err(nix::Error::EEXIST) => {}
            Err(error) => return Err(error.into()),
        }
        at = openat(&at, part.as_os_str(), flags, Mode::empty())?;
    }
    Ok(())
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
        assert!(make_dirs(&volume, Path::new("out/x")).is_err());
        make_dirs(&volume, Path::new("real/new/deep")).unwrap();
        assert!(volume.join("real/new/deep").is_dir());
        assert!(open_inside(&volume, Path::new("out")).is_ok(), "the link itself, not its target");
    }
}

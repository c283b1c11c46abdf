//! Device nodes in the container's `/dev`.

use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::fcntl::AtFlags;
use nix::sys::stat::{Mode, SFlag, mknodat};
use nix::unistd::{Gid, Uid, fchownat, symlinkat};

use super::mounts::{Kind, Root};
use super::sys::context;
use crate::spec::Spec;

const DEFAULT: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

const LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

/// Makes the standard nodes and links, the given devices, and for a privileged container every
/// device of the node.
pub(super) fn create(spec: &Spec, root: &Root) -> io::Result<()> {
    let dev = root.ensure(Path::new("/dev"), Kind::Directory)?;
    for (name, target) in LINKS {
        match symlinkat(target, &dev, name) {
            Ok(()) | Err(nix::Error::EEXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
    for name in DEFAULT {
        let path = Path::new("/dev").join(name);
        node(root, &path, &path)?;
    }
    if spec.process.privileged {
        let mut found = Vec::new();
        collect(Path::new("/dev"), &mut found)?;
        for path in found {
            node(root, &path, &path)?;
        }
    }
    for device in &spec.devices {
        let what = format!("device {}", device.host_path.display());
        context(what, node(root, &device.host_path, &device.container_path))?;
    }
    Ok(())
}

fn node(root: &Root, source: &Path, target: &Path) -> io::Result<()> {
    let metadata = std::fs::metadata(source)?;
    let kind = if metadata.file_type().is_char_device() {
        SFlag::S_IFCHR
    } else if metadata.file_type().is_block_device() {
        SFlag::S_IFBLK
    } else {
        return Err(io::Error::other(format!("{} is not a device node", source.display())));
    };
    let parent = target.parent().unwrap_or(Path::new("/dev"));
    let parent = root.ensure(parent, Kind::Directory)?;
    let name = target.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mode = Mode::from_bits_truncate(metadata.mode() & 0o777);
    let old = nix::sys::stat::umask(Mode::empty());
    let made = mknodat(&parent, name, kind, mode, metadata.rdev());
    nix::sys::stat::umask(old);
    match made {
        Ok(()) => {}
        Err(nix::Error::EEXIST) => return Ok(()),
        Err(error) => return Err(error.into()),
    }
    // Those that everybody may use are the container's own; the node's others stay the node's,
    // whose root the container's is not.
    if let Some((uid, gid)) = root.owner().filter(|_| metadata.mode() & 0o666 == 0o666) {
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        fchownat(&parent, name, Some(uid), Some(gid), AtFlags::AT_SYMLINK_NOFOLLOW)?;
    }
    Ok(())
}

fn collect(directory: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    const SKIPPED: [&str; 5] = ["pts", "shm", "mqueue", "fd", "console"];
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        if SKIPPED.iter().any(|name| entry.file_name() == *name) {
            continue;
        }
        let kind = entry.file_type()?;
        if kind.is_dir() {
            collect(&entry.path(), found)?;
        } else if kind.is_char_device() || kind.is_block_device() {
            found.push(entry.path());
        }
    }
    Ok(())
}

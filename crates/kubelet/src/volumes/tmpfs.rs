//! Mounting and unmounting on the node.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount as mount_fs, umount2};

/// Mounts a tmpfs, with a size limit in bytes, unless a file system is mounted there; says whether it
/// did. Without the right to mount (a simulated node) the directory stays as it is.
pub(crate) fn mount(path: &Path, size: Option<i64>) -> io::Result<bool> {
    if is_file_system(path)? {
        return Ok(false);
    }
    let options = size.map_or_else(String::new, |size| format!("size={size}"));
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    match mount_fs(Some("tmpfs"), path, Some("tmpfs"), flags, Some(options.as_str())) {
        Err(nix::Error::EPERM) => Ok(false),
        result => {
            result?;
            Ok(true)
        }
    }
}

/// Returns true if the directory is the root of another file system than its parent's. The table of
/// mounts would tell too, but it grows with the node's pods and is read for each volume.
fn is_file_system(path: &Path) -> io::Result<bool> {
    let parent = path.parent().unwrap_or(path);
    Ok(std::fs::symlink_metadata(path)?.dev() != std::fs::symlink_metadata(parent)?.dev())
}

/// Unmounts everything at and below `root`, innermost first.
pub(crate) fn unmount_below(root: &Path) -> io::Result<()> {
    let mut below: Vec<_> =
        mounts()?.into_iter().filter(|mounted| mounted.starts_with(root)).collect();
    below.reverse();
    for mounted in below {
        match umount2(&mounted, MntFlags::UMOUNT_NOFOLLOW) {
            Ok(()) | Err(nix::Error::EINVAL | nix::Error::ENOENT | nix::Error::EPERM) => {}
            Err(nix::Error::EBUSY) => umount2(&mounted, MntFlags::MNT_DETACH)?,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Mount points in the order they were mounted.
fn mounts() -> io::Result<Vec<PathBuf>> {
    let text = std::fs::read_to_string("/proc/self/mountinfo")?;
    Ok(text.lines().filter_map(|line| line.split(' ').nth(4)).map(unescape).collect())
}

/// The kernel writes blanks and backslashes in paths as octal escapes.
fn unescape(field: &str) -> PathBuf {
    let mut out = Vec::new();
    let bytes = field.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let escape = bytes.get(at + 1..at + 4).filter(|_| bytes[at] == b'\\');
        let code = escape
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code {
            Some(code) => {
                out.push(code);
                at += 4;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    PathBuf::from(<std::ffi::OsString as std::os::unix::ffi::OsStringExt>::from_vec(out))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes() {
        assert_eq!(unescape(r"/a\040b\134c"), Path::new(r"/a b\c"));
        assert_eq!(unescape(r"/a\9"), Path::new(r"/a\9"));
    }
}

//! State that dies with the machine is kept in memory: pinned namespaces, files of sandboxes,
//! addresses. Making and removing it costs the disk nothing, and a machine that comes up again finds
//! none of it, which tells that it is no more.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::private;
use crate::spec::VOLATILE;

/// The directory in memory, in a runtime's data directory.
pub(super) fn directory(data: &Path) -> PathBuf {
    data.join(VOLATILE)
}

/// Mounts it, unless it is there from an earlier process, and makes these directories in it.
pub(super) fn prepare(data: &Path, names: &[&str]) -> io::Result<()> {
    let path = directory(data);
    private::directory(&path)?;
    if path.metadata()?.dev() == data.metadata()?.dev() {
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        mount(Some("tmpfs"), &path, Some("tmpfs"), flags, Some("mode=700"))?;
    }
    names.iter().try_for_each(|name| private::directory(&path.join(name)))
}

/// Unmounts it, with all that is in it.
pub(super) fn release(data: &Path) -> io::Result<()> {
    match umount2(&directory(data), MntFlags::MNT_DETACH) {
        Ok(()) | Err(nix::Error::EINVAL | nix::Error::ENOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

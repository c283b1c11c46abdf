//! Network namespaces: made, pinned to a path, entered.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};

use crate::{Error, Result};

/// Moves the calling thread, and every thread it starts from then on, into a namespace.
///
/// # Errors
/// The namespace cannot be entered.
pub fn enter(path: &Path) -> Result<()> {
    let file = File::open(path).map_err(Error::io(format!("open {}", path.display())))?;
    setns(file.as_fd(), CloneFlags::CLONE_NEWNET)
        .map_err(|error| Error::io(format!("enter {}", path.display()))(error.into()))
}

/// Runs `work` on a thread of its own inside the namespace `netns`; `None` means the caller's.
///
/// # Errors
/// The namespace cannot be entered, and what `work` says.
pub fn run_in<T: Send>(netns: Option<&Path>, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let Some(path) = netns else { return work() };
    std::thread::scope(|scope| {
        scope
            .spawn(|| {
                enter(path)?;
                work()
            })
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Makes a network namespace and pins it to `path`, which becomes a bind mount.
///
/// # Errors
/// Without privilege, or where `path` cannot be made.
pub fn create(path: &Path) -> Result<()> {
    std::thread::scope(|scope| {
        scope
            .spawn(|| {
                unshare(CloneFlags::CLONE_NEWNET)
                    .map_err(|error| Error::io("unshare network namespace")(error.into()))?;
                pin("net", path)
            })
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Bind mounts the calling thread's namespace of this kind (`net`, `ipc`, `uts`) to `path`.
///
/// # Errors
/// Without privilege, or where `path` cannot be made.
pub fn pin(kind: &str, path: &Path) -> Result<()> {
    File::create(path).map_err(Error::io(format!("create {}", path.display())))?;
    let source = format!("/proc/thread-self/ns/{kind}");
    mount(Some(source.as_str()), path, None::<&str>, MsFlags::MS_BIND, None::<&str>)
        .map_err(|error| Error::io(format!("pin {}", path.display()))(error.into()))
}

/// Returns true if `path` is a pinned namespace.
#[must_use]
pub fn is_pinned(path: &Path) -> bool {
    nix::sys::statfs::statfs(path)
        .is_ok_and(|fs| fs.filesystem_type() == nix::sys::statfs::NSFS_MAGIC)
}

/// Takes a pin away; a namespace that nothing else holds then ends. Idempotent.
///
/// # Errors
/// Where the mount or the file cannot be removed.
pub fn unpin(path: &Path) -> Result<()> {
    let context = || format!("unpin {}", path.display());
    match umount2(path, MntFlags::MNT_DETACH) {
        Ok(()) | Err(nix::Error::EINVAL | nix::Error::ENOENT) => {}
        Err(error) => return Err(Error::io(context())(error.into())),
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io(context())(error)),
        _ => Ok(()),
    }
}

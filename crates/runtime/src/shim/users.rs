//! User namespaces: made, entered, and file systems mapped into them.
//!
//! A container with a user namespace is set up by the node's root, in namespaces of the node: its
//! mounts exist before anything of it runs. Then it enters the user namespace, and gets a mount
//! namespace that belongs to that one, in which the mounts so far are locked.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use nix::sched::{CloneFlags, unshare};
use serde::{Deserialize, Serialize};

use super::{control, mounts, sys};
use crate::spec::{ProcessId, Users};

/// Which namespaces are made along with the user namespace, and so belong to it.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Wanted {
    /// Network and host name.
    pub(crate) network: bool,
    pub(crate) ipc: bool,
}

/// The helper that holds new namespaces until they are mapped and pinned: a process with threads
/// cannot make a user namespace. Standard input is the control socket: it brings [`Wanted`], gets
/// the helper's identity, and its end is the helper's.
pub(super) fn main() -> i32 {
    match hold() {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("namespaces: {error}");
            1
        }
    }
}

fn hold() -> io::Result<()> {
    let socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    sys::close_on_exec_all();
    sys::close_standard_streams()?;
    let (wanted, _) = control::receive::<Wanted>(&socket)?.ok_or(io::ErrorKind::UnexpectedEof)?;
    let mut flags = CloneFlags::CLONE_NEWUSER;
    if wanted.network {
        flags |= CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWUTS;
    }
    if wanted.ipc {
        flags |= CloneFlags::CLONE_NEWIPC;
    }
    unshare(flags)?;
    let id: ProcessId = sys::identify(std::process::id() as i32)?;
    control::send(&socket, &id, &[])?;
    // Whoever asked has mapped and pinned them when this ends.
    control::receive::<()>(&socket).map(drop)
}

/// The user namespace of a container while it is set up.
pub(super) struct Entry {
    namespace: File,
    pub(super) root: (u32, u32),
}

impl Entry {
    pub(super) fn open(users: &Users) -> io::Result<Self> {
        let namespace = sys::context(users.path.display(), File::open(&users.path))?;
        Ok(Self { namespace, root: (users.root_uid, users.root_gid) })
    }

    /// Maps a detached mount: who is root in it is root of the namespace.
    pub(super) fn map(&self, mount: BorrowedFd<'_>) -> io::Result<()> {
        map(mount, self.namespace.as_fd())
    }

    /// Gives a pipe to the namespace's root, who can give it to whoever the program runs as.
    pub(super) fn own(&self, stream: &OwnedFd) {
        // Anything else belongs to the node: without input a program reads the node's /dev/null.
        let is_pipe = nix::sys::stat::fstat(stream)
            .is_ok_and(|found| found.st_mode & libc::S_IFMT == libc::S_IFIFO);
        if !is_pipe {
            return;
        }
        let (uid, gid) = self.root;
        // SAFETY: plain descriptor and numbers. A pipe that cannot be given is still open.
        unsafe { libc::fchown(stream.as_raw_fd(), uid, gid) };
    }

    /// Becomes root of the namespace, in a mount namespace that belongs to it.
    pub(super) fn enter(&self) -> io::Result<()> {
        sys::context(
            "enter user namespace",
            sys::setns(self.namespace.as_fd(), libc::CLONE_NEWUSER),
        )?;
        become_root()?;
        Ok(unshare(CloneFlags::CLONE_NEWNS)?)
    }
}

/// Takes the identity of root in a user namespace that was just entered.
pub(super) fn become_root() -> io::Result<()> {
    // SAFETY: plain numbers; this process has one thread.
    unsafe {
        sys::check(libc::setgroups(0, std::ptr::null()).into())?;
        sys::check(libc::setresgid(0, 0, 0).into())?;
        sys::check(libc::setresuid(0, 0, 0).into())?;
    }
    Ok(())
}

/// Maps a detached mount into a user namespace.
fn map(mount: BorrowedFd<'_>, namespace: BorrowedFd<'_>) -> io::Result<()> {
    match mounts::set_mapping(mount, namespace) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "its file system cannot be mapped into a user namespace",
        )),
        result => result,
    }
}

/// Succeeds if the file system at `path`, and tmpfs, can be mapped into the namespace.
pub(crate) fn can_map(path: &std::path::Path, namespace: &File) -> io::Result<()> {
    map(mounts::clone_tree(path, false)?.as_fd(), namespace.as_fd())?;
    map(mounts::new_filesystem("tmpfs", &[], 0)?.as_fd(), namespace.as_fd())
}

//! Mounting by descriptor (the API of Linux 5.12): a mount gets all its attributes before anybody
//! sees it, and its target cannot be swapped for a symbolic link meanwhile.

use std::ffi::{CStr, OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::path::{Component, Path, PathBuf};

use nix::fcntl::{AtFlags, OFlag, openat, readlinkat};
use nix::sys::stat::{Mode, SFlag, fstat, mkdirat};
use nix::unistd::{Gid, Uid, fchownat, setfsgid, setfsuid};

use super::sys::{c_string, check, context};

pub(super) const READONLY: u64 = 0x1;
pub(super) const NOSUID: u64 = 0x2;
pub(super) const NODEV: u64 = 0x4;
pub(super) const NOEXEC: u64 = 0x8;
pub(super) const STRICTATIME: u64 = 0x20;

const OPEN_TREE_CLONE: u32 = 1;
const OPEN_TREE_CLOEXEC: u32 = libc::O_CLOEXEC as u32;
const MOVE_MOUNT_F_EMPTY_PATH: u32 = 0x04;
const MOVE_MOUNT_T_EMPTY_PATH: u32 = 0x40;
const FSCONFIG_SET_FLAG: u32 = 0;
const FSCONFIG_SET_STRING: u32 = 1;
const FSCONFIG_CMD_CREATE: u32 = 6;
/// Symbolic links followed in one path before it counts as a loop.
const MAX_LINKS: u32 = 40;
const EMPTY: &CStr = c"";

fn owned(raw: libc::c_long) -> OwnedFd {
    // SAFETY: called with descriptors the kernel has just made for us.
    unsafe { OwnedFd::from_raw_fd(raw as RawFd) }
}

/// A detached copy of the mount at `path`, with the mounts below it where `recursive`.
pub(super) fn clone_tree(path: &Path, recursive: bool) -> io::Result<OwnedFd> {
    let name = c_string(path.as_os_str().as_encoded_bytes())?;
    let recursive = if recursive { libc::AT_RECURSIVE as u32 } else { 0 };
    let flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | recursive;
    // SAFETY: the path lives through the call, which makes a descriptor.
    check(unsafe { libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, name.as_ptr(), flags) })
        .map(owned)
}

/// A detached copy of the mount that a descriptor is open on.
pub(super) fn clone_of(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | libc::AT_EMPTY_PATH as u32;
    // SAFETY: plain descriptor and flags; makes a descriptor.
    check(unsafe { libc::syscall(libc::SYS_open_tree, fd.as_raw_fd(), EMPTY.as_ptr(), flags) })
        .map(owned)
}

/// Adds attributes to a mount, and sets its propagation where that is not zero.
pub(super) fn set_attributes(
    mount: BorrowedFd<'_>,
    attributes: u64,
    propagation: u64,
    recursive: bool,
) -> io::Result<()> {
    let data = [attributes, 0, propagation, 0];
    let recursive = if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: `data` is a struct mount_attr of 32 bytes that lives through the call.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            EMPTY.as_ptr(),
            libc::AT_EMPTY_PATH | recursive,
            data.as_ptr(),
            size_of_val(&data),
        )
    })
    .map(drop)
}

/// Maps the ids of a detached mount by those of a user namespace.
pub(super) fn set_mapping(mount: BorrowedFd<'_>, namespace: BorrowedFd<'_>) -> io::Result<()> {
    const MOUNT_ATTR_IDMAP: u64 = 0x10_0000;
    let data = [MOUNT_ATTR_IDMAP, 0, 0, namespace.as_raw_fd() as u64];
    // SAFETY: `data` is a struct mount_attr of 32 bytes that lives through the call.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            EMPTY.as_ptr(),
            libc::AT_EMPTY_PATH,
            data.as_ptr(),
            size_of_val(&data),
        )
    })
    .map(drop)
}

/// Puts a detached mount onto `target`.
pub(super) fn attach(mount: BorrowedFd<'_>, target: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: plain descriptors and flags.
    check(unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            mount.as_raw_fd(),
            EMPTY.as_ptr(),
            target.as_raw_fd(),
            EMPTY.as_ptr(),
            MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH,
        )
    })
    .map(drop)
}

/// A new, detached file system with options; an empty value makes a flag of an option.
pub(super) fn new_filesystem(
    kind: &str,
    options: &[(&str, &str)],
    attributes: u64,
) -> io::Result<OwnedFd> {
    let name = c_string(kind)?;
    // SAFETY: the name lives through the call, which makes a descriptor.
    let fs = check(unsafe { libc::syscall(libc::SYS_fsopen, name.as_ptr(), 1) }).map(owned)?;
    for (key, value) in options {
        configure(&fs, key, value)?;
    }
    // SAFETY: plain descriptor and command.
    check(unsafe {
        libc::syscall(libc::SYS_fsconfig, fs.as_raw_fd(), FSCONFIG_CMD_CREATE, 0usize, 0usize, 0)
    })?;
    // SAFETY: as above; makes a descriptor.
    check(unsafe { libc::syscall(libc::SYS_fsmount, fs.as_raw_fd(), 1, attributes) }).map(owned)
}

fn configure(fs: &OwnedFd, key: &str, value: &str) -> io::Result<()> {
    let (name, text) = (c_string(key)?, c_string(value)?);
    let (command, pointer) = if value.is_empty() {
        (FSCONFIG_SET_FLAG, std::ptr::null())
    } else {
        (FSCONFIG_SET_STRING, text.as_ptr())
    };
    // SAFETY: both strings live through the call.
    let result = check(unsafe {
        libc::syscall(libc::SYS_fsconfig, fs.as_raw_fd(), command, name.as_ptr(), pointer, 0)
    });
    context(format_args!("option {key}={value}"), result).map(drop)
}

/// The kind of file that a missing mount target is created as.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Directory,
    File,
}

/// A directory tree within which every path is resolved, symbolic links included.
pub(super) struct Root {
    top: OwnedFd,
    /// The owner of files that are created; `None` is the caller.
    owner: Option<(u32, u32)>,
}

impl Root {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Ok(Self { top: nix::fcntl::open(path, flags, Mode::empty())?, owner: None })
    }

    /// Sets the owner of everything that is created from now on.
    pub(super) fn owned_by(self, owner: Option<(u32, u32)>) -> Self {
        Self { owner, ..self }
    }

    pub(super) fn owner(&self) -> Option<(u32, u32)> {
        self.owner
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.top.as_fd()
    }

    /// Opens a path, making it and its parents where absent.
    ///
    /// Goes one name at a time and follows symbolic links itself, dangling ones too, so that
    /// nothing can lead outside the tree.
    pub(super) fn ensure(&self, path: &Path, kind: Kind) -> io::Result<OwnedFd> {
        let mut todo = names(path);
        let mut stack = vec![self.top.try_clone()?];
        let mut links = 0;
        while let Some(name) = todo.pop() {
            if name == ".." {
                // The parent of the root is the root.
                if stack.len() > 1 {
                    stack.pop();
                }
                continue;
            }
            let parent = &stack[stack.len() - 1];
            let wanted = if todo.is_empty() { kind } else { Kind::Directory };
            let found = self.open_or_make(parent, &name, wanted)?;
            if SFlag::from_bits_truncate(fstat(&found)?.st_mode & libc::S_IFMT) == SFlag::S_IFLNK {
                links += 1;
                if links > MAX_LINKS {
                    return Err(io::Error::from_raw_os_error(libc::ELOOP));
                }
                let link = PathBuf::from(readlinkat(parent, &*name)?);
                if link.is_absolute() {
                    stack.truncate(1);
                }
                todo.extend(names(&link));
            } else {
                stack.push(found);
            }
        }
        stack.pop().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn open_or_make(&self, parent: &OwnedFd, name: &OsStr, kind: Kind) -> io::Result<OwnedFd> {
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        match openat(parent, name, flags, Mode::empty()) {
            Err(nix::Error::ENOENT) => {}
            result => return Ok(result?),
        }
        match self.owner {
            None => make(parent, name, kind)?,
            Some((uid, gid)) => {
                // In a mapped mount only who has an id there can make something.
                let made = as_user(uid, gid, || make(parent, name, kind));
                match made {
                    Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                        make(parent, name, kind)?;
                        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
                        let flags = AtFlags::AT_SYMLINK_NOFOLLOW;
                        fchownat(parent, name, Some(uid), Some(gid), flags)?;
                    }
                    result => result?,
                }
            }
        }
        Ok(openat(parent, name, flags, Mode::empty())?)
    }

    /// Mounts a detached mount at a path of this tree.
    pub(super) fn mount(&self, mount: &OwnedFd, path: &Path, kind: Kind) -> io::Result<()> {
        attach(mount.as_fd(), self.ensure(path, kind)?.as_fd())
    }
}

/// The names of a path, the last one first.
fn names(path: &Path) -> Vec<OsString> {
    path.components()
        .rev()
        .filter_map(|part| match part {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            _ => None,
        })
        .collect()
}

fn make(parent: &OwnedFd, name: &OsStr, kind: Kind) -> io::Result<()> {
    let made = if kind == Kind::File {
        let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
        openat(parent, name, flags, Mode::from_bits_truncate(0o644)).map(drop)
    } else {
        mkdirat(parent, name, Mode::from_bits_truncate(0o755))
    };
    Ok(made?)
}

/// Does something on files as another user; this process has one thread.
fn as_user<T>(uid: u32, gid: u32, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let old_gid = setfsgid(Gid::from_raw(gid));
    let old_uid = setfsuid(Uid::from_raw(uid));
    let result = work();
    setfsuid(old_uid);
    setfsgid(old_gid);
    result
}

/// The kind of target that a bind mount of this path needs.
pub(super) fn kind_of(path: &Path) -> io::Result<Kind> {
    Ok(if std::fs::metadata(path)?.is_dir() { Kind::Directory } else { Kind::File })
}

/// A descriptor of a file that cannot be reopened for writing through it.
pub(crate) fn read_only_copy(path: &Path) -> io::Result<OwnedFd> {
    let tree = clone_tree(path, false)?;
    set_attributes(tree.as_fd(), READONLY, 0, false)?;
    Ok(tree)
}

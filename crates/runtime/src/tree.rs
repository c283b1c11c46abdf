//! A directory tree that no path leads out of, for paths that a pod or an image chose.

mod remove;

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::{FileStat, Mode, fstat};

pub use remove::{names_in, remove_all};

/// How often a lookup that raced with a rename is begun again.
const RACES: u32 = 128;

/// A directory tree. Every method takes paths relative to its top.
#[derive(Debug)]
pub struct Tree(OwnedFd);

/// How a lookup treats symbolic links.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// No name of the path may be one, except the last, which is then opened itself.
    Refuse,
    /// They are followed, and the lookup fails where one leads out.
    Inside,
    /// They are followed as a process would whose root this tree is.
    Root,
}

impl Tree {
    /// Opens the directory at `path`, which must be trusted.
    ///
    /// # Errors
    /// It is no directory, or cannot be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Ok(Self(nix::fcntl::open(path, flags, Mode::empty())?))
    }

    /// Opens a path of the tree. Links of `/proc` that lead anywhere are never followed, nor is a
    /// terminal or a FIFO waited for.
    ///
    /// # Errors
    /// `EXDEV` where the path leads out of the tree, `ELOOP` at a link that is refused.
    pub fn open_at(&self, path: &Path, flags: OFlag, links: Links) -> io::Result<OwnedFd> {
        self.look_up(path, flags, links, Mode::empty(), ResolveFlag::empty())
    }

    /// As [`Self::open_at`], refusing links and whatever is mounted in the tree.
    ///
    /// # Errors
    /// `EXDEV` at a mount point.
    pub fn open_same_mount(&self, path: &Path, flags: OFlag) -> io::Result<OwnedFd> {
        let resolve = ResolveFlag::RESOLVE_NO_XDEV;
        self.look_up(path, flags, Links::Refuse, Mode::empty(), resolve)
    }

    /// Opens a regular file to read it.
    ///
    /// # Errors
    /// The path leads out, or is anything else, such as a FIFO or a device.
    pub fn open_file(&self, path: &Path, links: Links) -> io::Result<File> {
        let file = File::from(self.open_at(path, OFlag::O_RDONLY | OFlag::O_NONBLOCK, links)?);
        if file.metadata()?.is_file() {
            return Ok(file);
        }
        let message = format!("{} is not a regular file", path.display());
        Err(io::Error::new(io::ErrorKind::InvalidInput, message))
    }

    /// Makes a new file.
    ///
    /// # Errors
    /// Something is there already, or the path has a link in it.
    pub fn create(&self, path: &Path) -> io::Result<File> {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL;
        let mode = Mode::S_IRUSR | Mode::S_IWUSR;
        self.look_up(path, flags, Links::Refuse, mode, ResolveFlag::empty()).map(File::from)
    }

    /// The directory that a path without links is in, and its last name.
    ///
    /// # Errors
    /// The directory cannot be opened, or the path has no last name.
    pub fn parent<'a>(&self, path: &'a Path) -> io::Result<(OwnedFd, &'a OsStr)> {
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY;
        let parent = path.parent().unwrap_or(Path::new(""));
        Ok((self.open_at(parent, flags, Links::Refuse)?, name))
    }

    /// Stats the file at a path without links; `None` if there is none.
    ///
    /// # Errors
    /// It cannot be looked at.
    pub fn stat(&self, path: &Path) -> io::Result<Option<FileStat>> {
        match self.open_at(path, OFlag::O_PATH | OFlag::O_NOFOLLOW, Links::Refuse) {
            Ok(found) => Ok(Some(fstat(&found)?)),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn look_up(
        &self,
        path: &Path,
        flags: OFlag,
        links: Links,
        mode: Mode,
        resolve: ResolveFlag,
    ) -> io::Result<OwnedFd> {
        let resolve = resolve
            | ResolveFlag::RESOLVE_NO_MAGICLINKS
            | match links {
                Links::Refuse => ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS,
                Links::Inside => ResolveFlag::RESOLVE_BENEATH,
                Links::Root => ResolveFlag::RESOLVE_IN_ROOT,
            };
        let nofollow = if links == Links::Refuse { OFlag::O_NOFOLLOW } else { OFlag::empty() };
        let flags = flags | nofollow | OFlag::O_CLOEXEC | OFlag::O_NOCTTY;
        // O_PATH takes hardly any other flag.
        let flags = if flags.contains(OFlag::O_PATH) {
            flags & (OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC)
        } else {
            flags
        };
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let how = OpenHow::new().flags(flags).mode(mode).resolve(resolve);
        for _ in 0..RACES {
            match openat2(&self.0, path, how) {
                // A concurrent rename keeps the kernel from deciding.
                Err(nix::Error::EAGAIN) => {}
                result => return Ok(result?),
            }
        }
        Err(nix::Error::EAGAIN.into())
    }
}

impl AsFd for Tree {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<OwnedFd> for Tree {
    fn from(directory: OwnedFd) -> Self {
        Self(directory)
    }
}

/// Opens a regular file of a trusted directory.
///
/// # Errors
/// The last name is a link, or anything else, such as a FIFO that would be waited for.
pub fn open_regular(path: &Path) -> io::Result<File> {
    let directory = Tree::open(path.parent().unwrap_or(Path::new("/")))?;
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    directory.open_file(Path::new(name), Links::Refuse)
}

/// A path to what a descriptor is open on, for calls that take no descriptor. The kernel goes
/// straight there: nothing can be put in its place meanwhile.
#[must_use]
pub fn path_of(fd: &impl AsRawFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}

/// Returns true if the error says that there is no file at a path.
#[must_use]
pub fn is_absent(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR | libc::ELOOP))
}

/// A path as its plain names and `..`, which is how a process sees it from its root.
pub(crate) fn names(path: &Path) -> impl DoubleEndedIterator<Item = &OsStr> {
    path.components().filter_map(|part| match part {
        Component::Normal(_) | Component::ParentDir => Some(part.as_os_str()),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn no_path_leads_out() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().join("top");
        std::fs::create_dir_all(top.join("sub")).unwrap();
        std::fs::create_dir(top.join("etc")).unwrap();
        std::fs::write(top.join("etc/passwd"), "inside").unwrap();
        std::fs::write(dir.path().join("secret"), "outside").unwrap();
        symlink("/etc/passwd", top.join("absolute")).unwrap();
        symlink("../../secret", top.join("sub/relative")).unwrap();
        symlink("/etc", top.join("door")).unwrap();
        symlink(dir.path().join("secret"), top.join("sub/named")).unwrap();
        let tree = Tree::open(&top).unwrap();
        let read = |path: &str, links| -> io::Result<String> {
            let mut text = String::new();
            io::Read::read_to_string(&mut tree.open_file(Path::new(path), links)?, &mut text)?;
            Ok(text)
        };
        for path in ["absolute", "door/passwd", "sub/relative", "sub/named", "../secret"] {
            assert!(read(path, Links::Refuse).is_err(), "{path}");
            assert!(read(path, Links::Inside).is_err(), "{path}");
        }
        assert_eq!(read("absolute", Links::Root).unwrap(), "inside");
        assert_eq!(read("door/passwd", Links::Root).unwrap(), "inside");
        assert!(read("sub/relative", Links::Root).is_err(), "there is no such file inside");
        assert!(tree.create(Path::new("door/new")).is_err());
        assert!(tree.stat(Path::new("absolute")).unwrap().is_some(), "the link itself");
        assert!(tree.stat(Path::new("door/passwd")).unwrap().is_none());
    }

    #[test]
    fn only_regular_files_are_read() {
        let dir = tempfile::tempdir().unwrap();
        nix::unistd::mkfifo(&dir.path().join("fifo"), Mode::S_IRWXU).unwrap();
        let tree = Tree::open(dir.path()).unwrap();
        // Opening a FIFO would block until there is a writer.
        assert!(tree.open_file(Path::new("fifo"), Links::Refuse).is_err());
        assert!(tree.open_file(Path::new(""), Links::Refuse).is_err());
    }
}

//! Removing directories whose depth others chose.
//!
//! The standard library recurses, and holds a descriptor for each level: twenty thousand nested
//! directories, which any container can make, overflow its stack and end the process.

use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use nix::dir::Dir;
use nix::fcntl::{OFlag, openat, renameat};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, unlinkat};

/// Levels below which a directory is moved to the top before it is emptied.
const LEVELS: usize = 32;
/// Names read of a directory at a time.
const BATCH: usize = 4096;

struct Level {
    directory: OwnedFd,
    /// Its name in the level above.
    name: CString,
    left: Vec<CString>,
}

/// Removes what is at a path, and all below it; a link goes itself. Nothing there is fine.
///
/// # Errors
/// Something cannot be removed: it is mounted on, or the file system refuses.
pub fn remove_all(path: &Path) -> io::Result<()> {
    let metadata = match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        result => result?,
    };
    if !metadata.is_dir() {
        return std::fs::remove_file(path);
    }
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let top = nix::fcntl::open(path, flags, Mode::empty())?;
    empty(&top)?;
    drop(top);
    std::fs::remove_dir(path)
}

fn empty(top: &OwnedFd) -> io::Result<()> {
    let mut moved = 0_u64;
    let mut stack: Vec<Level> = Vec::new();
    let mut left = entries(top)?;
    loop {
        let depth = stack.len();
        let (directory, names) = match stack.last_mut() {
            Some(level) => (&level.directory, &mut level.left),
            None => (top, &mut left),
        };
        let Some(name) = names.pop() else {
            // There were more than one batch, or something was moved here.
            *names = entries(directory)?;
            if !names.is_empty() {
                continue;
            }
            let Some(done) = stack.pop() else { return Ok(()) };
            let parent = stack.last().map_or(top, |level| &level.directory);
            drop(done.directory);
            gone(unlinkat(parent, done.name.as_c_str(), UnlinkatFlags::RemoveDir))?;
            continue;
        };
        match unlinkat(directory, name.as_c_str(), UnlinkatFlags::NoRemoveDir) {
            Err(nix::Error::EISDIR | nix::Error::EPERM) => {}
            result => {
                gone(result)?;
                continue;
            }
        }
        if depth >= LEVELS {
            moved += 1;
            let aside = format!(".removed-{}-{moved}", std::process::id());
            renameat(directory, name.as_c_str(), top, aside.as_str())?;
            continue;
        }
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let directory = openat(directory, name.as_c_str(), flags, Mode::empty())?;
        let left = entries(&directory)?;
        stack.push(Level { directory, name, left });
    }
}

fn gone(result: nix::Result<()>) -> io::Result<()> {
    match result {
        Err(nix::Error::ENOENT) => Ok(()),
        result => Ok(result?),
    }
}

/// Some names of a directory; none when it is empty.
fn entries(directory: &OwnedFd) -> io::Result<Vec<CString>> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut stream = Dir::openat(directory, ".", flags, Mode::empty())?;
    let mut names = Vec::new();
    for entry in stream.iter() {
        let entry = entry?;
        let name = entry.file_name();
        if !matches!(name.to_bytes(), b"." | b"..") {
            names.push(name.to_owned());
        }
        if names.len() == BATCH {
            break;
        }
    }
    Ok(names)
}

/// The names in a directory.
///
/// # Errors
/// It cannot be read.
pub fn names_in(directory: &OwnedFd) -> io::Result<Vec<std::ffi::OsString>> {
    use std::os::unix::ffi::OsStrExt;
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut stream = Dir::openat(directory, ".", flags, Mode::empty())?;
    let mut names = Vec::new();
    for entry in stream.iter() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if !matches!(name, b"." | b"..") {
            names.push(OsStr::from_bytes(name).to_owned());
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::stat::mkdirat;

    #[test]
    fn depth_costs_neither_stack_nor_descriptors() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().join("top");
        std::fs::create_dir(&top).unwrap();
        let outside = dir.path().join("outside");
        std::fs::write(&outside, "kept").unwrap();
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY;
        let mut at = nix::fcntl::open(&top, flags, Mode::empty()).unwrap();
        for _ in 0..20_000 {
            mkdirat(&at, "d", Mode::S_IRWXU).unwrap();
            at = openat(&at, "d", flags, Mode::empty()).unwrap();
        }
        nix::unistd::symlinkat(&outside, &at, "link").unwrap();
        let remove = std::thread::Builder::new().stack_size(256 << 10);
        remove.spawn(move || remove_all(&top).unwrap()).unwrap().join().unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        assert_eq!(std::fs::read_to_string(outside).unwrap(), "kept");
    }
}

//! Unpacking one layer into a directory of its own, in overlayfs' terms.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};

use nix::sys::stat::{Mode, SFlag, UtimensatFlags, mknod, utimensat};
use nix::sys::time::TimeSpec;
use tar::{Archive, Entry, EntryType};

use super::Hashing;

/// Symbolic links followed in one path before it counts as a loop.
const MAX_LINKS: u32 = 40;

/// Unpacks the layer in `file` into `target` and returns its diff id.
///
/// `lower` are the directories of the layers below, the topmost first: a path through a symbolic
/// link of theirs is followed as it will be seen in the container.
pub(super) fn unpack(file: File, target: &Path, lower: &[PathBuf]) -> io::Result<String> {
    let mut hashing = Hashing::new(decompress(file)?);
    fs::create_dir_all(target)?;
    let mut layer = Layer { target, lower, directories: HashSet::new(), times: Vec::new() };
    layer.copy_directory(Path::new(""))?;
    let mut archive = Archive::new(&mut hashing);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        layer.apply(&mut entry, &path).map_err(|error| {
            io::Error::new(error.kind(), format!("unpack {}: {error}", path.display()))
        })?;
    }
    layer.restore_times();
    // The diff id covers the padding after the last entry too.
    io::copy(&mut hashing, &mut io::sink())?;
    Ok(hashing.digest())
}

/// Recognises gzip and zstd by their first bytes; anything else is a plain tar.
fn decompress(mut file: File) -> io::Result<Box<dyn Read>> {
    let mut magic = [0; 4];
    let length = file.read(&mut magic)?;
    file.rewind()?;
    let reader = io::BufReader::with_capacity(128 << 10, file);
    Ok(match &magic[..length] {
        [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(reader)),
        [0x28, 0xb5, 0x2f, 0xfd] => Box::new(zstd::stream::read::Decoder::with_buffer(reader)?),
        _ => Box::new(reader),
    })
}

struct Layer<'a> {
    target: &'a Path,
    lower: &'a [PathBuf],
    /// Directories known to be real ones in `target`.
    directories: HashSet<PathBuf>,
    /// Modification times of directories, set last because their entries change them.
    times: Vec<(PathBuf, TimeSpec)>,
}

impl Layer<'_> {
    fn apply<R: Read>(&mut self, entry: &mut Entry<'_, R>, path: &Path) -> io::Result<()> {
        let Some(path) = self.resolve(path)? else { return Ok(()) };
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name == ".wh..wh..opq" {
            let parent = self.target.join(path.parent().unwrap_or(Path::new("")));
            return set_xattr(&parent, "trusted.overlay.opaque", b"y");
        }
        if let Some(hidden) = name.strip_prefix(".wh.") {
            let hidden = self.target.join(path.with_file_name(hidden));
            if hidden.symlink_metadata().is_err() {
                mknod(&hidden, SFlag::S_IFCHR, Mode::empty(), 0)?;
            }
            return Ok(());
        }
        let full = self.target.join(&path);
        let kind = entry.header().entry_type();
        if !(kind.is_dir() && full.symlink_metadata().is_ok_and(|found| found.is_dir())) {
            self.clear(&path)?;
        }
        match kind {
            EntryType::Directory => {
                if !full.is_dir() {
                    fs::create_dir(&full)?;
                }
                self.directories.insert(path);
            }
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                let mut file =
                    OpenOptions::new().write(true).create_new(true).mode(0o600).open(&full)?;
                io::copy(entry, &mut file)?;
            }
            EntryType::Symlink => symlink(link_name(entry)?, &full)?,
            EntryType::Link => {
                // A hard link shares everything with its target: nothing more to set.
                let source = link_name(entry)?;
                return self.hard_link(&source, &full);
            }
            EntryType::Char | EntryType::Block | EntryType::Fifo => {
                let flag = match kind {
                    EntryType::Char => SFlag::S_IFCHR,
                    EntryType::Block => SFlag::S_IFBLK,
                    _ => SFlag::S_IFIFO,
                };
                let major = entry.header().device_major()?.unwrap_or(0);
                let minor = entry.header().device_minor()?.unwrap_or(0);
                mknod(&full, flag, Mode::empty(), libc::makedev(major, minor))?;
            }
            _ => return Ok(()),
        }
        self.set_metadata(entry, &full, kind)
    }

    /// Removes what an earlier entry of this layer put at `path`.
    fn clear(&mut self, path: &Path) -> io::Result<()> {
        let full = self.target.join(path);
        match full.symlink_metadata() {
            Ok(found) if found.is_dir() => {
                self.directories.retain(|known| !known.starts_with(path));
                fs::remove_dir_all(&full)
            }
            Ok(_) => fs::remove_file(&full),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The path with every symbolic link of its parents followed within the image; the parents
    /// exist afterwards. `None` for the root itself.
    fn resolve(&mut self, path: &Path) -> io::Result<Option<PathBuf>> {
        let mut todo: Vec<PathBuf> = parts(path);
        let Some(name) = todo.pop() else { return Ok(None) };
        todo.reverse();
        let mut done = PathBuf::new();
        let mut links = 0;
        while let Some(part) = todo.pop() {
            if part.as_os_str() == ".." {
                done.pop();
                continue;
            }
            let next = done.join(&part);
            if self.directories.contains(&next) {
                done = next;
                continue;
            }
            match self.find(&next) {
                Some((found, metadata)) if metadata.is_symlink() => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(io::Error::from_raw_os_error(libc::ELOOP));
                    }
                    let link = fs::read_link(found)?;
                    if link.is_absolute() {
                        done.clear();
                    }
                    todo.extend(parts(&link).into_iter().rev());
                }
                _ => {
                    self.copy_directory(&next)?;
                    done = next;
                }
            }
        }
        if name.as_os_str() == ".." {
            return Err(io::Error::other("path ends in .."));
        }
        Ok(Some(done.join(name)))
    }

    /// Where the merged image has `path`: in this layer or the first below that has it.
    fn find(&self, path: &Path) -> Option<(PathBuf, fs::Metadata)> {
        std::iter::once(self.target)
            .chain(self.lower.iter().map(PathBuf::as_path))
            .map(|root| root.join(path))
            .find_map(|full| full.symlink_metadata().ok().map(|metadata| (full, metadata)))
    }

    /// Makes a directory of this layer, like the one below where there is one: in the merged view
    /// the upper one's owner and mode win.
    fn copy_directory(&mut self, path: &Path) -> io::Result<()> {
        let full = self.target.join(path);
        let below = self
            .lower
            .iter()
            .filter_map(|root| root.join(path).symlink_metadata().ok())
            .find(fs::Metadata::is_dir);
        if !path.as_os_str().is_empty() {
            match fs::create_dir(&full) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    self.directories.insert(path.to_owned());
                    return Ok(());
                }
                result => result?,
            }
        }
        let (mode, uid, gid) =
            below.map_or((0o755, 0, 0), |found| (found.mode(), found.uid(), found.gid()));
        std::os::unix::fs::lchown(&full, Some(uid), Some(gid))?;
        fs::set_permissions(&full, fs::Permissions::from_mode(mode & 0o7777))?;
        self.directories.insert(path.to_owned());
        Ok(())
    }

    fn hard_link(&mut self, source: &Path, full: &Path) -> io::Result<()> {
        let source = self
            .resolve(source)?
            .ok_or_else(|| io::Error::other("hard link to the root directory"))?;
        let here = self.target.join(&source);
        if here.symlink_metadata().is_err() {
            let (found, metadata) = self.find(&source).ok_or_else(|| {
                io::Error::new(io::ErrorKind::NotFound, format!("link target {}", source.display()))
            })?;
            fs::copy(found, &here)?;
            std::os::unix::fs::lchown(&here, Some(metadata.uid()), Some(metadata.gid()))?;
            fs::set_permissions(&here, fs::Permissions::from_mode(metadata.mode() & 0o7777))?;
        }
        fs::hard_link(here, full)
    }

    fn set_metadata<R: Read>(
        &mut self,
        entry: &mut Entry<'_, R>,
        full: &Path,
        kind: EntryType,
    ) -> io::Result<()> {
        let header = entry.header();
        let (uid, gid) = (header.uid()? as u32, header.gid()? as u32);
        let (mode, seconds) = (header.mode()?, header.mtime()? as i64);
        std::os::unix::fs::lchown(full, Some(uid), Some(gid))?;
        if kind != EntryType::Symlink {
            fs::set_permissions(full, fs::Permissions::from_mode(mode & 0o7777))?;
        }
        if let Some(extensions) = entry.pax_extensions()? {
            for extension in extensions {
                let extension = extension?;
                let Some(name) = extension.key().ok().and_then(|k| k.strip_prefix("SCHILY.xattr."))
                else {
                    continue;
                };
                // An image must not forge overlayfs' own marks.
                if !name.starts_with("trusted.overlay.") {
                    set_xattr(full, name, extension.value_bytes())?;
                }
            }
        }
        let time = TimeSpec::new(seconds, 0);
        if kind.is_dir() {
            self.times.push((full.to_owned(), time));
            return Ok(());
        }
        Ok(utimensat(nix::fcntl::AT_FDCWD, full, &time, &time, UtimensatFlags::NoFollowSymlink)?)
    }

    fn restore_times(&self) {
        for (path, time) in self.times.iter().rev() {
            let flag = UtimensatFlags::NoFollowSymlink;
            utimensat(nix::fcntl::AT_FDCWD, path, time, time, flag).ok();
        }
    }
}

fn link_name<R: Read>(entry: &Entry<'_, R>) -> io::Result<PathBuf> {
    let name = entry.link_name()?.ok_or_else(|| io::Error::other("link without a target"))?;
    Ok(name.into_owned())
}

fn parts(path: &Path) -> Vec<PathBuf> {
    path.components()
        .filter_map(|part| match part {
            Component::Normal(name) => Some(PathBuf::from(name)),
            Component::ParentDir => Some(PathBuf::from("..")),
            _ => None,
        })
        .collect()
}

/// Sets an extended attribute; a file system without them is fine.
fn set_xattr(path: &Path, name: &str, value: &[u8]) -> io::Result<()> {
    let invalid = |_| io::Error::from(io::ErrorKind::InvalidInput);
    let path = std::ffi::CString::new(path.as_os_str().as_encoded_bytes()).map_err(invalid)?;
    let name = std::ffi::CString::new(name).map_err(invalid)?;
    // SAFETY: strings and value live through the call.
    let result = unsafe {
        libc::lsetxattr(path.as_ptr(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0)
    };
    match io::Error::last_os_error() {
        _ if result == 0 => Ok(()),
        error if error.raw_os_error() == Some(libc::ENOTSUP) => Ok(()),
        error => Err(error),
    }
}

#[cfg(test)]
mod tests;

//! Unpacking one layer into a directory of its own, in overlayfs' terms.
//!
//! A layer is hostile: its names, its links and the links of the layers below may point anywhere.
//! A path is resolved in the merged image first, one name at a time; what is left is a path
//! without links, which is opened below the layer's own directory so that the kernel refuses what
//! leads out of it.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::{FileStat, Mode, SFlag, UtimensatFlags, fstat, mkdirat, mknodat, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchownat, linkat, symlinkat, unlinkat};
use tar::{Archive, Entry, EntryType};

use super::Hashing;
use super::merged::{Merged, Node, kind, make_opaque};
use crate::tree::{Links, Tree, names, path_of, remove_all};

/// Symbolic links followed in one path before it counts as a loop.
const MAX_LINKS: u32 = 40;
/// The layer that is being made, among those of the merged image.
const TARGET: usize = 0;

/// Unpacks the layer in `file` into `target` and returns its diff id.
///
/// `lower` are the directories of the layers below, the topmost first: a path through a symbolic
/// link of theirs is followed as it will be seen in the container.
pub(super) fn unpack(file: File, target: &Path, lower: &[PathBuf]) -> io::Result<String> {
    let mut hashing = Hashing::new(decompress(file)?);
    std::fs::create_dir_all(target)?;
    let trees = std::iter::once(target).chain(lower.iter().map(PathBuf::as_path));
    let merged = Merged::new(trees.map(Tree::open).collect::<io::Result<_>>()?);
    let mut layer = Layer { merged, directories: HashMap::new(), times: Vec::new() };
    layer.directories.insert(PathBuf::new(), layer.merged.root());
    layer.copy_attributes(Path::new(""), &layer.merged.root())?;
    let mut archive = Archive::new(&mut hashing);
    for entry in archive.entries()? {
        let mut entry = entry.map_err(super::damaged)?;
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

struct Layer {
    merged: Merged,
    /// Directories known to be in the target, and of which layers' each is made.
    directories: HashMap<PathBuf, Vec<usize>>,
    /// Modification times of directories, set last because their entries change them.
    times: Vec<(PathBuf, TimeSpec)>,
}

impl Layer {
    fn target(&self) -> &Tree {
        self.merged.layer(TARGET)
    }

    fn apply<R: Read>(&mut self, entry: &mut Entry<'_, R>, path: &Path) -> io::Result<()> {
        let Some(path) = self.resolve(path, true)? else {
            // The root itself.
            if entry.header().entry_type().is_dir() {
                let kind = EntryType::Directory;
                return self.set_metadata(entry, Path::new(""), kind);
            }
            return Ok(());
        };
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name == ".wh..wh..opq" {
            return self.hide_below(path.parent().unwrap_or(Path::new("")));
        }
        if let Some(hidden) = name.strip_prefix(".wh.") {
            if matches!(hidden, "" | "." | "..") {
                return Err(io::Error::other("invalid whiteout name"));
            }
            return self.white_out(&path.with_file_name(hidden));
        }
        let kind = entry.header().entry_type();
        let source = match kind {
            // Found before anything is removed, for it may be the same.
            EntryType::Link => {
                let source = self.resolve(&link_name(entry)?, false)?;
                let source =
                    source.ok_or_else(|| io::Error::other("hard link to the root directory"))?;
                if source == path {
                    return Ok(());
                }
                Some(source)
            }
            _ => None,
        };
        let hidden = self.clear(&path, kind.is_dir())?;
        let (parent, name) = self.target().parent(&path)?;
        match kind {
            EntryType::Directory => {
                match mkdirat(&parent, name, Mode::S_IRWXU) {
                    Ok(()) | Err(nix::Error::EEXIST) => {}
                    Err(error) => return Err(error.into()),
                }
                self.adopt(&path, hidden)?;
            }
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                io::copy(entry, &mut self.target().create(&path)?)?;
            }
            EntryType::Symlink => symlinkat(&link_name(entry)?, &parent, name)?,
            EntryType::Link => {
                // A hard link shares everything with its target: nothing more to set.
                return self.hard_link(&source.unwrap_or_default(), &path);
            }
            EntryType::Char | EntryType::Block => {
                let flag = if kind == EntryType::Char { SFlag::S_IFCHR } else { SFlag::S_IFBLK };
                let major = entry.header().device_major()?.unwrap_or(0);
                let minor = entry.header().device_minor()?.unwrap_or(0);
                mknodat(&parent, name, flag, Mode::empty(), libc::makedev(major, minor))?;
            }
            // Its device numbers mean nothing, and are often left blank.
            EntryType::Fifo => mknodat(&parent, name, SFlag::S_IFIFO, Mode::empty(), 0)?,
            _ => return Ok(()),
        }
        drop(parent);
        self.set_metadata(entry, &path, kind)
    }

    /// Marks a directory of this layer as hiding all that lower layers have in it.
    fn hide_below(&mut self, path: &Path) -> io::Result<()> {
        self.ensure_directory(path)?;
        self.forget_below(path);
        self.directories.insert(path.to_owned(), vec![TARGET]);
        make_opaque(self.target(), path)
    }

    /// Hides what lower layers have at `path`. What this layer itself has there stays.
    fn white_out(&mut self, path: &Path) -> io::Result<()> {
        match self.target().stat(path)? {
            Some(found) if kind(&found) == libc::S_IFDIR => self.hide_below(path),
            Some(_) => Ok(()),
            None => {
                let (parent, name) = self.target().parent(path)?;
                Ok(mknodat(&parent, name, SFlag::S_IFCHR, Mode::empty(), 0)?)
            }
        }
    }

    /// Removes what an earlier entry of this layer put at `path`, unless that and the new entry
    /// are directories; says whether it was a whiteout.
    fn clear(&mut self, path: &Path, for_directory: bool) -> io::Result<bool> {
        let Some(found) = self.target().stat(path)? else { return Ok(false) };
        let (parent, name) = self.target().parent(path)?;
        if kind(&found) != libc::S_IFDIR {
            unlinkat(&parent, name, UnlinkatFlags::NoRemoveDir)?;
            return Ok(is_whiteout(&found));
        }
        if !for_directory {
            self.forget_below(path);
            self.directories.remove(path);
            // It follows no links, and its parent is held.
            remove_all(&path_of(&parent).join(name))?;
        }
        Ok(false)
    }

    fn forget_below(&mut self, path: &Path) {
        self.directories.retain(|known, _| known == path || !known.starts_with(path));
        self.times.retain(|(known, _)| known == path || !known.starts_with(path));
    }

    /// The path with every symbolic link of its parents followed within the image. `None` for
    /// the root itself. With `make` the parents exist in this layer afterwards.
    fn resolve(&mut self, path: &Path, make: bool) -> io::Result<Option<PathBuf>> {
        let mut todo: Vec<OsString> = names(path).map(OsString::from).rev().collect();
        if todo.first().is_some_and(|name| name == "..") {
            return Err(io::Error::other("path ends in .."));
        }
        let mut done = PathBuf::new();
        let mut within = self.merged.root();
        let mut links = 0;
        while todo.len() > 1 {
            let Some(name) = todo.pop() else { break };
            if name == ".." {
                done.pop();
                within = self.within(&done)?;
                continue;
            }
            let next = done.join(&name);
            if let Some(known) = self.directories.get(&next) {
                within.clone_from(known);
                done = next;
                continue;
            }
            match self.merged.look(&within, &next)? {
                Node::Other(layer, found) if kind(&found) == libc::S_IFLNK => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(io::Error::from_raw_os_error(libc::ELOOP));
                    }
                    let link = self.merged.link(layer, &next)?;
                    if link.is_absolute() {
                        done.clear();
                        within = self.merged.root();
                    }
                    todo.extend(names(&link).map(OsString::from).rev());
                }
                Node::Other(..) => return Err(io::Error::from_raw_os_error(libc::ENOTDIR)),
                Node::Directory(layers) => {
                    within = layers;
                    done = next;
                }
                Node::Absent if make => {
                    within = Vec::new();
                    done = next;
                }
                Node::Absent => return Err(io::ErrorKind::NotFound.into()),
            }
            if make {
                within = self.ensure_directory(&done)?;
            }
        }
        Ok(todo.pop().map(|name| done.join(name)))
    }

    /// Of which layers' directories the one at a path without links is made.
    fn within(&self, path: &Path) -> io::Result<Vec<usize>> {
        let mut within = self.merged.root();
        let mut at = PathBuf::new();
        for name in names(path) {
            at.push(name);
            within = match self.directories.get(&at) {
                Some(known) => known.clone(),
                None => match self.merged.look(&within, &at)? {
                    Node::Directory(layers) => layers,
                    _ => Vec::new(),
                },
            };
        }
        Ok(within)
    }

    /// Makes a directory of this layer, like the one below where there is one, as its parents:
    /// in the merged view the upper one's owner and mode win.
    fn ensure_directory(&mut self, path: &Path) -> io::Result<Vec<usize>> {
        if let Some(known) = self.directories.get(path) {
            return Ok(known.clone());
        }
        let parent = path.parent().unwrap_or(Path::new(""));
        let within = self.ensure_directory(parent)?;
        let layers = match self.merged.look(&within, path)? {
            Node::Directory(layers) => layers,
            Node::Other(..) => return Err(io::Error::from_raw_os_error(libc::ENOTDIR)),
            Node::Absent => Vec::new(),
        };
        if layers.first() != Some(&TARGET) {
            let hidden = self.clear(path, true)?;
            let (parent, name) = self.target().parent(path)?;
            mkdirat(&parent, name, Mode::S_IRWXU)?;
            self.copy_attributes(path, &layers)?;
            if hidden {
                make_opaque(self.target(), path)?;
            }
        }
        let mut all = vec![TARGET];
        all.extend(layers.into_iter().filter(|layer| *layer != TARGET));
        self.directories.insert(path.to_owned(), all.clone());
        Ok(all)
    }

    /// Notes a directory that an entry has just made, or brought up to date.
    fn adopt(&mut self, path: &Path, hidden: bool) -> io::Result<()> {
        if hidden {
            make_opaque(self.target(), path)?;
        }
        if !self.directories.contains_key(path) {
            let within = self.within(path.parent().unwrap_or(Path::new("")))?;
            if let Node::Directory(layers) = self.merged.look(&within, path)? {
                self.directories.insert(path.to_owned(), layers);
            }
        }
        Ok(())
    }

    /// Gives a directory of this layer the owner and mode of the topmost of `layers` below.
    fn copy_attributes(&self, path: &Path, layers: &[usize]) -> io::Result<()> {
        let below = layers.iter().find(|layer| **layer != TARGET);
        let found = match below {
            Some(layer) => self.merged.layer(*layer).stat(path)?,
            None => None,
        };
        let (mode, uid, gid) =
            found.map_or((0o755, 0, 0), |found| (found.st_mode, found.st_uid, found.st_gid));
        let node = open_node(self.target(), path)?;
        own(&node, uid, gid)?;
        set_mode(&node, mode)
    }

    fn hard_link(&mut self, source: &Path, path: &Path) -> io::Result<()> {
        let within = self.within(source.parent().unwrap_or(Path::new("")))?;
        match self.merged.look(&within, source)? {
            Node::Other(TARGET, _) => {}
            Node::Other(layer, found) => {
                self.ensure_directory(source.parent().unwrap_or(Path::new("")))?;
                self.copy_up(layer, source, &found)?;
            }
            Node::Directory(_) => return Err(io::Error::from_raw_os_error(libc::EPERM)),
            Node::Absent => {
                let message = format!("link target {} does not exist", source.display());
                return Err(io::Error::new(io::ErrorKind::NotFound, message));
            }
        }
        let (from, old) = self.target().parent(source)?;
        let (to, new) = self.target().parent(path)?;
        Ok(linkat(&from, old, &to, new, AtFlags::empty())?)
    }

    /// Copies what a lower layer has at `path`, and is no directory, into this one.
    fn copy_up(&self, layer: usize, path: &Path, found: &FileStat) -> io::Result<()> {
        let below = self.merged.layer(layer);
        let (parent, name) = self.target().parent(path)?;
        match kind(found) {
            libc::S_IFREG => {
                let mut from = below.open_file(path, Links::Refuse)?;
                io::copy(&mut from, &mut self.target().create(path)?)?;
            }
            libc::S_IFLNK => symlinkat(&*self.merged.link(layer, path)?, &parent, name)?,
            other => {
                let kind = SFlag::from_bits_truncate(other);
                mknodat(&parent, name, kind, Mode::empty(), found.st_rdev)?;
            }
        }
        let node = open_node(self.target(), path)?;
        own(&node, found.st_uid, found.st_gid)?;
        if kind(found) != libc::S_IFLNK {
            set_mode(&node, found.st_mode)?;
        }
        let (below, _) = below.parent(path)?;
        let (from, to) = (path_of(&below).join(name), path_of(&parent).join(name));
        // A file system without them is fine.
        for attribute in xattr::list(&from).into_iter().flatten() {
            if let Some(value) = xattr::get(&from, &attribute)? {
                xattr::set(&to, &attribute, &value)?;
            }
        }
        let time = TimeSpec::new(found.st_mtime, found.st_mtime_nsec);
        Ok(utimensat(&parent, name, &time, &time, UtimensatFlags::NoFollowSymlink)?)
    }

    fn set_metadata<R: Read>(
        &mut self,
        entry: &mut Entry<'_, R>,
        path: &Path,
        kind: EntryType,
    ) -> io::Result<()> {
        let header = entry.header();
        let raw = header.as_old();
        let uid = number(&raw.uid, header.uid())? as u32;
        let gid = number(&raw.gid, header.gid())? as u32;
        let mode = number(&raw.mode, header.mode().map(u64::from))? as u32;
        let seconds = number(&raw.mtime, header.mtime())? as i64;
        let node = open_node(self.target(), path)?;
        own(&node, uid, gid)?;
        if kind != EntryType::Symlink {
            set_mode(&node, mode)?;
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
                    self.set_xattr(path, name, extension.value_bytes())?;
                }
            }
        }
        let time = TimeSpec::new(seconds, 0);
        if kind.is_dir() {
            self.times.push((path.to_owned(), time));
            return Ok(());
        }
        let (parent, name) = self.target().parent(path)?;
        Ok(utimensat(&parent, name, &time, &time, UtimensatFlags::NoFollowSymlink)?)
    }

    /// Sets an extended attribute, of a link itself; a file system without them is fine.
    fn set_xattr(&self, path: &Path, name: &str, value: &[u8]) -> io::Result<()> {
        let result = if path.as_os_str().is_empty() {
            xattr::set_deref(path_of(&self.target().as_fd()), name, value)
        } else {
            let (parent, last) = self.target().parent(path)?;
            xattr::set(path_of(&parent).join(last), name, value)
        };
        match result {
            Err(error) if error.raw_os_error() == Some(libc::ENOTSUP) => Ok(()),
            // Those of users are for files and directories only.
            Err(error)
                if error.raw_os_error() == Some(libc::EPERM) && name.starts_with("user.") =>
            {
                Ok(())
            }
            result => result,
        }
    }

    fn restore_times(&self) {
        for (path, time) in self.times.iter().rev() {
            let flags = OFlag::O_PATH | OFlag::O_DIRECTORY;
            // One that a later entry replaced needs none.
            if let Ok(directory) = self.target().open_at(path, flags, Links::Refuse) {
                let flag = UtimensatFlags::FollowSymlink;
                utimensat(&directory, &path_of(&directory), time, time, flag).ok();
            }
        }
    }
}

/// A number of a header; one that is left blank is zero.
fn number(field: &[u8], parsed: io::Result<u64>) -> io::Result<u64> {
    if field.iter().all(|byte| matches!(byte, 0 | b' ')) { Ok(0) } else { parsed }
}

fn is_whiteout(found: &FileStat) -> bool {
    kind(found) == libc::S_IFCHR && found.st_rdev == 0
}

/// Opens the file at a path of the layer; a link is opened itself.
fn open_node(tree: &Tree, path: &Path) -> io::Result<OwnedFd> {
    tree.open_at(path, OFlag::O_PATH | OFlag::O_NOFOLLOW, Links::Refuse)
}

fn own(node: &OwnedFd, uid: u32, gid: u32) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    Ok(fchownat(node, "", Some(uid), Some(gid), AtFlags::AT_EMPTY_PATH)?)
}

/// Sets the mode of what is no link: through a link the change would go to what it points to.
fn set_mode(node: &OwnedFd, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    if kind(&fstat(node)?) == libc::S_IFLNK {
        return Err(io::Error::from_raw_os_error(libc::ELOOP));
    }
    let permissions = std::fs::Permissions::from_mode(mode & 0o7777);
    std::fs::set_permissions(path_of(node), permissions)
}

fn link_name<R: Read>(entry: &Entry<'_, R>) -> io::Result<PathBuf> {
    let name = entry.link_name()?.ok_or_else(|| io::Error::other("link without a target"))?;
    Ok(name.into_owned())
}

#[cfg(test)]
mod fuzz_tests;
#[cfg(test)]
mod tests;

//! The layers of an image as one tree, as overlayfs will show them.

use std::io;
use std::path::Path;

use nix::fcntl::{OFlag, readlinkat};
use nix::sys::stat::FileStat;

use crate::tree::{Links, Tree, path_of};

const OPAQUE: &str = "trusted.overlay.opaque";

/// Directories of one image's layers, the topmost first.
pub(super) struct Merged(Vec<Tree>);

/// A node of the merged tree.
pub(super) enum Node {
    Absent,
    /// A directory, made of those of these layers.
    Directory(Vec<usize>),
    /// Anything else, in this layer.
    Other(usize, FileStat),
}

impl Merged {
    pub(super) fn new(layers: Vec<Tree>) -> Self {
        Self(layers)
    }

    pub(super) fn layer(&self, number: usize) -> &Tree {
        &self.0[number]
    }

    /// The top directory.
    pub(super) fn root(&self) -> Vec<usize> {
        (0..self.0.len()).collect()
    }

    /// Finds the node at `path`, whose parent is merged from the directories of layers `within`.
    pub(super) fn look(&self, within: &[usize], path: &Path) -> io::Result<Node> {
        let mut directories = Vec::new();
        for &number in within {
            let layer = &self.0[number];
            let Some(found) = layer.stat(path)? else { continue };
            match kind(&found) {
                libc::S_IFDIR => {
                    directories.push(number);
                    if is_opaque(layer, path)? {
                        break;
                    }
                }
                // A whiteout, or what hides all directories below.
                libc::S_IFCHR if found.st_rdev == 0 => break,
                _ if directories.is_empty() => return Ok(Node::Other(number, found)),
                _ => break,
            }
        }
        Ok(if directories.is_empty() { Node::Absent } else { Node::Directory(directories) })
    }

    /// Where the link at `path` of a layer points.
    pub(super) fn link(&self, number: usize, path: &Path) -> io::Result<std::path::PathBuf> {
        let (parent, name) = self.0[number].parent(path)?;
        Ok(readlinkat(parent, name)?.into())
    }
}

/// The file type bits.
pub(super) fn kind(stat: &FileStat) -> u32 {
    stat.st_mode & libc::S_IFMT
}

fn is_opaque(layer: &Tree, path: &Path) -> io::Result<bool> {
    let directory = layer.open_at(path, OFlag::O_PATH, Links::Refuse)?;
    match xattr::get_deref(path_of(&directory), OPAQUE) {
        Ok(value) => Ok(value.as_deref() == Some(b"y")),
        Err(error) if error.raw_os_error() == Some(libc::ENOTSUP) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Hides what lower layers have in the directory at `path`.
pub(super) fn make_opaque(layer: &Tree, path: &Path) -> io::Result<()> {
    let directory = layer.open_at(path, OFlag::O_PATH, Links::Refuse)?;
    xattr::set_deref(path_of(&directory), OPAQUE, b"y")
}

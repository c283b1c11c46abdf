//! Where the layers of images are found while a container is set up.

use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use super::mounts::{Kind, Root, clone_tree, new_filesystem};
use super::users::Entry;
use crate::spec::{STAGING, Spec, VOLATILE};

/// Layers by the paths that overlayfs is told, which with a user namespace are those of copies
/// mapped into it.
pub(super) struct Layers<'a> {
    data: PathBuf,
    staging: PathBuf,
    users: Option<&'a Entry>,
    places: Option<u32>,
}

impl<'a> Layers<'a> {
    /// Must be in a mount namespace whose mounts do not reach the node.
    pub(super) fn new(spec: &Spec, users: Option<&'a Entry>) -> io::Result<Self> {
        let staging = Path::new(VOLATILE).join(STAGING);
        Ok(Self { data: spec.data_dir.clone(), staging, users, places: None })
    }

    /// The path of a layer, relative to the data directory.
    pub(super) fn path(&mut self, layer: &Path) -> io::Result<String> {
        let Some(users) = self.users else { return Ok(layer.display().to_string()) };
        let tree = clone_tree(&self.data.join(layer), false)?;
        users.map(tree.as_fd())?;
        let place = self.next()?;
        Root::open(&self.data)?.mount(&tree, &place, Kind::Directory)?;
        Ok(place.display().to_string())
    }

    /// A layer without anything in it.
    pub(super) fn nothing(&mut self) -> io::Result<String> {
        self.next().map(|place| place.display().to_string())
    }

    /// A directory to mount something on.
    pub(super) fn place(&mut self) -> io::Result<PathBuf> {
        self.next().map(|place| self.data.join(place))
    }

    /// A new directory in memory, which goes with the mount namespace's first root.
    fn next(&mut self) -> io::Result<PathBuf> {
        let root = Root::open(&self.data)?;
        let number = match self.places {
            Some(number) => number + 1,
            None => {
                let memory = new_filesystem("tmpfs", &[("mode", "755")], 0)?;
                root.mount(&memory, &self.staging, Kind::Directory)?;
                0
            }
        };
        self.places = Some(number);
        let place = self.staging.join(number.to_string());
        root.ensure(&place, Kind::Directory)?;
        Ok(place)
    }
}

//! Images on disk: an index of names, configurations, and unpacked layers by chain id.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use oci_client::Reference;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::model::ConfigFile;
use super::{digest_of, layer};
use crate::api::Image;
use crate::tree::remove_all;
use crate::{Error, PullError, Result};

/// An image and where its layers are.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct ImageRecord {
    pub(crate) image: Image,
    /// Chain ids in hexadecimal, the lowest first.
    pub(crate) layers: Vec<String>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Index {
    images: BTreeMap<String, ImageRecord>,
}

/// The image store of one data directory. Calls block.
#[derive(Debug)]
pub(crate) struct ImageStore {
    directory: PathBuf,
    index: Mutex<Index>,
    /// One layer is unpacked at a time, so that two images with a common layer share it.
    unpacking: Mutex<()>,
}

/// The names of a new image.
#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    pub(super) tags: Vec<String>,
    pub(super) digests: Vec<String>,
}

impl ImageStore {
    pub(crate) fn open(data_dir: &Path) -> io::Result<Self> {
        let directory = data_dir.to_owned();
        fs::create_dir_all(directory.join("layers"))?;
        fs::create_dir_all(directory.join("images"))?;
        let scratch = directory.join("images/tmp");
        remove_all(&scratch)?;
        fs::create_dir_all(&scratch)?;
        let index = match fs::read(directory.join("images/index.json")) {
            Ok(bytes) => serde_json::from_slice(&bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Index::default(),
            Err(error) => return Err(error),
        };
        Ok(Self { directory, index: Mutex::new(index), unpacking: Mutex::new(()) })
    }

    /// Directory for files on their way in, on the same file system as the layers.
    pub(super) fn scratch(&self) -> PathBuf {
        self.directory.join("images/tmp")
    }

    /// The image by id (with or without `sha256:`), tag or digest.
    pub(crate) fn find(&self, reference: &str) -> Option<ImageRecord> {
        let index = self.index.lock();
        let id = reference.strip_prefix("sha256:").unwrap_or(reference);
        if let Some(record) = index.images.get(&format!("sha256:{id}")) {
            return Some(record.clone());
        }
        let wanted = normalise(reference).ok()?;
        let (name, digest) = (wanted.whole(), wanted.digest());
        index
            .images
            .values()
            .find(|record| match digest {
                Some(digest) => {
                    let name = format!("{}/{}@{digest}", wanted.registry(), wanted.repository());
                    record.image.repo_digests.contains(&name)
                }
                None => record.image.repo_tags.contains(&name),
            })
            .cloned()
    }

    pub(crate) fn list(&self) -> Vec<Image> {
        self.index.lock().images.values().map(|record| record.image.clone()).collect()
    }

    /// Adds an image whose layers' files are at `layers`, or names one that is there already.
    pub(super) fn add(
        &self,
        config: &[u8],
        size: u64,
        layers: &mut dyn FnMut(usize) -> io::Result<File>,
        names: Names,
    ) -> io::Result<Image> {
        let id = digest_of(config);
        let parsed: ConfigFile = serde_json::from_slice(config)?;
        let chain = self.unpack(&parsed.rootfs.diff_ids, layers)?;
        let mut index = self.index.lock();
        for record in index.images.values_mut().filter(|record| record.image.id != id) {
            // A tag names one image; its old bearer stays, known by digest or id.
            record.image.repo_tags.retain(|tag| !names.tags.contains(tag));
        }
        let record = index.images.entry(id.clone()).or_default();
        record.layers = chain;
        let image = &mut record.image;
        image.id = id;
        image.size = size;
        image.config = parsed.config.into();
        for (list, new) in
            [(&mut image.repo_tags, names.tags), (&mut image.repo_digests, names.digests)]
        {
            list.extend(new);
            list.sort();
            list.dedup();
        }
        let image = image.clone();
        self.save(&index)?;
        Ok(image)
    }

    /// Counts the layers that are unpacked already, up to the first that is missing.
    pub(super) fn present(&self, diff_ids: &[String]) -> usize {
        chain_ids(diff_ids)
            .iter()
            .take_while(|chain| self.directory.join("layers").join(chain).is_dir())
            .count()
    }

    fn unpack(
        &self,
        diff_ids: &[String],
        layers: &mut dyn FnMut(usize) -> io::Result<File>,
    ) -> io::Result<Vec<String>> {
        let _one_at_a_time = self.unpacking.lock();
        let chains = chain_ids(diff_ids);
        let base = self.directory.join("layers");
        for (position, chain) in chains.iter().enumerate() {
            let target = base.join(chain);
            if target.is_dir() {
                continue;
            }
            let temporary = base.join(format!("{chain}.tmp"));
            remove_all(&temporary)?;
            let lower: Vec<_> = chains[..position].iter().rev().map(|c| base.join(c)).collect();
            let diff_id = layer::unpack(layers(position)?, &temporary, &lower)?;
            if diff_id != diff_ids[position] {
                remove_all(&temporary)?;
                return Err(io::Error::other(format!(
                    "wrong diff id calculated on extraction {diff_id:?}, expected {:?}",
                    diff_ids[position]
                )));
            }
            fs::rename(&temporary, &target)?;
        }
        Ok(chains)
    }

    /// Removes an image with all its names; its layers go with [`Self::collect`].
    pub(crate) fn remove(&self, reference: &str) -> io::Result<()> {
        let Some(record) = self.find(reference) else { return Ok(()) };
        let mut index = self.index.lock();
        index.images.remove(&record.image.id);
        self.save(&index)
    }

    /// Removes layers that neither an image nor `used` holds.
    pub(crate) fn collect(&self, used: &dyn Fn(&str) -> bool) -> io::Result<()> {
        let _not_while_unpacking = self.unpacking.lock();
        let index = self.index.lock();
        for entry in fs::read_dir(self.directory.join("layers"))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let held = index.images.values().any(|record| record.layers.contains(&name));
            if !held && !used(&name) {
                remove_all(&entry.path())?;
            }
        }
        Ok(())
    }

    fn save(&self, index: &Index) -> io::Result<()> {
        let path = self.directory.join("images/index.json");
        crate::private::write(&path, &serde_json::to_vec(index)?)
    }
}

/// Chain ids in hexadecimal: each stands for a layer and all below it.
fn chain_ids(diff_ids: &[String]) -> Vec<String> {
    let mut chains: Vec<String> = Vec::new();
    for diff_id in diff_ids {
        let chain = match chains.last() {
            None => diff_id.clone(),
            Some(below) => digest_of(format!("sha256:{below} {diff_id}").as_bytes()),
        };
        chains.push(chain.trim_start_matches("sha256:").to_owned());
    }
    chains
}

/// The full name: `busybox` is `docker.io/library/busybox:latest`.
pub(super) fn normalise(reference: &str) -> Result<Reference> {
    parse(reference).map_err(Error::ImagePull)
}

pub(super) fn parse(reference: &str) -> Result<Reference, PullError> {
    Reference::try_from(reference).map_err(|error| PullError::InvalidName {
        reference: reference.to_owned(),
        message: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_completed() {
        for (short, long) in [
            ("busybox", "docker.io/library/busybox:latest"),
            ("a/b:1", "docker.io/a/b:1"),
            ("127.0.0.1:5000/x", "127.0.0.1:5000/x:latest"),
            ("registry.k8s.io/pause:3.10", "registry.k8s.io/pause:3.10"),
        ] {
            assert_eq!(normalise(short).unwrap().whole(), long);
        }
        assert!(normalise("UPPER").is_err());
    }

    #[test]
    fn chain_ids_follow_the_specification() {
        let ids = ["sha256:aa".to_owned(), "sha256:bb".to_owned()];
        let chains = chain_ids(&ids);
        assert_eq!(chains[0], "aa");
        assert_eq!(format!("sha256:{}", chains[1]), digest_of(b"sha256:aa sha256:bb"));
    }
}

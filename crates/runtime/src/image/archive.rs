//! Importing image archives: OCI layouts and what `docker save` writes.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek};
use std::path::{Component, Path, PathBuf};

use tar::{Archive, EntryType};

use super::model::{DOCKER_INDEX, Descriptor, DockerImage, INDEX, Index, Manifest};
use super::store::{Names, normalise};
use super::{ImageStore, digest_of};
use crate::api::Image;

/// Documents larger than this are not ours.
const MAX_DOCUMENT: u64 = 16 << 20;

impl ImageStore {
    /// Reads every image of an archive, plain or gzip.
    pub(crate) fn import(&self, archive: &Path) -> io::Result<Vec<Image>> {
        let directory = tempfile::tempdir_in(self.scratch())?;
        let files = Files::extract(archive, directory.path())?;
        let images = if files.has("index.json") {
            self.import_layout(&files)?
        } else if files.has("manifest.json") {
            self.import_docker(&files)?
        } else {
            return Err(io::Error::other(format!(
                "{}: neither an OCI layout nor a docker archive",
                archive.display()
            )));
        };
        if images.is_empty() {
            return Err(io::Error::other(format!("{}: holds no image", archive.display())));
        }
        Ok(images)
    }

    fn import_layout(&self, files: &Files) -> io::Result<Vec<Image>> {
        let index: Index = serde_json::from_slice(&files.read("index.json")?)?;
        let mut images = Vec::new();
        for entry in &index.manifests {
            let name = ["io.containerd.image.name", "org.opencontainers.image.ref.name"]
                .iter()
                .find_map(|key| entry.annotations.get(*key));
            // A name without a repository is just a tag: it says nothing.
            let reference =
                name.filter(|name| name.contains(['/', ':'])).map(|name| normalise(name));
            let reference = reference.transpose().map_err(io::Error::other)?;
            let (digest, manifest) = files.manifest(entry)?;
            let config = files.blob(&manifest.config.digest)?;
            let names = reference.map_or_else(Names::default, |reference| Names {
                digests: vec![format!(
                    "{}/{}@{digest}",
                    reference.registry(),
                    reference.repository()
                )],
                tags: vec![reference.whole()],
            });
            let size = manifest.config.size + manifest.layers.iter().map(|l| l.size).sum::<u64>();
            let mut layers = |position: usize| {
                let layer: &Descriptor = manifest
                    .layers
                    .get(position)
                    .ok_or_else(|| io::Error::other("fewer layers than diff ids"))?;
                files.verified(&layer.digest)
            };
            images.push(self.add(&config, size, &mut layers, names)?);
        }
        Ok(images)
    }

    fn import_docker(&self, files: &Files) -> io::Result<Vec<Image>> {
        let list: Vec<DockerImage> = serde_json::from_slice(&files.read("manifest.json")?)?;
        let mut images = Vec::new();
        for image in list {
            let tags: Result<Vec<_>, _> = image
                .repo_tags
                .unwrap_or_default()
                .iter()
                .map(|tag| normalise(tag).map(|reference| reference.whole()))
                .collect();
            let names = Names { tags: tags.map_err(io::Error::other)?, digests: Vec::new() };
            let config = files.read(&image.config)?;
            let mut size = config.len() as u64;
            for layer in &image.layers {
                size += files.open(layer)?.metadata()?.len();
            }
            let mut layers = |position: usize| {
                let layer = image
                    .layers
                    .get(position)
                    .ok_or_else(|| io::Error::other("fewer layers than diff ids"))?;
                files.open(layer)
            };
            images.push(self.add(&config, size, &mut layers, names)?);
        }
        Ok(images)
    }
}

/// The files of an archive, extracted under names of our own.
struct Files {
    paths: HashMap<PathBuf, PathBuf>,
    /// Symbolic links: `docker save` of old writes a shared layer once.
    links: HashMap<PathBuf, PathBuf>,
}

impl Files {
    fn extract(archive: &Path, directory: &Path) -> io::Result<Self> {
        let context = |error: io::Error| {
            let error = super::damaged(error);
            io::Error::new(error.kind(), format!("{}: {error}", archive.display()))
        };
        let mut file = File::open(archive).map_err(context)?;
        let mut magic = [0; 2];
        let length = file.read(&mut magic)?;
        file.rewind()?;
        let reader = io::BufReader::with_capacity(128 << 10, file);
        let reader: Box<dyn Read> = if length == 2 && magic == [0x1f, 0x8b] {
            Box::new(flate2::bufread::MultiGzDecoder::new(reader))
        } else {
            Box::new(reader)
        };
        let mut files = Self { paths: HashMap::new(), links: HashMap::new() };
        let mut archive = Archive::new(reader);
        for entry in archive.entries().map_err(context)? {
            let mut entry = entry.map_err(context)?;
            let name = clean(&entry.path()?);
            match entry.header().entry_type() {
                EntryType::Regular | EntryType::Continuous => {
                    let path = directory.join(files.paths.len().to_string());
                    io::copy(&mut entry, &mut File::create(&path)?).map_err(context)?;
                    files.paths.insert(name, path);
                }
                EntryType::Symlink | EntryType::Link => {
                    if let Some(target) = entry.link_name()? {
                        let parent = name.parent().unwrap_or(Path::new(""));
                        files.links.insert(name.clone(), clean(&parent.join(target)));
                    }
                }
                _ => {}
            }
        }
        Ok(files)
    }

    fn path(&self, name: &str) -> Option<&PathBuf> {
        let name = clean(Path::new(name));
        self.paths.get(&name).or_else(|| self.paths.get(self.links.get(&name)?))
    }

    fn has(&self, name: &str) -> bool {
        self.path(name).is_some()
    }

    fn open(&self, name: &str) -> io::Result<File> {
        let path = self.path(name).ok_or_else(|| {
            io::Error::new(io::ErrorKind::NotFound, format!("{name}: not in the archive"))
        })?;
        File::open(path)
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let file = self.open(name)?;
        if file.metadata()?.len() > MAX_DOCUMENT {
            return Err(io::Error::other(format!("{name}: too large")));
        }
        let mut bytes = Vec::new();
        file.take(MAX_DOCUMENT).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn blob_name(digest: &str) -> String {
        format!("blobs/{}", digest.replacen(':', "/", 1))
    }

    fn blob(&self, digest: &str) -> io::Result<Vec<u8>> {
        let bytes = self.read(&Self::blob_name(digest))?;
        let found = digest_of(&bytes);
        if found == digest { Ok(bytes) } else { Err(mismatch(digest, &found)) }
    }

    fn verified(&self, digest: &str) -> io::Result<File> {
        let mut hashing = super::Hashing::new(self.open(&Self::blob_name(digest))?);
        io::copy(&mut hashing, &mut io::sink())?;
        let found = hashing.digest();
        if found != digest {
            return Err(mismatch(digest, &found));
        }
        self.open(&Self::blob_name(digest))
    }

    /// The manifest an index entry leads to on this platform, with the entry's own digest.
    fn manifest(&self, entry: &Descriptor) -> io::Result<(String, Manifest)> {
        let bytes = self.blob(&entry.digest)?;
        if entry.media_type != INDEX && entry.media_type != DOCKER_INDEX {
            return Ok((entry.digest.clone(), serde_json::from_slice(&bytes)?));
        }
        let index: Index = serde_json::from_slice(&bytes)?;
        let inner =
            index.select().ok_or_else(|| io::Error::other("no match for platform in manifest"))?;
        let manifest = serde_json::from_slice(&self.blob(&inner.digest)?)?;
        Ok((entry.digest.clone(), manifest))
    }
}

fn mismatch(expected: &str, found: &str) -> io::Error {
    io::Error::other(format!("blob {expected} has digest {found}"))
}

/// A name without `.`, `..` and a leading slash; only ever a key.
fn clean(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => drop(clean.pop()),
            _ => {}
        }
    }
    clean
}

/// Size of a directory's files in bytes, and their number. Follows no link.
pub(crate) fn directory_usage(path: &Path) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    let mut total = (0, 0);
    // Its depth is a container's choice: no recursion.
    let mut left = vec![path.to_owned()];
    while let Some(directory) = left.pop() {
        let Ok(entries) = fs::read_dir(directory) else { continue };
        total.1 += 1;
        for entry in entries.filter_map(Result::ok) {
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                left.push(entry.path());
            } else {
                total = (total.0 + metadata.blocks() * 512, total.1 + 1);
            }
        }
    }
    total
}

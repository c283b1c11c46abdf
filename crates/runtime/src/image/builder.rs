//! Building a small image from files: demonstrations and tests need no registry.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::Path;

use super::model::{
    CONFIG, ConfigFile, Descriptor, INDEX, Index, LAYER, MANIFEST, Manifest, Platform,
    ProcessConfig, RootFs,
};
use super::store::normalise;
use super::{Hashing, digest_of, digest_text};

/// A file of a new image.
#[derive(Debug, Clone)]
pub struct ImageFile<'a> {
    /// Path inside, with or without a leading slash; its parents are made.
    pub path: &'a str,
    /// Permission bits.
    pub mode: u32,
    /// Its contents.
    pub contents: Contents<'a>,
}

/// The contents of a file of a new image.
#[derive(Debug, Clone)]
pub enum Contents<'a> {
    /// These bytes; for a symbolic link (`mode` has the type bits `0o120000`), its target.
    Bytes(&'a [u8]),
    /// Those of a file of this machine, which are copied piece by piece.
    File(&'a Path),
}

impl<'a> ImageFile<'a> {
    /// A file with these bytes, or a symbolic link to them.
    pub fn new(path: &'a str, mode: u32, bytes: &'a [u8]) -> Self {
        Self { path, mode, contents: Contents::Bytes(bytes) }
    }

    /// A copy of a file of this machine.
    pub fn copy(path: &'a str, mode: u32, source: &'a Path) -> Self {
        Self { path, mode, contents: Contents::File(source) }
    }
}

/// The description of a new image.
#[derive(Debug, Clone, Default)]
pub struct ImageSpec<'a> {
    /// Its files, as one layer.
    pub files: Vec<ImageFile<'a>>,
    /// Entrypoint.
    pub entrypoint: Vec<String>,
    /// Default arguments.
    pub cmd: Vec<String>,
    /// Environment as `NAME=value`.
    pub env: Vec<String>,
    /// User; empty means root.
    pub user: String,
    /// Working directory; empty means `/`.
    pub working_dir: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// Writes an OCI layout archive with one image named `reference`. The same input gives the same
/// bytes. The layer is not compressed: whoever imports it here would only undo that.
///
/// # Errors
/// For a reference that does not parse, or where `out` cannot be written.
pub fn build_image_tar(out: &Path, reference: &str, spec: &ImageSpec<'_>) -> io::Result<()> {
    let name = normalise(reference).map_err(io::Error::other)?.whole();
    let layer = layer(&spec.files, out.parent().unwrap_or(Path::new(".")))?;
    let platform = Platform::here();
    let list = |values: &[String]| (!values.is_empty()).then(|| values.to_vec());
    let config = serde_json::to_vec(&ConfigFile {
        architecture: platform.architecture.clone(),
        os: platform.os.clone(),
        config: ProcessConfig {
            user: spec.user.clone(),
            env: list(&spec.env),
            entrypoint: list(&spec.entrypoint),
            cmd: list(&spec.cmd),
            working_dir: spec.working_dir.clone(),
            labels: (!spec.labels.is_empty()).then(|| spec.labels.clone()),
            ..ProcessConfig::default()
        },
        rootfs: RootFs { kind: "layers".to_owned(), diff_ids: vec![layer.digest.clone()] },
    })?;
    let manifest = serde_json::to_vec(&Manifest {
        schema_version: 2,
        media_type: MANIFEST.to_owned(),
        config: descriptor(CONFIG, &config),
        layers: vec![Descriptor {
            media_type: LAYER.to_owned(),
            digest: layer.digest.clone(),
            size: layer.size,
            ..Descriptor::default()
        }],
    })?;
    let mut entry = descriptor(MANIFEST, &manifest);
    entry.annotations = [
        ("io.containerd.image.name".to_owned(), name.clone()),
        ("org.opencontainers.image.ref.name".to_owned(), name),
    ]
    .into();
    entry.platform = Some(platform);
    let index = serde_json::to_vec(&Index {
        schema_version: 2,
        media_type: INDEX.to_owned(),
        manifests: vec![entry],
    })?;

    let mut archive = tar::Builder::new(io::BufWriter::new(File::create(out)?));
    append(&mut archive, "oci-layout", 0o644, br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    append(&mut archive, "index.json", 0o644, &index)?;
    let blob = |digest: &str| format!("blobs/{}", digest.replace(':', "/"));
    for bytes in [&config, &manifest] {
        append(&mut archive, &blob(&digest_of(bytes)), 0o644, bytes)?;
    }
    archive.append_data(&mut header(0o644, layer.size), blob(&layer.digest), layer.file)?;
    archive.into_inner()?.flush()
}

fn descriptor(media_type: &str, bytes: &[u8]) -> Descriptor {
    Descriptor {
        media_type: media_type.to_owned(),
        digest: digest_of(bytes),
        size: bytes.len() as u64,
        ..Descriptor::default()
    }
}

/// A layer in a file without a name.
struct Layer {
    file: File,
    digest: String,
    size: u64,
}

fn layer(files: &[ImageFile<'_>], scratch: &Path) -> io::Result<Layer> {
    let out = io::BufWriter::new(tempfile::tempfile_in(scratch)?);
    let mut archive = tar::Builder::new(Hashing::new(out));
    let mut made = std::collections::BTreeSet::new();
    for file in files {
        let path = Path::new(file.path.trim_start_matches('/'));
        let mut parents: Vec<_> = path.ancestors().skip(1).collect();
        parents.reverse();
        for parent in parents.into_iter().filter(|parent| !parent.as_os_str().is_empty()) {
            if made.insert(parent.to_owned()) {
                let mut header = header(0o755, 0);
                header.set_entry_type(tar::EntryType::Directory);
                archive.append_data(&mut header, parent, io::empty())?;
            }
        }
        match file.contents {
            Contents::Bytes(target) if file.mode & 0o170_000 == 0o120_000 => {
                let mut header = header(0o777, 0);
                header.set_entry_type(tar::EntryType::Symlink);
                let target = std::str::from_utf8(target).map_err(io::Error::other)?;
                archive.append_link(&mut header, path, target)?;
            }
            Contents::Bytes(bytes) => {
                append(&mut archive, &path.to_string_lossy(), file.mode, bytes)?;
            }
            Contents::File(source) => {
                let source = File::open(source)?;
                let size = source.metadata()?.len();
                archive.append_data(&mut header(file.mode, size), path, source.take(size))?;
            }
        }
    }
    let Hashing { inner, hash, length: size } = archive.into_inner()?;
    let mut file = inner.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.rewind()?;
    Ok(Layer { file, digest: digest_text(hash), size })
}

fn append<W: Write>(
    archive: &mut tar::Builder<W>,
    name: &str,
    mode: u32,
    bytes: &[u8],
) -> io::Result<()> {
    archive.append_data(&mut header(mode, bytes.len() as u64), name, bytes)
}

fn header(mode: u32, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_mode(mode & 0o7777);
    header.set_size(size);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::ImageStore;

    #[test]
    fn what_is_built_imports() {
        assert!(nix::unistd::geteuid().is_root(), "this test needs root");
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("image.tar");
        let spec = ImageSpec {
            files: vec![
                ImageFile::new("/bin/tool", 0o755, b"#!"),
                ImageFile::new("bin/alias", 0o120_777, b"tool"),
            ],
            entrypoint: vec!["/bin/tool".into()],
            env: vec!["A=b".into()],
            ..ImageSpec::default()
        };
        build_image_tar(&out, "demo:1", &spec).unwrap();
        let store = ImageStore::open(&dir.path().join("data")).unwrap();
        let images = store.import(&out).unwrap();
        assert_eq!(images[0].repo_tags, ["docker.io/library/demo:1"]);
        assert_eq!(images[0].config.entrypoint, ["/bin/tool"]);
        let record = store.find("demo:1").unwrap();
        assert_eq!(store.find(&images[0].id).unwrap().layers, record.layers);
        assert_eq!(store.find(&images[0].repo_digests[0]).unwrap().layers, record.layers);
        let root = dir.path().join("data/layers").join(&record.layers[0]);
        assert_eq!(std::fs::read(root.join("bin/alias")).unwrap(), b"#!");

        store.remove("demo:1").unwrap();
        store.collect(&|layer| layer == record.layers[0]).unwrap();
        assert!(root.exists());
        store.collect(&|_| false).unwrap();
        assert!(!root.exists() && store.list().is_empty());
    }

    #[test]
    fn a_damaged_archive_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let store = ImageStore::open(&dir.path().join("data")).unwrap();
        let path = dir.path().join("bad.tar");
        std::fs::write(&path, b"not a tar at all").unwrap();
        assert!(store.import(&path).is_err());
        std::fs::write(&path, [0; 1024]).unwrap();
        let error = store.import(&path).unwrap_err().to_string();
        assert!(error.ends_with("neither an OCI layout nor a docker archive"), "{error}");
    }
}

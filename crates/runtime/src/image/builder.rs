//! Building a small image from files: demonstrations and tests need no registry.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::digest_of;
use super::model::{
    CONFIG, ConfigFile, Descriptor, INDEX, Index, LAYER_GZIP, MANIFEST, Manifest, Platform,
    ProcessConfig, RootFs,
};
use super::store::normalise;

/// A file of a new image.
#[derive(Debug, Clone)]
pub struct ImageFile<'a> {
    /// Path inside, with or without a leading slash; its parents are made.
    pub path: &'a str,
    /// Permission bits.
    pub mode: u32,
    /// Contents; for a symbolic link (`mode` has the type bits `0o120000`), its target.
    pub bytes: &'a [u8],
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
/// bytes.
///
/// # Errors
/// For a reference that does not parse, or where `out` cannot be written.
pub fn build_image_tar(out: &Path, reference: &str, spec: &ImageSpec<'_>) -> io::Result<()> {
    let name = normalise(reference).map_err(io::Error::other)?.whole();
    let tar = layer(&spec.files)?;
    let diff_id = digest_of(&tar);
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&tar)?;
    let layer = gzip.finish()?;
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
        rootfs: RootFs { kind: "layers".to_owned(), diff_ids: vec![diff_id] },
    })?;
    let manifest = serde_json::to_vec(&Manifest {
        schema_version: 2,
        media_type: MANIFEST.to_owned(),
        config: descriptor(CONFIG, &config),
        layers: vec![descriptor(LAYER_GZIP, &layer)],
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
    for blob in [&config, &layer, &manifest] {
        let name = format!("blobs/{}", digest_of(blob).replace(':', "/"));
        append(&mut archive, &name, 0o644, blob)?;
    }
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

fn layer(files: &[ImageFile<'_>]) -> io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
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
        if file.mode & 0o170_000 == 0o120_000 {
            let mut header = header(0o777, 0);
            header.set_entry_type(tar::EntryType::Symlink);
            let target = std::str::from_utf8(file.bytes).map_err(io::Error::other)?;
            archive.append_link(&mut header, path, target)?;
        } else {
            append(&mut archive, &path.to_string_lossy(), file.mode, file.bytes)?;
        }
    }
    archive.into_inner()
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
                ImageFile { path: "/bin/tool", mode: 0o755, bytes: b"#!" },
                ImageFile { path: "bin/alias", mode: 0o120_777, bytes: b"tool" },
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

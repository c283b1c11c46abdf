//! Writing an image archive that every tool loads: an OCI layout with docker's manifest beside it.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{COMMAND, DEFAULT_ARGS};

const PASSWD: &[u8] = b"root:x:0:0:root:/:/coxswain\nnobody:x:65534:65534:nobody:/:/coxswain\n";
const GROUP: &[u8] = b"root:x:0:\nnogroup:x:65534:\n";

/// Writes an image of one program.
pub(super) fn write(out: &Path, name: &str, program: &[u8]) -> io::Result<()> {
    let tar = layer(program)?;
    let diff_id = digest(&tar);
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&tar)?;
    let layer = gzip.finish()?;
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let config = json!({
        "architecture": architecture,
        "os": "linux",
        "config": {"Entrypoint": COMMAND, "Cmd": DEFAULT_ARGS, "Env": ["PATH=/", "FROM_IMAGE=yes"]},
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
    });
    let config = serde_json::to_vec(&config)?;
    let manifest = serde_json::to_vec(&json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar+gzip", &layer)],
    }))?;
    let mut entry = descriptor(MANIFEST, &manifest);
    let tag = name.rsplit('/').next().and_then(|last| last.split_once(':'));
    entry["annotations"] = json!({
        "io.containerd.image.name": name,
        "org.opencontainers.image.ref.name": tag.map_or("latest", |(_, tag)| tag),
    });
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]});
    // docker before version 25 reads this one only.
    let docker = json!([{
        "Config": blob(&config), "RepoTags": [name], "Layers": [blob(&layer)],
    }]);

    let mut archive = tar::Builder::new(BufWriter::new(File::create(out)?));
    append(&mut archive, "oci-layout", 0o644, br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    append(&mut archive, "index.json", 0o644, &serde_json::to_vec(&index)?)?;
    append(&mut archive, "manifest.json", 0o644, &serde_json::to_vec(&docker)?)?;
    for bytes in [&config, &layer, &manifest] {
        append(&mut archive, &blob(bytes), 0o644, bytes)?;
    }
    archive.into_inner()?.flush()
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

fn digest(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

fn blob(bytes: &[u8]) -> String {
    format!("blobs/{}", digest(bytes).replace(':', "/"))
}

fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": digest(bytes), "size": bytes.len()})
}

fn layer(program: &[u8]) -> io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, mode) in [("etc/", 0o755), ("tmp/", 0o1777)] {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Directory);
        header.set_size(0);
        header.set_mode(mode);
        header.set_mtime(0);
        archive.append_data(&mut header, path, io::empty())?;
    }
    append(&mut archive, "etc/passwd", 0o644, PASSWD)?;
    append(&mut archive, "etc/group", 0o644, GROUP)?;
    append(&mut archive, "coxswain", 0o755, program)?;
    archive.into_inner()
}

fn append<W: Write>(
    archive: &mut tar::Builder<W>,
    path: &str,
    mode: u32,
    bytes: &[u8],
) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(mode);
    header.set_mtime(0);
    archive.append_data(&mut header, path, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::io::Read;

    #[test]
    fn the_archive_is_read_by_its_digests() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("image.tar");
        write(&out, "example.org/test:v2", b"program").unwrap();
        let mut files = BTreeMap::new();
        for entry in tar::Archive::new(File::open(out).unwrap()).entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            files.insert(entry.path().unwrap().to_string_lossy().into_owned(), bytes);
        }
        let read = |path: &str| serde_json::from_slice::<Value>(&files[path]).unwrap();
        let index = read("index.json");
        let path = |digest: &Value| format!("blobs/{}", digest.as_str().unwrap().replace(':', "/"));
        let manifest = read(&path(&index["manifests"][0]["digest"]));
        let config = read(&path(&manifest["config"]["digest"]));
        assert_eq!(config["config"]["Entrypoint"], json!(COMMAND));
        let docker = read("manifest.json");
        assert_eq!(docker[0]["RepoTags"], json!(["example.org/test:v2"]));
        let layer = &files[docker[0]["Layers"][0].as_str().unwrap()];
        let mut tar = Vec::new();
        flate2::read::GzDecoder::new(&layer[..]).read_to_end(&mut tar).unwrap();
        assert_eq!(config["rootfs"]["diff_ids"][0], digest(&tar));
        for (path, bytes) in &files {
            if let Some(hex) = path.strip_prefix("blobs/sha256/") {
                assert_eq!(digest(bytes), format!("sha256:{hex}"));
            }
        }
    }
}

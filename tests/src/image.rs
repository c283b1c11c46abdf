//! A busybox image, made of the machine's own static busybox.

use std::io::Write;
use std::path::Path;

use serde_json::json;
use sha2::{Digest, Sha256};

use crate::command::tool;

/// Name of the image.
pub const BUSYBOX: &str = "coxswain.local/busybox:v1";

/// Commands that get a link in `/bin`.
const APPLETS: &[&str] = &[
    "cat", "cp", "date", "df", "echo", "env", "false", "grep", "head", "hostname", "id", "kill",
    "ls", "mkdir", "mount", "nc", "nslookup", "od", "printf", "rm", "seq", "sh", "sleep", "stat",
    "stty", "tail", "tar", "test", "touch", "tr", "true", "umask", "wc", "wget",
];

/// Writes the image as `docker save` would.
///
/// # Panics
/// The file cannot be written.
pub(crate) fn write_busybox(path: &Path) {
    let mut layer = tar::Builder::new(Vec::new());
    for dir in ["bin/", "etc/", "tmp/", "root/"] {
        append(
            &mut layer,
            dir,
            tar::EntryType::Directory,
            if dir == "tmp/" { 0o1777 } else { 0o755 },
            b"",
        );
    }
    let busybox = std::fs::read(tool("BUSYBOX")).expect("busybox");
    append(&mut layer, "bin/busybox", tar::EntryType::Regular, 0o755, &busybox);
    for applet in APPLETS {
        let mut header = header(tar::EntryType::Symlink, 0o777, 0);
        let name = format!("bin/{applet}");
        layer.append_link(&mut header, name, "busybox").expect("appended");
    }
    let passwd = b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n";
    append(&mut layer, "etc/passwd", tar::EntryType::Regular, 0o644, passwd);
    let layer = layer.into_inner().expect("a layer");
    let config = json!({
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
        "os": "linux",
        "config": {"Env": ["PATH=/bin"], "Cmd": ["sh"]},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", digest(&layer))]},
    })
    .to_string();
    let config_name = format!("{}.json", digest(config.as_bytes()));
    let manifest = json!([{"Config": config_name, "RepoTags": [BUSYBOX], "Layers": ["layer.tar"]}]);
    let mut archive = tar::Builder::new(std::fs::File::create(path).expect("the archive"));
    append(&mut archive, &config_name, tar::EntryType::Regular, 0o644, config.as_bytes());
    append(&mut archive, "layer.tar", tar::EntryType::Regular, 0o644, &layer);
    let manifest = manifest.to_string();
    append(&mut archive, "manifest.json", tar::EntryType::Regular, 0o644, manifest.as_bytes());
    archive.into_inner().expect("an archive").flush().expect("written");
}

fn header(kind: tar::EntryType, mode: u32, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

fn append<W: Write>(
    tar: &mut tar::Builder<W>,
    name: &str,
    kind: tar::EntryType,
    mode: u32,
    data: &[u8],
) {
    let mut header = header(kind, mode, data.len() as u64);
    tar.append_data(&mut header, name, data).expect("appended");
}

fn digest(data: &[u8]) -> String {
    Sha256::digest(data).iter().map(|byte| format!("{byte:02x}")).collect()
}

//! A path of the node itself.

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;

use k8s_openapi::api::core::v1::HostPathVolumeSource;

/// Why a path of the node is not what a volume wants.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Make(#[from] std::io::Error),
    #[error("{0} is an invalid volume type")]
    Type(String),
    #[error("hostPath type check failed: {path} is not {wanted}")]
    Mismatch { path: String, wanted: &'static str },
}

/// Checks that the path is what its type says, making it for the `OrCreate` types.
pub(super) fn check(source: &HostPathVolumeSource) -> Result<(), Error> {
    let path = Path::new(&source.path);
    let kind = source.type_.as_deref().unwrap_or_default();
    match kind {
        "DirectoryOrCreate" if !path.exists() => make_dirs(path)?,
        "FileOrCreate" if !path.exists() => {
            fs::write(path, b"")?;
            fs::set_permissions(path, fs::Permissions::from_mode(0o644))?;
        }
        _ => {}
    }
    if kind.is_empty() {
        return Ok(());
    }
    let file_type = fs::metadata(path).map(|metadata| metadata.file_type()).ok();
    let (fits, wanted) = match kind {
        "Directory" | "DirectoryOrCreate" => (file_type.map(|t| t.is_dir()), "a directory"),
        "File" | "FileOrCreate" => (file_type.map(|t| t.is_file()), "a file"),
        "Socket" => (file_type.map(|t| t.is_socket()), "a socket file"),
        "CharDevice" => (file_type.map(|t| t.is_char_device()), "a character device"),
        "BlockDevice" => (file_type.map(|t| t.is_block_device()), "a block device"),
        other => return Err(Error::Type(other.to_owned())),
    };
    if fits == Some(true) {
        return Ok(());
    }
    Err(Error::Mismatch { path: source.path.clone(), wanted })
}

/// Makes a directory and its parents for whoever the node's users are.
fn make_dirs(path: &Path) -> std::io::Result<()> {
    if path.exists() {
        return Ok(());
    }
    path.parent().map_or(Ok(()), make_dirs)?;
    fs::create_dir(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        fs::write(at("file"), b"").unwrap();
        let table = [
            ("file", "", true),
            ("none", "", true),
            ("file", "File", true),
            ("file", "Directory", false),
            ("none", "File", false),
            ("new/dir", "DirectoryOrCreate", true),
            ("newfile", "FileOrCreate", true),
            ("file", "Socket", false),
        ];
        for (name, kind, fits) in table {
            let source = HostPathVolumeSource { path: at(name), type_: Some(kind.into()) };
            assert_eq!(check(&source).is_ok(), fits, "{name} as {kind}");
        }
        let wrong = HostPathVolumeSource { path: at("file"), type_: Some("Directory".into()) };
        assert!(check(&wrong).unwrap_err().to_string().ends_with("is not a directory"));
    }
}

//! The manifest: which snapshot is live and which segment follows it.

use std::io;
use std::path::{Path, PathBuf};

use super::disk::Disk;
use crate::OpenError;

/// Contents of `MANIFEST`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Manifest {
    /// Revision of the live snapshot; zero when there is none.
    pub(crate) snapshot: u64,
    /// Sequence of the first segment not covered by the snapshot.
    pub(crate) first_segment: u64,
}

const MAGIC: &str = "coxswain-store 1";

pub(crate) fn path(dir: &Path) -> PathBuf {
    dir.join("MANIFEST")
}

pub(crate) fn segment_path(dir: &Path, sequence: u64) -> PathBuf {
    dir.join(format!("log-{sequence:016}"))
}

pub(crate) fn snapshot_path(dir: &Path, revision: u64) -> PathBuf {
    dir.join(format!("snapshot-{revision:016}"))
}

impl Manifest {
    /// Reads the manifest; `None` when the directory holds no store yet.
    pub(crate) fn read(dir: &Path) -> Result<Option<Self>, OpenError> {
        let path = path(dir);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(OpenError::Io { path: path.display().to_string(), source }),
        };
        Self::parse(&text).map(Some).ok_or_else(|| OpenError::Corrupt {
            file: path.display().to_string(),
            offset: 0,
            what: "not a manifest of this version".into(),
        })
    }

    fn parse(text: &str) -> Option<Self> {
        let (body, crc) = text.trim_end().rsplit_once('\n')?;
        if format!("crc {:08x}", crc32fast::hash(body.as_bytes())) != crc {
            return None;
        }
        let mut lines = body.lines();
        if lines.next()? != MAGIC {
            return None;
        }
        let mut number = |name| lines.next()?.strip_prefix(name)?.trim().parse().ok();
        Some(Self { snapshot: number("snapshot")?, first_segment: number("segment")? })
    }

    pub(crate) fn write(&self, disk: &dyn Disk, dir: &Path) -> io::Result<()> {
        let body = format!("{MAGIC}\nsnapshot {}\nsegment {}", self.snapshot, self.first_segment);
        let crc = crc32fast::hash(body.as_bytes());
        disk.replace(&path(dir), format!("{body}\ncrc {crc:08x}\n").as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_manifest_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Manifest::read(dir.path()).unwrap(), None);
        let manifest = Manifest { snapshot: 7, first_segment: 3 };
        manifest.write(&super::super::disk::Os, dir.path()).unwrap();
        assert_eq!(Manifest::read(dir.path()).unwrap(), Some(manifest));
        let text = std::fs::read_to_string(path(dir.path())).unwrap();
        std::fs::write(path(dir.path()), text.replace("snapshot 7", "snapshot 8")).unwrap();
        assert!(matches!(Manifest::read(dir.path()), Err(OpenError::Corrupt { .. })));
    }
}

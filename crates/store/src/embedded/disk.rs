//! The file operations whose failure the store must survive, in one place so tests can fail them.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// The file operations of the operating system that the engine uses; tests have others.
pub(crate) trait Disk: Send + Sync {
    /// Creates `path` with `len` zero bytes that are really allocated, synced.
    fn create_zeroed(&self, path: &Path, len: u64) -> io::Result<File>;
    /// Writes all of `buf` at `offset`.
    fn write_at(&self, file: &File, buf: &[u8], offset: u64) -> io::Result<()>;
    /// Makes written data durable.
    fn sync(&self, file: &File) -> io::Result<()>;
    /// Writes a whole file beside `path`, syncs it and renames it into place.
    fn replace(&self, path: &Path, contents: &[u8]) -> io::Result<()>;
    /// Makes creations, renames and removals in `dir` durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
}

/// Options for files that are for their owner only: the store holds every secret of the cluster.
pub(crate) fn private() -> OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

/// A new file, or an old one that is written anew.
pub(crate) fn create(path: &Path) -> io::Result<File> {
    private().write(true).create(true).truncate(true).open(path)
}

/// Makes the store's directory, and closes it and what is in it to others: an earlier version may
/// not have.
pub(crate) fn close(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let entries = std::fs::read_dir(dir)?.map(|entry| entry.map(|entry| entry.path()));
    for path in std::iter::once(Ok(dir.to_owned())).chain(entries) {
        let path = path?;
        let metadata = path.symlink_metadata()?;
        if metadata.is_symlink() || metadata.mode() & 0o077 == 0 {
            continue;
        }
        let mode = metadata.mode() & 0o700;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode))?;
    }
    Ok(())
}

/// The real thing.
pub(crate) struct Os;

impl Disk for Os {
    fn create_zeroed(&self, path: &Path, len: u64) -> io::Result<File> {
        let file = private().read(true).write(true).create(true).truncate(true).open(path)?;
        let zeros = vec![0u8; 1 << 20];
        let mut left = len;
        while left > 0 {
            let n = left.min(zeros.len() as u64);
            (&file).write_all(&zeros[..n as usize])?;
            left -= n;
        }
        file.sync_all()?;
        Ok(file)
    }

    fn write_at(&self, file: &File, buf: &[u8], offset: u64) -> io::Result<()> {
        file.write_all_at(buf, offset)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    fn replace(&self, path: &Path, contents: &[u8]) -> io::Result<()> {
        let tmp = path.with_extension("tmp");
        let mut file = create(&tmp)?;
        file.write_all(contents)?;
        file.sync_all()?;
        std::fs::rename(&tmp, path)?;
        self.sync_dir(path.parent().unwrap_or(Path::new(".")))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }
}

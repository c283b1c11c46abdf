//! Files and directories that are for their owner only, whatever the umask.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

const DIRECTORY: u32 = 0o700;
const FILE: u32 = 0o600;

/// Makes a directory and its parents, and closes it to others, also one that was there before.
///
/// # Errors
/// It cannot be created, or belongs to another user.
pub fn directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(DIRECTORY).create(path)?;
    close(path, DIRECTORY)
}

/// Opens a new file, or an old one to write it anew.
///
/// # Errors
/// It cannot be created, or belongs to another user.
pub fn create(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(FILE).open(path)?;
    if file.metadata()?.mode() & 0o7777 != FILE {
        file.set_permissions(Permissions::from_mode(FILE))?;
    }
    Ok(file)
}

/// Writes a file so that a reader sees all of it or nothing.
///
/// # Errors
/// It cannot be written; what was there stays.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("tmp");
    create(&temporary)?.write_all(bytes)?;
    std::fs::rename(&temporary, path)
}

/// Restricts the mode of a file that an earlier version created.
///
/// # Errors
/// It belongs to another user.
pub fn close_file(path: &Path) -> io::Result<()> {
    match close(path, FILE) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

fn close(path: &Path, mode: u32) -> io::Result<()> {
    if path.metadata()?.mode() & 0o777 & !mode == 0 {
        return Ok(());
    }
    std::fs::set_permissions(path, Permissions::from_mode(mode))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_could_read_is_closed() {
        let dir = tempfile::tempdir().unwrap();
        let mode = |path: &Path| path.metadata().unwrap().mode() & 0o777;
        let (sub, file) = (dir.path().join("a/b"), dir.path().join("file"));
        std::fs::create_dir_all(&sub).unwrap();
        std::fs::set_permissions(&sub, Permissions::from_mode(0o755)).unwrap();
        std::fs::write(&file, "old").unwrap();
        std::fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
        directory(&sub).unwrap();
        close_file(&file).unwrap();
        assert_eq!((mode(&sub), mode(&file)), (0o700, 0o600));
        std::fs::set_permissions(&file, Permissions::from_mode(0o666)).unwrap();
        write(&file, b"new").unwrap();
        assert_eq!(mode(&file), 0o600);
        close_file(&dir.path().join("none")).unwrap();
    }
}

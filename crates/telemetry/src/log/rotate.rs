//! A log file of bounded size.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// When a file is put aside and how many of those are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// Bytes after which a new file is begun.
    pub bytes: u64,
    /// Files that are kept besides the present one: `log.1` is the youngest of them.
    pub kept: u32,
}

impl Default for Rotation {
    fn default() -> Self {
        Self { bytes: 16 << 20, kept: 3 }
    }
}

/// A file that is appended to, and put aside when it has become too large.
#[derive(Debug)]
pub struct RotatingFile {
    path: PathBuf,
    rotation: Rotation,
    file: File,
    written: u64,
}

impl RotatingFile {
    /// Opens the file, which only its owner may read, to append to it.
    ///
    /// # Errors
    /// It cannot be opened or made.
    pub fn open(path: impl Into<PathBuf>, rotation: Rotation) -> io::Result<Self> {
        let path = path.into();
        let file = append(&path)?;
        let written = file.metadata()?.len();
        Ok(Self { path, rotation, file, written })
    }

    fn rotate(&mut self) -> io::Result<()> {
        for age in (1..self.rotation.kept).rev() {
            move_over(&aside(&self.path, age), &aside(&self.path, age + 1))?;
        }
        if self.rotation.kept == 0 {
            std::fs::remove_file(&self.path)?;
        } else {
            move_over(&self.path, &aside(&self.path, 1))?;
        }
        self.file = append(&self.path)?;
        self.written = 0;
        Ok(())
    }
}

impl Write for RotatingFile {
    /// Takes all of `line`, so that lines are not split between files.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let full = self.written + line.len() as u64 > self.rotation.bytes;
        // Where there is no new file the old one goes on: better too long than nothing.
        if full && self.written > 0 && self.rotate().is_err() {
            self.written = 0;
        }
        self.file.write_all(line)?;
        self.written += line.len() as u64;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

fn aside(path: &Path, age: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{age}"));
    name.into()
}

fn move_over(from: &Path, to: &Path) -> io::Result<()> {
    match std::fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn no_more_is_kept_than_allowed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut file = RotatingFile::open(&path, Rotation { bytes: 16, kept: 2 }).unwrap();
        for line in 0..10 {
            file.write_all(format!("line {line}\n").as_bytes()).unwrap();
        }
        let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
        assert_eq!(read("log"), "line 8\nline 9\n");
        assert_eq!(read("log.1"), "line 6\nline 7\n");
        assert_eq!(read("log.2"), "line 4\nline 5\n");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 3);
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn an_earlier_log_is_continued_and_counted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        std::fs::write(&path, "0123456789").unwrap();
        let mut file = RotatingFile::open(&path, Rotation { bytes: 16, kept: 1 }).unwrap();
        file.write_all(b"abc").unwrap();
        file.write_all(b"defghi").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "defghi");
        let aside = std::fs::read_to_string(dir.path().join("log.1")).unwrap();
        assert_eq!(aside, "0123456789abc");
    }

    #[test]
    fn a_line_longer_than_a_file_is_written_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut file = RotatingFile::open(&path, Rotation { bytes: 4, kept: 0 }).unwrap();
        file.write_all(b"a long line").unwrap();
        file.write_all(b"b").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "b");
    }
}

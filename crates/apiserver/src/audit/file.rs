//! The log file: begun anew when it is full, with the time in the names of older ones, as log
//! collectors know it from upstream.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::{Timestamp, ToSpan, tz::TimeZone};

/// How the time is written in the names of older files.
const TIME: &str = "%Y-%m-%dT%H-%M-%S%.3f";
/// Suffix of a compressed file.
const COMPRESSED: &str = ".gz";

/// When a file is full, and how long older ones are kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keeping {
    /// 0 for no bound.
    pub(super) bytes: u64,
    /// 0 for ever.
    pub(super) days: u64,
    /// 0 for all.
    pub(super) files: usize,
    pub(super) compress: bool,
}

/// The file that is written, and what becomes of it.
#[derive(Debug)]
pub(super) struct AuditFile {
    path: PathBuf,
    keeping: Keeping,
    file: File,
    written: u64,
    /// When one was last put aside.
    last: Timestamp,
}

impl AuditFile {
    /// Opens the file, which only its owner may read, to append to it.
    pub(super) fn open(path: &Path, keeping: Keeping) -> io::Result<Self> {
        if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
            DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        }
        let file = append(path)?;
        let written = file.metadata()?.len();
        let log = Self { path: path.to_owned(), keeping, file, written, last: Timestamp::MIN };
        log.clean();
        Ok(log)
    }

    /// Writes a line whole; one that is longer than a file has a file of its own.
    pub(super) fn line(&mut self, line: &[u8]) -> io::Result<()> {
        let size = line.len() as u64;
        let full = self.keeping.bytes > 0 && self.written + size > self.keeping.bytes;
        // Where there is no new file the old one goes on: better too long than nothing.
        if full
            && self.written > 0
            && let Err(why) = self.rotate()
        {
            tracing::error!(%why, path = %self.path.display(), "audit log not rotated");
            self.written = 0;
        }
        self.file.write_all(line)?;
        self.written += size;
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        // Later than the one before, even within a millisecond.
        let next = self.last.saturating_add(1.millisecond()).map_err(io::Error::other)?;
        let mut at = Timestamp::now().max(next);
        let mut aside = self.aside(at);
        while aside.exists() {
            at = at.saturating_add(1.millisecond()).map_err(io::Error::other)?;
            aside = self.aside(at);
        }
        self.last = at;
        std::fs::rename(&self.path, aside)?;
        self.file = append(&self.path)?;
        self.written = 0;
        self.clean();
        Ok(())
    }

    /// The beginning and the end of the names of older files.
    fn affixes(&self) -> (String, String) {
        let text = |part: Option<&std::ffi::OsStr>| {
            part.map(|part| part.to_string_lossy().into_owned()).unwrap_or_default()
        };
        let extension = text(self.path.extension());
        let dot = if extension.is_empty() { "" } else { "." };
        (format!("{}-", text(self.path.file_stem())), format!("{dot}{extension}"))
    }

    fn aside(&self, at: Timestamp) -> PathBuf {
        let (before, after) = self.affixes();
        let at = at.to_zoned(TimeZone::UTC).strftime(TIME);
        self.path.with_file_name(format!("{before}{at}{after}"))
    }

    /// The older files, the youngest first, and when each was put aside.
    fn older(&self) -> io::Result<Vec<(Timestamp, PathBuf)>> {
        let (before, after) = self.affixes();
        let dir = self.path.parent().filter(|dir| !dir.as_os_str().is_empty());
        let mut found = Vec::new();
        for entry in std::fs::read_dir(dir.unwrap_or(Path::new(".")))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let plain = name.strip_suffix(COMPRESSED).unwrap_or(&name);
            let time = plain.strip_prefix(&before).and_then(|rest| rest.strip_suffix(&after));
            let time = time.and_then(|time| jiff::civil::DateTime::strptime(TIME, time).ok());
            if let Some(time) = time.and_then(|time| time.to_zoned(TimeZone::UTC).ok()) {
                found.push((time.timestamp(), entry.path()));
            }
        }
        found.sort_by(|a, b| b.cmp(a));
        Ok(found)
    }

    /// Removes older files that are too many or too old, and compresses the others.
    fn clean(&self) {
        let older = self.older().unwrap_or_else(|why| {
            tracing::error!(%why, "older audit logs are not cleaned up");
            Vec::new()
        });
        let days = i64::try_from(self.keeping.days).unwrap_or(i64::MAX);
        let hours = days.saturating_mul(24).min(24 * 365 * 1000);
        let oldest = Timestamp::now().saturating_sub(hours.hours()).unwrap_or(Timestamp::MIN);
        for (i, (at, path)) in older.into_iter().enumerate() {
            let too_many = self.keeping.files > 0 && i >= self.keeping.files;
            let too_old = self.keeping.days > 0 && at < oldest;
            if too_many || too_old {
                if let Err(why) = std::fs::remove_file(&path) {
                    tracing::error!(%why, path = %path.display(), "older audit log not removed");
                }
            } else if self.keeping.compress && !path.to_string_lossy().ends_with(COMPRESSED) {
                // Nobody waits for that; where no runtime is, the next rotation does it.
                if let Ok(runtime) = tokio::runtime::Handle::try_current() {
                    runtime.spawn_blocking(move || {
                        if let Err(why) = compress(&path) {
                            let path = path.display();
                            tracing::error!(%why, %path, "older audit log not compressed");
                        }
                    });
                }
            }
        }
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

/// Replaces a file by its compressed form.
fn compress(path: &Path) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(COMPRESSED);
    let into =
        OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&name)?;
    let mut encoder = GzEncoder::new(into, Compression::default());
    io::copy(&mut File::open(path)?, &mut encoder)?;
    encoder.finish()?.sync_all()?;
    std::fs::remove_file(path)
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const KEEPING: Keeping = Keeping { bytes: 10, days: 0, files: 0, compress: false };

    fn names(dir: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(dir).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_full_file_is_put_aside_and_only_its_owner_reads_any() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/audit.log");
        let mut log = AuditFile::open(&path, Keeping { files: 2, ..KEEPING }).unwrap();
        for i in 0..6 {
            log.line(format!("line {i}\n").as_bytes()).unwrap();
        }
        let dir = path.parent().unwrap();
        let found = names(dir);
        assert_eq!(found.len(), 3, "{found:?}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "line 5\n");
        assert_eq!(std::fs::read_to_string(dir.join(&found[1])).unwrap(), "line 4\n");
        assert!(found[1].starts_with("audit-2") && found[1].ends_with(".log"), "{found:?}");
        for name in &found {
            let mode = std::fs::metadata(dir.join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
        assert_eq!(std::fs::metadata(dir).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn old_files_are_removed_and_others_let_be() {
        let dir = tempfile::tempdir().unwrap();
        let old = "audit-2001-01-01T00-00-00.000.log";
        for name in [old, "audit-old.log", "other-2001-01-01T00-00-00.000.log"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        let path = dir.path().join("audit.log");
        AuditFile::open(&path, KEEPING).unwrap();
        assert!(dir.path().join(old).exists());
        AuditFile::open(&path, Keeping { days: 1, ..KEEPING }).unwrap();
        assert_eq!(
            names(dir.path()),
            ["audit-old.log", "audit.log", "other-2001-01-01T00-00-00.000.log"]
        );
    }

    #[test]
    fn a_compressed_file_holds_what_the_other_held() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit-x.log");
        std::fs::write(&path, "text").unwrap();
        compress(&path).unwrap();
        let file = File::open(dir.path().join("audit-x.log.gz")).unwrap();
        let mut text = String::new();
        flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), path.exists()), ("text", false));
    }
}

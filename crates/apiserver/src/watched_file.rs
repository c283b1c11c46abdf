//! A file whose text is read again when it changes.

use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::path::{Path, PathBuf};

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::io::unix::AsyncFd;

/// Largest file.
const MAX: u64 = 4 << 20;
/// The link that a volume changes when all of its files change at once.
const DATA: &str = "..data";

/// Reads a file that an administrator names.
///
/// # Errors
/// It cannot be read, is not text, or is too large.
pub(crate) fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(path)?.take(MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the file is too large"));
    }
    Ok(text)
}

/// Tells when a file may have changed: written, or replaced by another or by a link.
pub(crate) struct WatchedFile {
    path: PathBuf,
    changes: AsyncFd<Changes>,
}

struct Changes(Inotify);

impl AsRawFd for Changes {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl WatchedFile {
    /// Watches a file, which need not be there.
    ///
    /// # Errors
    /// Its directory is not there, or the machine has no more watches.
    #[expect(deprecated, reason = "`Changes` owns its descriptor; the successor is unsafe")]
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        let file = Self { path: path.to_owned(), changes: AsyncFd::new(Changes(inotify))? };
        file.watch()?;
        Ok(file)
    }

    /// Watches the directories of the file and of what it links to. Done again it changes nothing.
    fn watch(&self) -> io::Result<()> {
        let flags = AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_ATTRIB;
        let inotify = &self.changes.get_ref().0;
        let directory = |path: &Path| match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        inotify.add_watch(&directory(&self.path), flags)?;
        if let Ok(target) = self.path.canonicalize() {
            inotify.add_watch(&directory(&target), flags)?;
        }
        Ok(())
    }

    /// Waits until it may have changed.
    pub(crate) async fn changed(&self) -> io::Result<()> {
        let own = self.path.file_name();
        loop {
            let mut ready = self.changes.readable().await?;
            let target = self.path.canonicalize().ok();
            let target = target.as_deref().and_then(Path::file_name);
            let mut changed = false;
            while let Ok(events) = ready.get_inner().0.read_events() {
                let names = events.iter().map(|event| event.name.as_deref());
                changed |= names.into_iter().any(|name| {
                    name.is_none() || name == own || name == target || name == Some(DATA.as_ref())
                });
            }
            ready.clear_ready();
            if changed {
                // A link may lead elsewhere now.
                let _ = self.watch();
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn every_way_to_change_a_file_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config");
        std::fs::write(&path, "a").unwrap();
        let file = WatchedFile::open(&path).unwrap();
        let changed = async || {
            tokio::time::timeout(Duration::from_secs(20), file.changed()).await.unwrap().unwrap();
        };
        std::fs::write(&path, "b").unwrap();
        changed().await;
        let next = dir.path().join("next");
        std::fs::write(&next, "c").unwrap();
        std::fs::rename(&next, &path).unwrap();
        changed().await;
        // As a mounted ConfigMap changes.
        for (version, text) in [("1", "d"), ("2", "e")] {
            let version = dir.path().join(version);
            std::fs::create_dir(&version).unwrap();
            std::fs::write(version.join("config"), text).unwrap();
            symlink(&version, dir.path().join("new")).unwrap();
            std::fs::rename(dir.path().join("new"), dir.path().join(DATA)).unwrap();
            if text == "d" {
                let _ = std::fs::remove_file(&path);
                symlink("..data/config", &path).unwrap();
            }
            while read(&path).unwrap() != text {
                changed().await;
            }
        }
        let other = async {
            std::fs::write(dir.path().join("other"), "x").unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        while tokio::time::timeout(Duration::from_millis(100), file.changed()).await.is_ok() {}
        tokio::select! {
            _ = file.changed() => panic!("another file"),
            () = other => {}
        }
    }

    #[test]
    fn a_file_has_a_bound() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("large");
        std::fs::File::create(&path).unwrap().set_len(MAX + 1).unwrap();
        assert_eq!(read(&path).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        assert!(read(Path::new("/dev/zero")).is_err());
    }
}

//! The log's files: the one being written and the one zeroed ahead.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use super::disk::Disk;
use super::manifest::segment_path;

/// The segment being appended to.
pub(crate) struct Segment {
    pub(crate) sequence: u64,
    pub(crate) file: File,
    /// Allocated bytes.
    pub(crate) len: u64,
    /// Where the next record goes; everything before it is synced.
    pub(crate) at: u64,
}

impl Segment {
    pub(crate) fn create(
        disk: &dyn Disk,
        dir: &Path,
        sequence: u64,
        len: u64,
    ) -> io::Result<Segment> {
        let path = segment_path(dir, sequence);
        let made = disk
            .create_zeroed(&path, len)
            .and_then(|file| disk.sync_dir(dir).map(|()| Segment { sequence, file, len, at: 0 }));
        if made.is_err() {
            // Half a segment on a full disk would keep the disk full.
            let _ = std::fs::remove_file(&path);
        }
        made
    }
}

/// Zeroes the next segment on a thread of its own, so that the writer finds it ready.
pub(crate) struct Ahead {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    len: u64,
    sequence: u64,
    making: Option<JoinHandle<io::Result<Segment>>>,
}

impl Ahead {
    pub(crate) fn new(disk: Arc<dyn Disk>, dir: PathBuf, len: u64, sequence: u64) -> Self {
        Self { disk, dir, len, sequence, making: None }
    }

    /// Starts zeroing the next segment unless that is under way.
    pub(crate) fn prepare(&mut self) {
        if self.making.is_none() {
            let (disk, dir, len, sequence) =
                (self.disk.clone(), self.dir.clone(), self.len, self.sequence);
            self.making = std::thread::Builder::new()
                .name("store-zero".into())
                .spawn(move || Segment::create(&*disk, &dir, sequence, len))
                .ok();
        }
    }

    /// Takes the next segment, of at least `need` bytes, making it now if it is not ready.
    pub(crate) fn take(&mut self, need: u64) -> io::Result<Segment> {
        let ready = match self.making.take().map(JoinHandle::join) {
            Some(Ok(Ok(segment))) if segment.len >= need => segment,
            _ => Segment::create(&*self.disk, &self.dir, self.sequence, self.len.max(need))?,
        };
        self.sequence += 1;
        Ok(ready)
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        if let Some(making) = self.making.take() {
            let _ = making.join();
        }
    }
}

//! The log's files: the one being written and the one zeroed ahead.

use std::fs::{File, OpenOptions};
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

    /// Makes segment `sequence` of at least `len` bytes, of a spare one if there is one.
    fn next(
        disk: &dyn Disk,
        dir: &Path,
        spare: Option<u64>,
        sequence: u64,
        len: u64,
    ) -> io::Result<Segment> {
        match spare.map(|old| Segment::reuse(disk, dir, old, sequence)) {
            Some(Ok(segment)) if segment.len >= len => Ok(segment),
            _ => Segment::create(disk, dir, sequence, len),
        }
    }

    /// Makes segment `old`, which holds nothing of use, the segment `sequence`.
    fn reuse(disk: &dyn Disk, dir: &Path, old: u64, sequence: u64) -> io::Result<Segment> {
        let path = segment_path(dir, sequence);
        std::fs::rename(segment_path(dir, old), &path)?;
        let file = OpenOptions::new().read(true).write(true).open(&path)?;
        let len = file.metadata()?.len();
        disk.sync_dir(dir)?;
        Ok(Segment { sequence, file, len, at: 0 })
    }
}

/// Segments kept for reuse, at most.
const SPARES: usize = 3;

/// Makes the next segment ready on a thread of its own, so that the writer finds it: one that a
/// snapshot has made superfluous, since zeroing a new one writes as many bytes as the log itself.
///
/// The old content of a reused segment stays in it until it is written over. Recovery knows such
/// records by
/// their revisions, which are not above those before them.
pub(crate) struct Ahead {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    len: u64,
    sequence: u64,
    spares: Vec<u64>,
    making: Option<JoinHandle<io::Result<Segment>>>,
}

impl Ahead {
    pub(crate) fn new(disk: Arc<dyn Disk>, dir: PathBuf, len: u64, sequence: u64) -> Self {
        Self { disk, dir, len, sequence, spares: Vec::new(), making: None }
    }

    /// Takes over a segment that holds nothing of use: to use it again, or to remove it.
    pub(crate) fn recycle(&mut self, sequence: u64) {
        if self.spares.len() < SPARES {
            self.spares.push(sequence);
        } else {
            let _ = std::fs::remove_file(segment_path(&self.dir, sequence));
        }
    }

    /// Removes all segments that are kept for use, with what they hold.
    pub(crate) fn clear(&mut self) {
        if let Some(Ok(Ok(ready))) = self.making.take().map(JoinHandle::join) {
            let _ = std::fs::remove_file(segment_path(&self.dir, ready.sequence));
        }
        for spare in self.spares.drain(..) {
            let _ = std::fs::remove_file(segment_path(&self.dir, spare));
        }
    }

    /// Starts making the next segment unless that is under way.
    pub(crate) fn prepare(&mut self) {
        if self.making.is_none() {
            let (disk, dir, len, sequence) =
                (self.disk.clone(), self.dir.clone(), self.len, self.sequence);
            let spare = self.spares.pop();
            self.making = std::thread::Builder::new()
                .name("store-ahead".into())
                .spawn(move || Segment::next(&*disk, &dir, spare, sequence, len))
                .ok();
        }
    }

    /// Takes the next segment, of at least `need` bytes, making it now if it is not ready.
    pub(crate) fn take(&mut self, need: u64) -> io::Result<Segment> {
        let ready = match self.making.take().map(JoinHandle::join) {
            Some(Ok(Ok(segment))) if segment.len >= need => segment,
            _ => {
                let (spare, len) = (self.spares.pop(), self.len.max(need));
                Segment::next(&*self.disk, &self.dir, spare, self.sequence, len)?
            }
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

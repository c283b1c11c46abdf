//! The embedded engine: all state in memory, durable by a segmented log and snapshots.
//!
//! ```text
//! dir/LOCK                  held while open
//! dir/MANIFEST              names the live snapshot (written by tmp + rename)
//! dir/snapshot-<revision>   every key at that revision
//! dir/log-<sequence>        changes, append only, zeroed ahead
//! ```
//!
//! Authors admit their changes into the next batch while a writer thread writes the one before,
//! syncs it once and only then acknowledges.

mod acks;
mod admission;
mod disk;
mod manifest;
mod record;
mod recovery;
mod segment;
mod snapshot;
mod writer;

#[cfg(test)]
mod fuzz_tests;
#[cfg(test)]
mod overlap_tests;
#[cfg(test)]
mod tests;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::{oneshot, watch};

use crate::{CommitError, Feed, Op, OpenError, Revision, Store};
use acks::Reply;
use admission::Admission;
use disk::Disk;

/// Sizes of the embedded engine's files.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Bytes of one log segment, zeroed ahead of use.
    pub segment_bytes: u64,
    /// Log bytes after which a snapshot is taken (or the size of the live state, if larger).
    pub snapshot_after: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { segment_bytes: 16 << 20, snapshot_after: 32 << 20 }
    }
}

/// A store in a directory of this machine. Dropping it syncs and stops its writer.
pub struct Embedded {
    admission: Arc<Admission>,
    failed: watch::Receiver<Option<Arc<str>>>,
    writer: Option<std::thread::JoinHandle<()>>,
    dropped: Option<String>,
    dir: PathBuf,
}

impl Embedded {
    /// Opens or creates the store in `dir`, verifying every record.
    ///
    /// A torn tail (never acknowledged) is cut; damage before it is [`OpenError::Corrupt`].
    pub fn open(dir: &Path, options: Options) -> Result<Self, OpenError> {
        Self::open_on(Arc::new(disk::Os), dir, options)
    }

    fn open_on(disk: Arc<dyn Disk>, dir: &Path, options: Options) -> Result<Self, OpenError> {
        let mut recovered = recovery::recover(&*disk, dir, options)?;
        let dropped = recovered.dropped.take();
        let (fail, failed) = watch::channel(None);
        let (admission, writer) = writer::spawn(disk, dir.to_owned(), options, recovered, fail)
            .map_err(|source| OpenError::Io { path: "log writer thread".into(), source })?;
        Ok(Self { admission, failed, writer: Some(writer), dropped, dir: dir.to_owned() })
    }

    /// A message about the damaged end of the log that was dropped. A crash leaves such a
    /// tail when it interrupts a write that nobody was told of.
    #[must_use]
    pub fn dropped(&self) -> Option<&str> {
        self.dropped.as_deref()
    }

    fn ask<T: Send + 'static>(
        &self,
        how: impl FnOnce(&Admission, Reply<T>),
    ) -> BoxFuture<'static, Result<T, CommitError>> {
        let (reply, answer) = oneshot::channel();
        // A store that accepts nothing more drops `reply`, which the await below reports.
        how(&self.admission, reply);
        let failed = self.failed.clone();
        async move {
            match answer.await {
                Ok(result) => result,
                Err(_) => Err(CommitError::Failed(
                    failed.borrow().clone().unwrap_or_else(|| "the store is closed".into()),
                )),
            }
        }
        .boxed()
    }
}

impl Store for Embedded {
    fn commit(&self, op: Op) -> BoxFuture<'static, Result<Revision, CommitError>> {
        self.ask(|admission, reply| admission.commit(op, reply))
    }

    fn feed(&self) -> BoxFuture<'static, Result<Feed, CommitError>> {
        self.ask(Admission::feed)
    }

    fn compact(&self) -> BoxFuture<'static, Result<(), CommitError>> {
        self.ask(Admission::compact)
    }

    fn failed(&self) -> BoxFuture<'static, Arc<str>> {
        let mut failed = self.failed.clone();
        async move {
            let reason = failed.wait_for(Option::is_some).await.ok().and_then(|r| r.clone());
            match reason {
                Some(reason) => reason,
                None => std::future::pending().await,
            }
        }
        .boxed()
    }

    fn size(&self) -> u64 {
        let files = std::fs::read_dir(&self.dir).into_iter().flatten().flatten();
        files.filter_map(|file| file.metadata().ok()).map(|file| file.blocks() * 512).sum()
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.admission.close();
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

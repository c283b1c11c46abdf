//! Where objects live: revisioned keys and bytes behind one small contract.
//!
//! The store never parses a value. Its contract is the part of etcd's that Kubernetes uses:
//! a single, gapless revision counter, compare-and-set on a key's modification revision, and an
//! ordered stream of every change.

mod embedded;

use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::sync::mpsc;

pub use embedded::{Embedded, Options};

/// The store's clock: incremented by one for every committed change.
pub type Revision = u64;

/// A key, such as `/registry/pods/default/web-0`.
pub type Key = Arc<str>;

/// The precondition of a change on the present state of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// The key must not exist.
    Absent,
    /// The key must exist and have last been modified at this revision.
    At(Revision),
}

/// Bytes to store under a key.
#[derive(Clone, Debug)]
pub struct Value {
    /// The bytes, without the revision.
    pub bytes: Bytes,
    /// Byte offset at which the decimal commit revision is inserted, so that readers get the
    /// finished bytes and nobody encodes twice.
    pub revision_at: usize,
}

/// One compare-and-set.
#[derive(Clone, Debug)]
pub struct Op {
    /// The key to change.
    pub key: Key,
    /// The condition on its present state.
    pub expect: Expect,
    /// The new value, or `None` to delete.
    pub value: Option<Value>,
}

/// The present state of a key. Cloning shares the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The value with the revision of its last change spliced in.
    pub bytes: Bytes,
    /// Byte offset of that revision within `bytes`.
    pub revision_at: usize,
    /// Revision at which the key was created.
    pub created: Revision,
    /// Revision of the last change.
    pub modified: Revision,
}

/// A committed change.
#[derive(Clone, Debug)]
pub struct Event {
    /// The revision the change was committed at.
    pub revision: Revision,
    /// The key that changed.
    pub key: Key,
    /// The new state, or `None` when the key was deleted.
    pub record: Option<Record>,
}

/// The whole state at one revision, and everything that is committed after it.
pub struct Feed {
    /// Revision of `records`.
    pub revision: Revision,
    /// Every key and its state at `revision`, in key order.
    pub records: imbl::OrdMap<Key, Record>,
    /// Changes after `revision`, in order, without gaps, in the batches they were committed in.
    pub events: mpsc::UnboundedReceiver<Arc<[Event]>>,
}

/// Why a commit was refused.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum CommitError {
    /// The expectation did not hold; carries the key's modification revision, if it exists.
    #[error("the key is at revision {0:?}")]
    Conflict(Option<Revision>),
    /// There is no space to make the change durable. Nothing was changed; a later try may succeed.
    #[error("no space left for the log: {0}")]
    Full(String),
    /// The store has failed for good and accepts nothing more.
    #[error("the store has failed: {0}")]
    Failed(Arc<str>),
}

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory cannot be used.
    #[error("{path}: {source}")]
    Io {
        /// The file or directory concerned.
        path: String,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// Another process has the store open.
    #[error("{0} is in use by another process")]
    InUse(String),
    /// Acknowledged data is damaged. Nothing was changed on disk.
    #[error(
        "{file} is corrupt at byte {offset}: {what}; acknowledged writes follow it, so it will not \
         be cut; restore the directory from a backup, or move the file away to lose what it holds"
    )]
    Corrupt {
        /// The damaged file.
        file: String,
        /// Offset of the first bad record.
        offset: u64,
        /// The reason.
        what: String,
    },
}

/// The contract every engine keeps.
///
/// * A commit that was acknowledged survives the death of the process and of the machine.
/// * Revisions are given out in commit order without gaps.
/// * An event is delivered to every feed before its commit is acknowledged.
pub trait Store: Send + Sync + 'static {
    /// Applies `op` if its expectation holds, durably, and gives the revision it was committed at.
    fn commit(&self, op: Op) -> BoxFuture<'static, Result<Revision, CommitError>>;
    /// The present state and all that follows.
    fn feed(&self) -> BoxFuture<'static, Result<Feed, CommitError>>;
    /// Leaves nothing in the files of values that are no more, and resolves when that is done.
    fn compact(&self) -> BoxFuture<'static, Result<(), CommitError>>;
    /// Resolves with the reason when the store has failed for good; the process should then exit.
    fn failed(&self) -> BoxFuture<'static, Arc<str>>;
    /// Bytes that its files take.
    fn size(&self) -> u64;
}

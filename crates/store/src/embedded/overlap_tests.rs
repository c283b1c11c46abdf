//! Writes that are admitted while a batch is on its way to the disk.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;

use super::disk::{Disk, Os};
use super::{Embedded, Options};
use crate::{CommitError, Expect, Op, Revision, Store, Value};

const OPTIONS: Options = Options { segment_bytes: 4096, snapshot_after: 1 << 30 };

#[derive(Clone, Copy, PartialEq)]
enum At {
    Sync,
    Create,
}

/// Stops at one kind of operation while it is armed, and lets the test decide how that goes.
struct Gated {
    at: At,
    armed: AtomicBool,
    reached: Sender<()>,
    verdict: Mutex<Receiver<io::Result<()>>>,
}

impl Gated {
    fn pass(&self, at: At) -> io::Result<()> {
        if self.at != at || !self.armed.load(Ordering::SeqCst) {
            return Ok(());
        }
        self.reached.send(()).unwrap();
        self.verdict.lock().unwrap().recv().unwrap()
    }
}

impl Disk for Gated {
    fn create_zeroed(&self, path: &Path, len: u64) -> io::Result<File> {
        self.pass(At::Create)?;
        Os.create_zeroed(path, len)
    }
    fn write_at(&self, file: &File, buf: &[u8], offset: u64) -> io::Result<()> {
        Os.write_at(file, buf, offset)
    }
    fn sync(&self, file: &File) -> io::Result<()> {
        self.pass(At::Sync)?;
        Os.sync(file)
    }
    fn replace(&self, path: &Path, contents: &[u8]) -> io::Result<()> {
        Os.replace(path, contents)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        Os.sync_dir(dir)
    }
}

struct Stage {
    dir: tempfile::TempDir,
    store: Embedded,
    disk: Arc<Gated>,
    reached: Receiver<()>,
    verdict: Sender<io::Result<()>>,
}

type Answer = BoxFuture<'static, Result<Revision, CommitError>>;

impl Stage {
    /// A store with `/a` at revision 1, whose next operation of this kind will wait.
    fn new(at: At) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (reached_tx, reached) = channel();
        let (verdict, verdict_rx) = channel();
        let disk = Arc::new(Gated {
            at,
            armed: AtomicBool::new(false),
            reached: reached_tx,
            verdict: Mutex::new(verdict_rx),
        });
        let store = Embedded::open_on(disk.clone(), dir.path(), OPTIONS).unwrap();
        assert_eq!(run(store.commit(put("/a", Expect::Absent, 10))), Ok(1));
        disk.armed.store(true, Ordering::SeqCst);
        Self { dir, store, disk, reached, verdict }
    }

    /// Commits `op`, which reaches the gate.
    fn under_way(&self, op: Op) -> Answer {
        let answer = self.store.commit(op);
        self.reached.recv().unwrap();
        answer
    }

    fn go(&self, outcome: io::Result<()>) {
        self.disk.armed.store(false, Ordering::SeqCst);
        self.verdict.send(outcome).unwrap();
    }

    fn keys_after_reopening(self) -> Vec<String> {
        drop(self.store);
        let store = Embedded::open(self.dir.path(), OPTIONS).unwrap();
        keys(&store)
    }
}

fn keys(store: &Embedded) -> Vec<String> {
    let feed = run(store.feed()).unwrap();
    feed.records.iter().map(|(key, record)| format!("{key}@{}", record.modified)).collect()
}

fn put(key: &str, expect: Expect, len: usize) -> Op {
    let bytes = Bytes::from(vec![b'v'; len]);
    Op { key: key.into(), expect, value: Some(Value { bytes, revision_at: 0 }) }
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

#[test]
fn nothing_is_told_of_a_change_before_it_is_durable() {
    let stage = Stage::new(At::Sync);
    let mut first = stage.under_way(put("/a", Expect::At(1), 20));
    // Each of these sees the change that is being synced.
    let mut conflict = stage.store.commit(put("/a", Expect::At(1), 30));
    let mut next = stage.store.commit(put("/a", Expect::At(2), 40));
    let mut feed = stage.store.feed();
    for answer in [&mut first, &mut conflict, &mut next] {
        assert_eq!(answer.now_or_never(), None);
    }
    assert!((&mut feed).now_or_never().is_none());
    stage.go(Ok(()));
    assert_eq!(run(first), Ok(2));
    assert_eq!(run(conflict), Err(CommitError::Conflict(Some(2))));
    assert_eq!(run(next), Ok(3));
    let mut feed = run(feed).unwrap();
    assert_eq!((feed.revision, feed.records["/a"].modified), (3, 3));
    assert_eq!(run(stage.store.commit(put("/b", Expect::Absent, 1))), Ok(4));
    assert_eq!(run(feed.events.recv()).unwrap()[0].revision, 4);
    assert_eq!(stage.keys_after_reopening(), ["/a@3", "/b@4"]);
}

#[test]
fn a_failed_sync_fails_what_was_admitted_meanwhile_and_writes_none_of_it() {
    let stage = Stage::new(At::Sync);
    let first = stage.under_way(put("/b", Expect::Absent, 20));
    let later = [
        stage.store.commit(put("/b", Expect::At(2), 20)),
        stage.store.commit(put("/b", Expect::Absent, 20)),
        stage.store.commit(put("/c", Expect::Absent, 20)),
    ];
    let feed = stage.store.feed();
    stage.go(Err(io::Error::other("EIO")));
    for answer in later.into_iter().chain([first]) {
        assert!(matches!(run(answer), Err(CommitError::Failed(why)) if why.contains("EIO")));
    }
    assert!(matches!(run(feed), Err(CommitError::Failed(_))));
    let after = run(stage.store.commit(put("/d", Expect::Absent, 1)));
    assert!(matches!(after, Err(CommitError::Failed(_))));
    // The batch being synced may have reached the disk; later ones must not.
    let found = stage.keys_after_reopening();
    assert!(found == ["/a@1"] || found == ["/a@1", "/b@2"], "{found:?}");
}

#[test]
fn a_refused_batch_takes_with_it_what_was_built_on_it() {
    let stage = Stage::new(At::Create);
    // Too big for the segment.
    let first = stage.under_way(put("/a", Expect::At(1), 5000));
    let later = [
        stage.store.commit(put("/a", Expect::At(2), 20)),
        stage.store.commit(Op { key: "/a".into(), expect: Expect::At(3), value: None }),
        stage.store.commit(put("/a", Expect::Absent, 20)),
        stage.store.commit(put("/b", Expect::Absent, 20)),
        stage.store.commit(put("/b", Expect::Absent, 20)),
    ];
    let feed = stage.store.feed();
    stage.go(Err(io::Error::from(io::ErrorKind::StorageFull)));
    for answer in later.into_iter().chain([first]) {
        assert!(matches!(run(answer), Err(CommitError::Full(_))));
    }
    let mut feed = run(feed).unwrap();
    assert_eq!((feed.revision, feed.records["/a"].modified, feed.records.len()), (1, 1, 1));
    assert_eq!(
        run(stage.store.commit(put("/a", Expect::At(3), 20))),
        Err(CommitError::Conflict(Some(1)))
    );
    assert_eq!(run(stage.store.commit(put("/a", Expect::At(1), 5000))), Ok(2));
    assert_eq!(run(stage.store.commit(put("/b", Expect::Absent, 20))), Ok(3));
    let seen = [run(feed.events.recv()).unwrap(), run(feed.events.recv()).unwrap()];
    assert_eq!(seen.map(|batch| batch[0].revision), [2, 3]);
    assert_eq!(stage.keys_after_reopening(), ["/a@2", "/b@3"]);
}

#[test]
fn many_authors_at_once_leave_one_history_through_snapshots() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { segment_bytes: 4096, snapshot_after: 10_000 };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).build().unwrap();
    let want = runtime.block_on(async {
        let store = Arc::new(Embedded::open(dir.path(), options).unwrap());
        let mut feed = store.feed().await.unwrap();
        let authors = (0..32).map(|author| {
            let store = store.clone();
            tokio::spawn(async move {
                let (key, mut expect) = (format!("/{author:02}"), Expect::Absent);
                for i in 0..100 {
                    let revision = store.commit(put(&key, expect, i * 7 % 300)).await.unwrap();
                    expect = Expect::At(revision);
                }
                (key, expect)
            })
        });
        let ends = futures::future::try_join_all(authors).await.unwrap();
        let mut last = 0;
        while last < 3200 {
            for event in feed.events.recv().await.unwrap().iter() {
                assert_eq!(event.revision, last + 1);
                last += 1;
            }
        }
        ends.into_iter()
            .map(|(key, expect)| match expect {
                Expect::At(revision) => format!("{key}@{revision}"),
                Expect::Absent => key,
            })
            .collect::<Vec<_>>()
    });
    drop(runtime);
    let store = Embedded::open(dir.path(), options).unwrap();
    assert_eq!(keys(&store), want);
}

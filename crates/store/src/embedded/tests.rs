//! Crashes, damage and full disks.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use proptest::prelude::*;

use super::disk::{Disk, Os};
use super::manifest::segment_path;
use super::{Embedded, Options};
use crate::{CommitError, Expect, Op, OpenError, Store, Value};

pub(super) const SMALL: Options = Options { segment_bytes: 4096, snapshot_after: 10_000 };

pub(super) fn put(key: &str, expect: Expect, body: &str) -> Op {
    let bytes = Bytes::from(format!("rev=;{body}"));
    Op { key: key.into(), expect, value: Some(Value { bytes, revision_at: 4 }) }
}

fn delete(key: &str, revision: u64) -> Op {
    Op { key: key.into(), expect: Expect::At(revision), value: None }
}

pub(super) fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

pub(super) async fn dump(store: &Embedded) -> Vec<(String, String)> {
    let feed = store.feed().await.unwrap();
    feed.records
        .iter()
        .map(|(k, r)| (k.to_string(), String::from_utf8(r.bytes.to_vec()).unwrap()))
        .collect()
}

#[test]
fn compares_splices_and_feeds_in_order() {
    let dir = tempfile::tempdir().unwrap();
    run(async {
        let store = Embedded::open(dir.path(), SMALL).unwrap();
        let mut feed = store.feed().await.unwrap();
        assert_eq!(store.commit(put("/a", Expect::Absent, "x")).await, Ok(1));
        let again = store.commit(put("/a", Expect::Absent, "y")).await;
        assert_eq!(again, Err(CommitError::Conflict(Some(1))));
        assert_eq!(store.commit(put("/a", Expect::At(1), "z")).await, Ok(2));
        assert_eq!(store.commit(delete("/a", 1)).await, Err(CommitError::Conflict(Some(2))));
        assert_eq!(
            store.commit(put("/b", Expect::At(9), "")).await,
            Err(CommitError::Conflict(None))
        );
        assert_eq!(dump(&store).await, [("/a".into(), "rev=2;z".into())]);
        assert_eq!(store.commit(delete("/a", 2)).await, Ok(3));
        let mut seen = Vec::new();
        while seen.len() < 3 {
            for event in feed.events.recv().await.unwrap().iter() {
                seen.push((event.revision, event.record.as_ref().map(|r| r.created)));
            }
        }
        assert_eq!(seen, [(1, Some(1)), (2, Some(1)), (3, None)]);
    });
}

/// Returns true if a text stands in a file of the store.
fn on_disk(dir: &Path, text: &str) -> bool {
    let files = std::fs::read_dir(dir).unwrap();
    files
        .map(|file| std::fs::read(file.unwrap().path()).unwrap())
        .any(|bytes| bytes.windows(text.len()).any(|window| window == text.as_bytes()))
}

#[test]
fn compaction_leaves_nothing_of_what_is_no_more() {
    let dir = tempfile::tempdir().unwrap();
    run(async {
        let store = Embedded::open(dir.path(), SMALL).unwrap();
        let mut at = store.commit(put("/a", Expect::Absent, "the password")).await.unwrap();
        at = store.commit(put("/a", Expect::At(at), "sealed")).await.unwrap();
        assert!(on_disk(dir.path(), "the password"));
        store.compact().await.unwrap();
        assert!(!on_disk(dir.path(), "the password"));
        // Also not in segments that are kept for use.
        for i in 0..200 {
            let body = format!("another password {i} {}", "x".repeat(200));
            at = store.commit(put("/a", Expect::At(at), &body)).await.unwrap();
        }
        at = store.commit(put("/a", Expect::At(at), "sealed")).await.unwrap();
        assert!(on_disk(dir.path(), "another password"));
        store.compact().await.unwrap();
        store.compact().await.unwrap();
        assert!(!on_disk(dir.path(), "another password"));
        store.commit(put("/a", Expect::At(at), "after")).await.unwrap();
        drop(store);
        let store = Embedded::open(dir.path(), SMALL).unwrap();
        assert_eq!(dump(&store).await, [("/a".into(), format!("rev={};after", at + 1))]);
    });
}

#[test]
fn a_directory_is_held_by_one_store() {
    let dir = tempfile::tempdir().unwrap();
    let _first = Embedded::open(dir.path(), SMALL).unwrap();
    assert!(matches!(Embedded::open(dir.path(), SMALL), Err(OpenError::InUse(_))));
}

#[test]
fn snapshots_give_space_back_and_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let expected = run(async {
        let store = Embedded::open(dir.path(), SMALL).unwrap();
        let mut revision = store.commit(put("/k", Expect::Absent, "0")).await.unwrap();
        for i in 1..500 {
            let body = format!("{i}{}", "x".repeat(500));
            revision = store.commit(put("/k", Expect::At(revision), &body)).await.unwrap();
        }
        dump(&store).await
    });
    let size: u64 =
        std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).sum();
    assert!(size < 60_000, "250 kB were written, {size} bytes are kept");
    let store = Embedded::open(dir.path(), SMALL).unwrap();
    assert_eq!(run(dump(&store)), expected);
    assert_eq!(run(store.commit(put("/n", Expect::Absent, ""))), Ok(501));
}

#[test]
fn a_reused_segment_reads_as_what_was_written_last_at_every_crash() {
    let dir = tempfile::tempdir().unwrap();
    run(async {
        let store = Embedded::open(dir.path(), SMALL).unwrap();
        let mut revision = store.commit(put("/k", Expect::Absent, "0")).await.unwrap();
        let mut opened = 0;
        for i in 1..400 {
            let body = format!("{i}{}", "x".repeat(i * 37 % 700));
            revision = store.commit(put("/k", Expect::At(revision), &body)).await.unwrap();
            let crashed = tempfile::tempdir().unwrap();
            // The manifest last: what an older one names may be gone when it is copied.
            let listed = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name());
            let mut names: Vec<_> = listed.collect();
            names.sort_by_key(|name| name == "MANIFEST");
            for name in names {
                // Files may go meanwhile, as they may before a crash.
                let _ = std::fs::copy(dir.path().join(&name), crashed.path().join(&name));
            }
            match Embedded::open(crashed.path(), SMALL) {
                Ok(copy) => {
                    opened += 1;
                    let found = dump(&copy).await;
                    assert_eq!(found, [("/k".into(), format!("rev={revision};{body}"))]);
                }
                // The snapshot was made after the names were listed.
                Err(OpenError::Io { .. }) => {}
                Err(e) => panic!("after {i}: {e}"),
            }
        }
        assert!(opened > 300, "only {opened} copies could be opened");
    });
}

/// A log with three separately acknowledged records, and the offsets where they start.
fn three_records(dir: &Path) -> (PathBuf, Vec<u64>) {
    let options = Options { segment_bytes: 4096, snapshot_after: 1 << 30 };
    run(async {
        let store = Embedded::open(dir, options).unwrap();
        for key in ["/1", "/2", "/3"] {
            store.commit(put(key, Expect::Absent, "0123456789")).await.unwrap();
        }
    });
    let path = segment_path(dir, 1);
    let bytes = std::fs::read(&path).unwrap();
    let mut starts = vec![0u64];
    for _ in 0..3 {
        let at = *starts.last().unwrap() as usize;
        let len = u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        starts.push(at as u64 + 8 + u64::from(len));
    }
    (path, starts)
}

#[test]
fn every_torn_tail_is_cut() {
    let made = tempfile::tempdir().unwrap();
    let (path, starts) = three_records(made.path());
    let whole = std::fs::read(&path).unwrap();
    for cut in starts[2]..starts[3] {
        let mut torn = whole.clone();
        torn[cut as usize..].fill(0);
        std::fs::write(&path, &torn).unwrap();
        let store = Embedded::open(made.path(), SMALL).unwrap();
        let keys: Vec<_> = run(dump(&store)).into_iter().map(|(k, _)| k).collect();
        // Trailing zero bytes of the frame itself may be indistinguishable from the whole record.
        assert!(keys == ["/1", "/2"] || torn == whole, "cut at {cut}: {keys:?}");
    }
}

#[test]
fn every_flipped_bit_before_the_tail_is_refused() {
    let made = tempfile::tempdir().unwrap();
    let (path, starts) = three_records(made.path());
    let whole = std::fs::read(&path).unwrap();
    for at in 0..starts[2] {
        let mut flipped = whole.clone();
        flipped[at as usize] ^= 1 << (at % 8);
        std::fs::write(&path, &flipped).unwrap();
        match Embedded::open(made.path(), SMALL) {
            Err(OpenError::Corrupt { offset, .. }) => assert!(offset <= at),
            Err(e) => panic!("byte {at}: {e}"),
            Ok(_) => panic!("byte {at}: the damage was not noticed"),
        }
        assert_eq!(std::fs::read(&path).unwrap(), flipped, "nothing may be changed on disk");
    }
}

/// Fails the `n`-th write or sync from now, then everything after it.
struct Failing {
    countdown: AtomicI64,
    at: Op2,
}

#[derive(Clone, Copy, PartialEq)]
enum Op2 {
    Sync,
    Write,
    ShortWrite,
    Create,
}

impl Failing {
    fn due(&self, op: Op2) -> bool {
        (self.at == op || (self.at == Op2::ShortWrite && op == Op2::Write))
            && self.countdown.fetch_sub(1, Ordering::SeqCst) <= 0
    }
}

fn full() -> io::Error {
    io::Error::from(io::ErrorKind::StorageFull)
}

impl Disk for Failing {
    fn create_zeroed(&self, path: &Path, len: u64) -> io::Result<File> {
        if self.due(Op2::Create) { Err(full()) } else { Os.create_zeroed(path, len) }
    }
    fn write_at(&self, file: &File, buf: &[u8], offset: u64) -> io::Result<()> {
        if self.due(Op2::Write) {
            if self.at == Op2::ShortWrite {
                file.write_all_at(&buf[..buf.len() / 2], offset)?;
            }
            return Err(full());
        }
        Os.write_at(file, buf, offset)
    }
    fn sync(&self, file: &File) -> io::Result<()> {
        if self.due(Op2::Sync) { Err(io::Error::other("EIO")) } else { Os.sync(file) }
    }
    fn replace(&self, path: &Path, contents: &[u8]) -> io::Result<()> {
        Os.replace(path, contents)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        Os.sync_dir(dir)
    }
}

#[test]
fn a_failed_write_or_sync_is_fatal_at_every_point_and_loses_nothing_acknowledged() {
    for at in [Op2::Sync, Op2::Write, Op2::ShortWrite] {
        for n in 0..30 {
            let dir = tempfile::tempdir().unwrap();
            let disk = Arc::new(Failing { countdown: AtomicI64::new(n), at });
            let mut acknowledged = Vec::new();
            run(async {
                let store = Embedded::open_on(disk, dir.path(), SMALL).unwrap();
                for i in 0..40 {
                    let key = format!("/k{i:02}");
                    match store.commit(put(&key, Expect::Absent, &"v".repeat(300))).await {
                        Ok(_) => acknowledged.push(key),
                        Err(e) => {
                            assert!(matches!(e, CommitError::Failed(_)), "{e}");
                            assert!(store.failed().await.contains("the log"));
                            let after = store.commit(put("/after", Expect::Absent, "")).await;
                            assert!(matches!(after, Err(CommitError::Failed(_))));
                            break;
                        }
                    }
                }
            });
            assert!(acknowledged.len() < 40, "the fault was never reached");
            let store = Embedded::open(dir.path(), SMALL).unwrap();
            let found: Vec<_> = run(dump(&store)).into_iter().map(|(k, _)| k).collect();
            assert!(found.starts_with(&acknowledged), "{found:?} lacks some of {acknowledged:?}");
        }
    }
}

#[test]
fn a_full_disk_refuses_writes_and_recovers() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(Failing { countdown: AtomicI64::new(1), at: Op2::Create });
    run(async {
        let options = Options { segment_bytes: 4096, snapshot_after: 1 << 30 };
        let store = Embedded::open_on(disk.clone(), dir.path(), options).unwrap();
        let mut stored = 0;
        let refused = loop {
            let key = format!("/k{stored:02}");
            match store.commit(put(&key, Expect::Absent, &"v".repeat(300))).await {
                Ok(_) => stored += 1,
                Err(e) => break e,
            }
        };
        assert!(matches!(refused, CommitError::Full(_)), "{refused}");
        assert_eq!(dump(&store).await.len(), stored);
        disk.countdown.store(i64::MAX, Ordering::SeqCst);
        store.commit(put("/later", Expect::Absent, &"v".repeat(300))).await.unwrap();
        drop(store);
        let store = Embedded::open(dir.path(), options).unwrap();
        assert_eq!(dump(&store).await.len(), stored + 1);
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// Against a map: any sequence of puts and deletes, reopened at any point, reads the same.
    #[test]
    fn reopening_reads_what_was_written(
        ops in prop::collection::vec((0u8..8, prop::option::of(0usize..900), prop::bool::weighted(0.1)), 1..120)
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut model = std::collections::BTreeMap::<String, (u64, usize)>::new();
        let mut store = Some(Embedded::open(dir.path(), SMALL).unwrap());
        for (key, value, reopen) in ops {
            if reopen {
                store = None;
            }
            let store = store.get_or_insert_with(|| Embedded::open(dir.path(), SMALL).unwrap());
            let key = format!("/{key}");
            let expect = model.get(&key).map_or(Expect::Absent, |(r, _)| Expect::At(*r));
            match value {
                Some(len) => {
                    let revision = run(store.commit(put(&key, expect, &"v".repeat(len)))).unwrap();
                    model.insert(key, (revision, len));
                }
                None => if let Some((revision, _)) = model.remove(&key) {
                    run(store.commit(delete(&key, revision))).unwrap();
                }
            }
        }
        drop(store);
        let store = Embedded::open(dir.path(), SMALL).unwrap();
        let want: Vec<_> = model
            .into_iter()
            .map(|(k, (r, len))| (k, format!("rev={r};{}", "v".repeat(len))))
            .collect();
        prop_assert_eq!(run(dump(&store)), want);
    }
}

#[test]
fn what_is_dropped_is_told() {
    let fill = |dir: &Path| {
        run(async {
            let store = Embedded::open(dir, SMALL).unwrap();
            assert_eq!(store.dropped(), None);
            for i in 0..5 {
                store.commit(put(&format!("/{i}"), Expect::Absent, "x")).await.unwrap();
            }
        });
    };
    let damage = |how: fn(&File, usize)| {
        let dir = tempfile::tempdir().unwrap();
        fill(dir.path());
        let path = segment_path(dir.path(), 1);
        let end = std::fs::read(&path).unwrap().iter().rposition(|b| *b != 0).unwrap();
        how(&File::options().read(true).write(true).open(&path).unwrap(), end);
        let store = Embedded::open(dir.path(), SMALL).unwrap();
        let told = store.dropped().map(str::to_owned);
        drop(store);
        // Once.
        let again = Embedded::open(dir.path(), SMALL).unwrap().dropped().map(str::to_owned);
        (told.unwrap_or_default(), again)
    };
    let (flipped, again) = damage(|file, end| {
        let mut byte = [0];
        file.read_exact_at(&mut byte, end as u64).unwrap();
        file.write_all_at(&[byte[0] ^ 1], end as u64).unwrap();
    });
    assert!(flipped.contains("checksum mismatch") && flipped.contains("revision 4"), "{flipped}");
    assert_eq!(again, None);
    let (cut, _) = damage(|file, end| file.set_len(end as u64 - 3).unwrap());
    assert!(cut.contains("are dropped") && cut.contains("revision 4"), "{cut}");
    let (short, _) = damage(|file, end| file.set_len(end as u64 + 1).unwrap());
    assert!(short.contains("should be 4096"), "{short}");
}

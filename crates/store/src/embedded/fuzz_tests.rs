//! Damaged directories are opened or refused, and one that was opened opens again as it was.

use std::path::{Path, PathBuf};

use super::Embedded;
use super::tests::{SMALL, dump, put, run};
use crate::{Expect, Store};

/// A store with a snapshot and a log, file by file.
fn files() -> Vec<(PathBuf, Vec<u8>)> {
    let dir = tempfile::tempdir().unwrap();
    run(async {
        let store = Embedded::open(dir.path(), SMALL).unwrap();
        for key in ["/a", "/b"] {
            store.commit(put(key, Expect::Absent, "x")).await.unwrap();
        }
        let mut revision = store.commit(put("/k", Expect::Absent, "0")).await.unwrap();
        for _ in 0..30 {
            let body = "y".repeat(500);
            revision = store.commit(put("/k", Expect::At(revision), &body)).await.unwrap();
        }
    });
    drop(Embedded::open(dir.path(), SMALL).unwrap());
    let entries = std::fs::read_dir(dir.path()).unwrap().map(Result::unwrap);
    let files = entries.filter(|entry| entry.metadata().unwrap().is_file());
    files.map(|e| (e.file_name().into(), std::fs::read(e.path()).unwrap())).collect()
}

fn opened(dir: &Path) -> Option<Vec<(String, String)>> {
    let store = Embedded::open(dir, SMALL).ok()?;
    Some(run(dump(&store)))
}

#[test]
fn damage_is_survived() {
    let files = files();
    assert!(files.len() >= 3, "a manifest, a snapshot and a segment: {}", files.len());
    // The first byte says which file is damaged.
    let seeds: Vec<Vec<u8>> = files
        .iter()
        .enumerate()
        .map(|(number, (_, bytes))| [&[number as u8][..], bytes].concat())
        .collect();
    let seeds: Vec<&[u8]> = seeds.iter().map(Vec::as_slice).collect();
    fuzz::bytes(&seeds, &[b"/a", b"/k", b"rev=", b"\x01\0\0\0", b"\0\0\0\0\0\0\0\0"], |input| {
        let Some((number, damaged)) = input.split_first() else { return false };
        let dir = tempfile::tempdir().unwrap();
        for (i, (name, bytes)) in files.iter().enumerate() {
            let hit = i == usize::from(*number) % files.len();
            std::fs::write(dir.path().join(name), if hit { damaged } else { bytes }).unwrap();
        }
        let Some(first) = opened(dir.path()) else { return false };
        assert_eq!(opened(dir.path()), Some(first));
        true
    });
}

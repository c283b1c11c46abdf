//! Durable puts per second: the embedded engine against etcd and against bare write and fdatasync.
//!
//! etcd gets plain puts where Kubernetes would send it transactions; the embedded engine gets
//! compare-and-set, and a feed that is read as the API server reads it.

use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::store::{CommitError, Embedded, Expect, Op, Options, Store, Value};
use anyhow::{Context, Result};
use bytes::Bytes;
use futures::future::try_join_all;

use crate::etcd::Etcd;
use crate::report::{Report, Row, Target};
use crate::{cluster, grpc};

/// Bytes of a value: about a pod's.
const VALUE: usize = 1500;
const WRITERS: [usize; 4] = [1, 16, 64, 256];
/// Each contender's turn, and how many turns it gets.
const TURN: Duration = Duration::from_millis(1500);
const TURNS: usize = 3;
/// Keys of one writer, written in turns.
const KEYS: usize = 32;
/// Connections writers share (as etcd's own benchmark tool would be told to).
const CONNECTIONS: usize = 8;

/// Puts and the time they took.
#[derive(Clone, Copy, Default)]
struct Tally {
    puts: u64,
    time: Duration,
}

impl Tally {
    fn add(&mut self, puts: u64, begun: Instant) {
        self.puts += puts;
        self.time += begun.elapsed();
    }

    fn rate(self) -> f64 {
        self.puts as f64 / self.time.as_secs_f64()
    }
}

pub(crate) async fn measure(report: &mut Report) -> Result<()> {
    let dir = cluster::directory()?;
    let etcd = Etcd::start(&dir.path().join("etcd")).await?;
    let outcome = contest(dir.path(), &etcd, report).await;
    etcd.stop().await;
    outcome
}

async fn contest(dir: &Path, etcd: &Etcd, report: &mut Report) -> Result<()> {
    let embedded = dir.join("embedded");
    std::fs::create_dir(&embedded)?;
    let store: Arc<dyn Store> = Arc::new(Embedded::open(&embedded, Options::default())?);
    let mut feed = store.feed().await?;
    tokio::spawn(async move { while feed.events.recv().await.is_some() {} });

    for writers in WRITERS {
        let (mut ours, mut theirs, mut bare) =
            (Tally::default(), Tally::default(), Tally::default());
        for turn in 0..TURNS {
            let begun = Instant::now();
            ours.add(put_embedded(&store, writers, turn).await?, begun);
            let begun = Instant::now();
            theirs.add(put_etcd(etcd, writers).await?, begun);
            if writers == 1 {
                let path = dir.join("bare");
                let (puts, time) = tokio::task::spawn_blocking(move || put_bare(&path)).await??;
                bare.puts += puts;
                bare.time += time;
            }
        }
        let row = |baseline, target| Row {
            what: format!("durable puts, {writers} writers"),
            figure: ours.rate(),
            baseline: Some(baseline),
            unit: "/s",
            target,
        };
        let target = if writers == 64 { Target::RatioAtLeast(10.0) } else { Target::None };
        report.add(row(("etcd", theirs.rate()), target));
        if writers == 1 {
            report.add(row(("write+fdatasync", bare.rate()), Target::None));
        }
    }
    Ok(())
}

/// JSON-like text; the revision goes somewhere near its start.
fn value() -> Bytes {
    let words = br#"{"name":"web","image":"registry.example.com/web","ready":true},"#;
    Bytes::from(words.iter().copied().cycle().take(VALUE).collect::<Vec<_>>())
}

fn key(writer: usize, number: usize) -> String {
    format!("/registry/core/pods/bench/web-{writer:03}-{number:03}")
}

async fn put_embedded(store: &Arc<dyn Store>, writers: usize, turn: usize) -> Result<u64> {
    let deadline = Instant::now() + TURN;
    let tasks = (0..writers).map(|writer| {
        let store = store.clone();
        tokio::spawn(async move {
            let keys: Vec<::store::Key> =
                (0..KEYS).map(|n| format!("{}-{writers}-{turn}", key(writer, n)).into()).collect();
            let mut at = vec![Expect::Absent; KEYS];
            let value = Value { bytes: value(), revision_at: 64 };
            let mut puts = 0;
            while Instant::now() < deadline {
                let slot = puts as usize % KEYS;
                let op =
                    Op { key: keys[slot].clone(), expect: at[slot], value: Some(value.clone()) };
                at[slot] = Expect::At(store.commit(op).await?);
                puts += 1;
            }
            Ok::<u64, CommitError>(puts)
        })
    });
    let counts = try_join_all(tasks).await?;
    Ok(counts.into_iter().sum::<Result<u64, _>>()?)
}

async fn put_etcd(etcd: &Etcd, writers: usize) -> Result<u64> {
    let channels = try_join_all((0..writers.min(CONNECTIONS)).map(|_| etcd.connect())).await?;
    let deadline = Instant::now() + TURN;
    let tasks = (0..writers).map(|writer| {
        let mut channel = channels[writer % channels.len()].clone();
        tokio::spawn(async move {
            let value = value();
            let frames: Vec<Bytes> =
                (0..KEYS).map(|n| grpc::put_frame(key(writer, n).as_bytes(), &value)).collect();
            let mut puts = 0;
            while Instant::now() < deadline {
                let frame = frames[puts as usize % KEYS].clone();
                channel.call("/etcdserverpb.KV/Put", frame).await?;
                puts += 1;
            }
            Ok::<u64, anyhow::Error>(puts)
        })
    });
    let counts = try_join_all(tasks).await?;
    counts.into_iter().sum()
}

/// The least a durable write can be: one write into space that is there already, and one sync.
fn put_bare(path: &Path) -> Result<(u64, Duration)> {
    const FILE: usize = 16 << 20;
    let file = std::fs::File::create(path).context("the file to write to")?;
    file.write_all_at(&vec![0; FILE], 0)?;
    file.sync_all()?;
    let record = vec![b'x'; VALUE + key(0, 0).len() + 48];
    let begun = Instant::now();
    let (mut puts, mut at) = (0, 0);
    while begun.elapsed() < TURN {
        file.write_all_at(&record, at as u64)?;
        file.sync_data()?;
        puts += 1;
        at = if at + 2 * record.len() > FILE { 0 } else { at + record.len() };
    }
    Ok((puts, begun.elapsed()))
}

//! Events to 1,000 watchers, each with a TLS connection of its own, against the same bytes written
//! from a static buffer to as many connections of the same stack.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use futures::future::try_join_all;
use futures::{StreamExt, TryStreamExt, stream};
use http::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::cluster::{self, Cluster};
use crate::fixture::{self, Fixture};
use crate::http::{Endpoint, JSON};
use crate::load::{self, NAMESPACE};
use crate::report::{Report, Row, Target};
use crate::{process, stats};

const WATCHERS: usize = 1000;
const EVENTS: usize = 500;
const WRITERS: usize = 16;
const ROUNDS: usize = 3;
/// Handshakes under way at once.
const CONNECTING: usize = 32;
/// Stands once in every event and nowhere else in the stream.
const MARK: u8 = b'~';
/// Every watcher must be answered, and have all events, by then.
const DEADLINE: Duration = Duration::from_secs(180);

/// One round of either side.
struct Measurement {
    took: Duration,
    /// Processor time of the server.
    cpu: Duration,
}

pub(crate) async fn measure(report: &mut Report) -> Result<()> {
    let dir = cluster::directory()?;
    let cluster = Cluster::start(dir.path(), "simulated").await?;
    let outcome = contest(&cluster, dir.path(), report).await;
    cluster.stop().await;
    outcome
}

async fn contest(cluster: &Cluster, dir: &Path, report: &mut Report) -> Result<()> {
    load::namespace(&cluster.endpoint).await?;
    let (mut ours, mut baseline) = (Vec::new(), Vec::new());
    write(&cluster.endpoint, Method::POST, 0..WRITERS).await?;
    for round in 1..=ROUNDS {
        let since = revision(&cluster.endpoint).await?;
        let cpu = || process::cpu_time(cluster.pid());
        ours.push(live(&cluster.endpoint, cpu, &since, EVENTS * round).await?);
        // The same events once more, as one buffer.
        let path = format!("{}&timeoutSeconds=1", watch_path(&since));
        let buffer = cluster.endpoint.fetch(&path, JSON).await?.bytes();
        let events = buffer.iter().filter(|b| **b == MARK).count();
        ensure!(events == EVENTS, "{events} events in the log instead of {EVENTS}");
        let fixture = Fixture::start(dir, &buffer).await?;
        let outcome = from_buffer(&fixture).await;
        fixture.stop().await;
        baseline.push(outcome?);
    }
    let events = (EVENTS * WATCHERS) as f64;
    let median = |rounds: &[Measurement], of: fn(&Measurement) -> Duration| {
        let times: Vec<Duration> = rounds.iter().map(of).collect();
        stats::percentile(&times, 50).as_secs_f64()
    };
    report.add(Row {
        what: format!("events to {WATCHERS} watchers"),
        figure: events / median(&ours, |r| r.took),
        baseline: Some(("static buffer", events / median(&baseline, |r| r.took))),
        unit: "/s",
        target: Target::RatioAtLeast(0.5),
    });
    report.add(Row {
        what: "  server's processor time per event".into(),
        figure: median(&ours, |r| r.cpu) / events * 1e6,
        baseline: Some(("static buffer", median(&baseline, |r| r.cpu) / events * 1e6)),
        unit: "us",
        target: Target::None,
    });
    Ok(())
}

fn watch_path(since: &str) -> String {
    format!("/api/v1/namespaces/{NAMESPACE}/configmaps?watch=1&resourceVersion={since}")
}

async fn revision(endpoint: &Endpoint) -> Result<String> {
    let path = format!("/api/v1/namespaces/{NAMESPACE}/configmaps");
    let list: Value = serde_json::from_slice(&endpoint.fetch(&path, JSON).await?.bytes())?;
    let revision = list["metadata"]["resourceVersion"].as_str();
    revision.map(str::to_owned).context("a list without a resourceVersion")
}

/// Makes or changes the writers' objects, as many at once as there are writers. Every number must
/// be a new one: writing what is there already is no event.
async fn write(endpoint: &Endpoint, method: Method, numbers: Range<usize>) -> Result<()> {
    let api = endpoint.http2().await?;
    let collection = format!("/api/v1/namespaces/{NAMESPACE}/configmaps");
    stream::iter(numbers)
        .map(|number| {
            let (mut api, method) = (api.clone(), method.clone());
            let name = format!("events-{}", number % WRITERS);
            let path = match method {
                Method::POST => collection.clone(),
                _ => format!("{collection}/{name}"),
            };
            let text = format!("{}{number:04}{}", MARK as char, "x".repeat(1000));
            let object = json!({
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": name, "labels": {"app": "bench"}},
                "data": {"text": text},
            });
            async move { api.send(method, &path, Bytes::from(object.to_string())).await }
        })
        .buffer_unordered(WRITERS)
        .try_for_each(|_| async { Ok(()) })
        .await
}

/// Watchers whose requests were answered and who now count.
struct Watchers(JoinSet<Result<()>>);

impl Watchers {
    async fn open(endpoint: &Endpoint, path: &str) -> Result<Self> {
        tokio::time::timeout(DEADLINE, Self::open_all(endpoint, path))
            .await
            .context("watchers wait for their answers")?
    }

    async fn open_all(endpoint: &Endpoint, path: &str) -> Result<Self> {
        let gate = Arc::new(Semaphore::new(CONNECTING));
        let streams = (0..WATCHERS).map(|_| async {
            let _permit = gate.acquire().await?;
            let mut stream = endpoint.connect().await?;
            let address = endpoint.address;
            let head = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\naccept: {JSON}\r\n\r\n");
            stream.write_all(head.as_bytes()).await?;
            stream.flush().await?;
            let mut answer = Vec::new();
            while !answer.windows(4).any(|w| w == b"\r\n\r\n") {
                let n = stream.read_buf(&mut answer).await?;
                ensure!(n > 0, "a watch ended before it began");
            }
            ensure!(answer.starts_with(b"HTTP/1.1 200 "), "a watch was refused");
            // Other objects of the namespace may have changed already.
            let seen = answer.iter().filter(|b| **b == MARK).count();
            Ok((stream, seen))
        });
        let mut tasks = JoinSet::new();
        for (mut stream, mut seen) in try_join_all(streams).await? {
            tasks.spawn(async move {
                let mut buffer = vec![0; 32 << 10];
                while seen < EVENTS {
                    let n = stream.read(&mut buffer).await?;
                    ensure!(n > 0, "a watch ended after {seen} events");
                    seen += buffer[..n].iter().filter(|b| **b == MARK).count();
                }
                Ok(())
            });
        }
        Ok(Self(tasks))
    }

    async fn all_have_seen_everything(mut self) -> Result<()> {
        let all = async {
            while let Some(outcome) = self.0.join_next().await {
                outcome??;
            }
            Ok(())
        };
        tokio::time::timeout(DEADLINE, all).await.context("watchers wait for events")?
    }
}

/// Events per second to all watchers of a server, and its processor time for each in microseconds.
/// `cpu` tells its processor time so far.
pub(crate) async fn fan_out(
    endpoint: &Endpoint,
    cpu: impl Fn() -> Result<Duration>,
) -> Result<(f64, f64)> {
    write(endpoint, Method::POST, 0..WRITERS).await?;
    let mut rounds = Vec::new();
    for round in 1..=ROUNDS {
        let since = revision(endpoint).await?;
        rounds.push(live(endpoint, &cpu, &since, EVENTS * round).await?);
    }
    rounds.sort_by_key(|round| round.took);
    let (median, events) = (&rounds[ROUNDS / 2], (EVENTS * WATCHERS) as f64);
    Ok((events / median.took.as_secs_f64(), median.cpu.as_secs_f64() / events * 1e6))
}

async fn live(
    endpoint: &Endpoint,
    cpu: impl Fn() -> Result<Duration>,
    since: &str,
    first: usize,
) -> Result<Measurement> {
    let watchers = Watchers::open(endpoint, &watch_path(since)).await?;
    let used = cpu()?;
    let begun = Instant::now();
    tokio::try_join!(
        write(endpoint, Method::PUT, first..first + EVENTS),
        watchers.all_have_seen_everything()
    )?;
    Ok(Measurement { took: begun.elapsed(), cpu: cpu()? - used })
}

async fn from_buffer(fixture: &Fixture) -> Result<Measurement> {
    let watchers = Watchers::open(&fixture.endpoint, fixture::GATED).await?;
    let used = process::cpu_time(fixture.pid())?;
    let begun = Instant::now();
    fixture.endpoint.fetch(fixture::OPEN, JSON).await?;
    watchers.all_have_seen_everything().await?;
    Ok(Measurement { took: begun.elapsed(), cpu: process::cpu_time(fixture.pid())? - used })
}

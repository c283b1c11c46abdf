//! The API server alone against upstream's with etcd: the same requests to both, in turns.
//!
//! Each figure is what one server does in its turn while the other is idle; processor time is the
//! server's with its store's. Without `KUBE_APISERVER` only ours is measured.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use http::{Method, Request};
use serde_json::{Value, json};

use super::watch;
use crate::cluster;
use crate::http::{JSON, PROTOBUF};
use crate::load::{self, NAMESPACE};
use crate::report::{Report, Row, Target};
use crate::servers::Server;
use crate::stats::percentile;

/// Objects that are made, changed and deleted.
pub(super) const OBJECTS: usize = 2_000;
/// Requests under way at once.
const WORKERS: usize = 32;
/// Lists of each kind: at least so many, and more as long as there is time.
const LISTS: usize = 7;
const MORE_LISTS: usize = 500;
const LISTING: Duration = Duration::from_secs(1);

/// The figures of one server: requests per second, and processor time of each in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measurement {
    pub(super) rate: f64,
    pub(super) cpu: f64,
}

/// One request of a kind: its method, path, media type and body, by the object's number.
pub(super) type Make = fn(usize) -> (Method, String, &'static str, Bytes);

fn path(number: usize) -> String {
    format!("/api/v1/namespaces/{NAMESPACE}/pods/{}", load::pod_name(number))
}

const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";

pub(super) fn bytes(value: &Value) -> Bytes {
    value.to_string().into()
}

/// The requests in the order in which they are sent, with what is aimed at.
const KINDS: &[(&str, f64, Make)] = &[
    ("create", 5.0, |n| {
        let pods = format!("/api/v1/namespaces/{NAMESPACE}/pods");
        (Method::POST, pods, JSON, bytes(&load::pod(n)))
    }),
    ("get", 5.0, |n| (Method::GET, path(n), JSON, Bytes::new())),
    ("merge patch", 5.0, |n| {
        (Method::PATCH, path(n), MERGE, bytes(&json!({"metadata": {"labels": {"patched": "yes"}}})))
    }),
    ("status patch", 5.0, |n| {
        let condition = json!({"type": "Ready", "status": "True"});
        let status = json!({"status": {"phase": "Running", "conditions": [condition]}});
        (Method::PATCH, format!("{}/status", path(n)), STRATEGIC, bytes(&status))
    }),
    ("apply", 5.0, |n| {
        let metadata = json!({"name": load::pod_name(n), "annotations": {"applied": "yes"}});
        let wanted = json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata});
        (Method::PATCH, format!("{}?fieldManager=bench", path(n)), APPLY, bytes(&wanted))
    }),
];

const DELETE: (&str, f64, Make) = ("delete", 5.0, |n| {
    let now = json!({"gracePeriodSeconds": 0});
    (Method::DELETE, path(n), JSON, bytes(&now))
});

/// Lists: what they are called, aimed at, and asked for by.
const READS: &[(&str, f64, &str, &str)] = &[
    ("list, JSON", 5.0, "", JSON),
    ("list, protobuf", 5.0, "", PROTOBUF),
    ("list, a page of 500", 5.0, "?limit=500", JSON),
    ("list, one in a hundred by label", 10.0, "?labelSelector=shard%3Ds7", JSON),
    ("list, one by its name", 10.0, "?fieldSelector=metadata.name%3Dweb-6f7d9c5b8-00042", JSON),
    ("list, none by field", 10.0, "?fieldSelector=spec.nodeName%3Dnone", JSON),
];

pub(crate) async fn measure(report: &mut Report) -> Result<()> {
    let dir = cluster::directory()?;
    let (ours, services) = Server::ours(dir.path()).await?;
    let theirs = Server::upstreams(dir.path(), &services).await?;
    let outcome = contest(&ours, theirs.as_ref(), report).await;
    ours.stop().await;
    if let Some(theirs) = theirs {
        theirs.stop().await;
    }
    outcome
}

async fn contest(ours: &Server, theirs: Option<&Server>, report: &mut Report) -> Result<()> {
    let servers = || std::iter::once(ours).chain(theirs);
    for server in servers() {
        load::namespace(&server.endpoint).await?;
    }
    for (what, target, make) in KINDS {
        let own = writes(ours, *make).await?;
        let other = match theirs {
            Some(server) => Some(writes(server, *make).await?),
            None => None,
        };
        add(report, what, *target, own, other);
    }
    for (what, target, query, accept) in READS {
        let own = lists(ours, query, accept).await?;
        let other = match theirs {
            Some(server) => Some(lists(server, query, accept).await?),
            None => None,
        };
        add(report, what, *target, own, other);
    }
    let own = fan_out(ours).await?;
    let other = match theirs.map(fan_out) {
        // Upstream's ends watches that it cannot serve in time.
        Some(other) => {
            other.await.inspect_err(|why| eprintln!("upstream's watchers: {why:#}")).ok()
        }
        None => None,
    };
    add(report, "watch events to 1,000 watchers", 6.0, own, other);
    report.add(Row {
        what: format!("memory with {OBJECTS} pods"),
        figure: ours.resident()? as f64 / 1e6,
        baseline: theirs.map(Server::resident).transpose()?.map(|b| ("upstream", b as f64 / 1e6)),
        unit: "MB",
        target: Target::RatioAtMost(0.2),
    });
    let (what, target, make) = DELETE;
    let own = writes(ours, make).await?;
    let other = match theirs {
        Some(server) => Some(writes(server, make).await?),
        None => None,
    };
    add(report, what, target, own, other);
    Ok(())
}

fn add(report: &mut Report, what: &str, target: f64, own: Measurement, other: Option<Measurement>) {
    report.add(Row {
        what: what.to_owned(),
        figure: own.rate,
        baseline: other.map(|other| ("upstream", other.rate)),
        unit: "/s",
        target: Target::RatioAtLeast(target),
    });
    let goal = if what == "create" { Target::Below(0.5) } else { Target::None };
    report.add(Row {
        what: format!("{what}, processor time"),
        figure: own.cpu,
        baseline: other.map(|other| ("upstream", other.cpu)),
        unit: "ms",
        target: goal,
    });
}

/// One request for each object, [`WORKERS`] at once.
pub(super) async fn writes(server: &Server, make: Make) -> Result<Measurement> {
    let api = server.endpoint.http2().await?;
    let (before, begun) = (server.cpu_time()?, Instant::now());
    stream::iter(0..OBJECTS)
        .map(|number| {
            let mut api = api.clone();
            async move {
                let (method, path, media, body) = make(number);
                api.request(Request::builder().method(method), &path, media, body).await
            }
        })
        .buffer_unordered(WORKERS)
        .try_for_each(|_| async { Ok(()) })
        .await?;
    measurement(server, before, begun, OBJECTS)
}

async fn fan_out(server: &Server) -> Result<Measurement> {
    let (rate, micros) = watch::fan_out(&server.endpoint, || server.cpu_time()).await?;
    Ok(Measurement { rate, cpu: micros / 1000.0 })
}

async fn lists(server: &Server, query: &str, accept: &str) -> Result<Measurement> {
    let path = format!("/api/v1/namespaces/{NAMESPACE}/pods{query}");
    let mut connection = server.endpoint.fetcher().await?;
    let mut once = async || -> Result<Duration> {
        let fetched = connection.fetch(&path, accept).await?;
        ensure!(fetched.len() > 0, "{path}: nothing came");
        Ok(fetched.took)
    };
    // The first may make what the others find.
    once().await?;
    let (before, begun) = (server.cpu_time()?, Instant::now());
    let mut times = Vec::new();
    while times.len() < LISTS || (times.len() < MORE_LISTS && begun.elapsed() < LISTING) {
        times.push(once().await?);
    }
    let measured = measurement(server, before, begun, times.len())?;
    Ok(Measurement { rate: 1.0 / percentile(&times, 50).as_secs_f64(), ..measured })
}

fn measurement(
    server: &Server,
    before: Duration,
    begun: Instant,
    requests: usize,
) -> Result<Measurement> {
    let took = begun.elapsed();
    let cpu = server.cpu_time()?.saturating_sub(before);
    let requests = requests as f64;
    Ok(Measurement {
        rate: requests / took.as_secs_f64(),
        cpu: cpu.as_secs_f64() * 1000.0 / requests,
    })
}

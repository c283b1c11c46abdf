//! LIST of 10,000 pods over TLS, against a static buffer of the same bytes behind the same stack.

use std::time::Duration;

use anyhow::Result;

use crate::cluster::{self, Cluster};
use crate::fixture::{self, Fixture};
use crate::http::{JSON, PROTOBUF};
use crate::load;
use crate::report::{Report, Row, Target};
use crate::stats::{millis, percentile};

const ROUNDS: usize = 9;
const PATH: &str = "/api/v1/pods";

pub(crate) async fn measure(report: &mut Report) -> Result<()> {
    let dir = cluster::directory()?;
    let cluster = Cluster::start(dir.path(), "simulated").await?;
    let outcome = lists(&cluster, dir.path(), report).await;
    cluster.stop().await;
    outcome
}

async fn lists(cluster: &Cluster, dir: &std::path::Path, report: &mut Report) -> Result<()> {
    load::pods(&cluster.endpoint).await?;
    for (name, accept) in [("JSON", JSON), ("protobuf", PROTOBUF)] {
        let first = cluster.endpoint.fetch(PATH, accept).await?;
        let fixture = Fixture::start(dir, &first.bytes()).await?;
        let outcome = rounds(cluster, &fixture, accept).await;
        fixture.stop().await;
        let (ours, baseline) = outcome?;
        let size = first.len() as f64 / 1e6;
        report.add(Row {
            what: format!("LIST {} pods, {name}, {size:.1} MB", load::PODS),
            figure: millis(percentile(&ours, 50)),
            baseline: Some(("static buffer", millis(percentile(&baseline, 50)))),
            unit: "ms",
            target: Target::RatioAtMost(2.0),
        });
        report.add(Row {
            what: format!("  the first in {name}"),
            figure: millis(first.took),
            baseline: Some(("static buffer", millis(percentile(&baseline, 50)))),
            unit: "ms",
            target: Target::None,
        });
    }
    let last = cluster.endpoint.fetch(PATH, JSON).await?;
    load::ensure_all(&last.bytes())
}

/// Times of the API server and of the baseline, taken in turns.
async fn rounds(
    cluster: &Cluster,
    fixture: &Fixture,
    accept: &str,
) -> Result<(Vec<Duration>, Vec<Duration>)> {
    let (mut ours, mut baseline) = (Vec::new(), Vec::new());
    fixture.endpoint.fetch(fixture::BUFFER, accept).await?;
    for _ in 0..ROUNDS {
        ours.push(cluster.endpoint.fetch(PATH, accept).await?.took);
        baseline.push(fixture.endpoint.fetch(fixture::BUFFER, accept).await?.took);
    }
    Ok((ours, baseline))
}

//! Resident memory of the process and its helpers, idle and with 10,000 pods stored.

use std::time::Duration;

use anyhow::Result;

use crate::cluster::{self, Cluster};
use crate::http::JSON;
use crate::report::{Report, Row, Target};
use crate::{load, process};

/// After this a new cluster has nothing left to do.
const SETTLE: Duration = Duration::from_secs(5);

pub(crate) async fn measure(report: &mut Report) -> Result<()> {
    let runtime = super::best_runtime();
    let dir = cluster::directory()?;
    let cluster = Cluster::start(dir.path(), runtime).await?;
    tokio::time::sleep(SETTLE).await;
    let idle = process::resident_of_tree(cluster.pid());
    let peak = process::peak_resident(cluster.pid());
    cluster.stop().await;
    report.add(row(format!("resident when idle ({runtime})"), idle?, Target::Below(100.0)));
    report.add(row("  its peak since the start".into(), peak?, Target::None));

    let dir = cluster::directory()?;
    let cluster = Cluster::start(dir.path(), "simulated").await?;
    let outcome = loaded(&cluster, report).await;
    cluster.stop().await;
    outcome
}

async fn loaded(cluster: &Cluster, report: &mut Report) -> Result<()> {
    let before = process::resident_of_tree(cluster.pid())?;
    load::pods(&cluster.endpoint).await?;
    tokio::time::sleep(SETTLE).await;
    let after = process::resident_of_tree(cluster.pid())?;
    let listed = cluster.endpoint.fetch("/api/v1/pods", JSON).await?;
    load::ensure_all(&listed.bytes())?;
    let what = format!("resident with {} pods stored", load::PODS);
    report.add(row(what, after, Target::None));
    report.add(Row {
        what: "  growth per pod".into(),
        figure: after.saturating_sub(before) as f64 / load::PODS as f64 / 1e3,
        baseline: Some(("JSON in a LIST", listed.len() as f64 / load::PODS as f64 / 1e3)),
        unit: "kB",
        target: Target::None,
    });
    let listing = process::resident_of_tree(cluster.pid())?;
    report.add(row("  after a LIST of them".into(), listing, Target::None));
    Ok(())
}

fn row(what: String, bytes: u64, target: Target) -> Row {
    Row { what, figure: bytes as f64 / 1e6, baseline: None, unit: "MB", target }
}

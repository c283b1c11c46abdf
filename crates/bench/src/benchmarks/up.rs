//! Time from starting `coxswain up` to a ready node, in a new directory and in a used one.

use std::time::Duration;

use anyhow::Result;

use crate::cluster::{self, Cluster};
use crate::report::{Report, Row, Target};
use crate::stats::{millis, percentile};

const ROUNDS: usize = 5;

pub(crate) async fn measure(report: &mut Report) -> Result<()> {
    let runtime = super::best_runtime();
    let (mut new, mut again) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let dir = cluster::directory()?;
        for times in [&mut new, &mut again] {
            let cluster = Cluster::start(dir.path(), runtime).await?;
            times.push(cluster.ready_after);
            let said = cluster.said.join("\n    ");
            cluster.stop().await;
            if times.len() == 1 {
                eprintln!("    {said}");
            }
        }
    }
    report.add(row(format!("up to node ready, new directory ({runtime})"), &new));
    report.add(row(format!("up to node ready, used directory ({runtime})"), &again));
    Ok(())
}

fn row(what: String, times: &[Duration]) -> Row {
    Row {
        what,
        figure: millis(percentile(times, 50)),
        baseline: None,
        unit: "ms",
        target: Target::Below(1000.0),
    }
}

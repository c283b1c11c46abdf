//! Selecting cases, running them and reporting.

mod e2e;
mod execute;
mod junit;
mod prepare;
mod progress;
mod report;
mod trash;

use std::sync::Arc;

use anyhow::{Context, Result};
use kube::Config;

pub(crate) use execute::execute;
pub(crate) use prepare::{configuration, make_namespace, settings};
pub(crate) use progress::Progress;
pub(crate) use report::{Outcome, Record};
pub(crate) use trash::Trash;

use crate::api::Cluster;
use crate::args::{Options, Output};
use crate::case::Case;
use crate::{FAILED, PASSED};

/// The cases that `--focus` and `--skip` select.
pub(crate) fn select(options: &Options) -> Vec<Arc<Case>> {
    let wanted = |case: &Case| {
        options.focus.as_ref().is_none_or(|focus| focus.is_match(&case.title))
            && !options.skip.as_ref().is_some_and(|skip| skip.is_match(&case.title))
    };
    crate::cases::all().into_iter().filter(wanted).map(Arc::new).collect()
}

/// Runs what the options select; the exit code.
pub(crate) async fn suite(options: &Options) -> Result<u8> {
    let cases = select(options);
    if options.list {
        for case in &cases {
            println!("{}", case.title);
        }
        return Ok(PASSED);
    }
    if cases.is_empty() && options.e2e_binary.is_none() {
        anyhow::bail!("no case has a title that --focus and --skip select; --list shows them");
    }
    let config = configuration(options).await?;
    let trash = Trash::new();
    let cluster = Cluster::new(config, trash.clone())?;
    let begun = std::time::Instant::now();
    let (records, stopped) = run_cases(options, &cluster, &cases, &trash).await?;
    let mut report = report::Report { records, upstream: Vec::new(), time: begun.elapsed() };
    if let Some(binary) = options.e2e_binary.as_ref().filter(|_| !stopped) {
        report.upstream = e2e::run(binary, options).await?;
        report.time = begun.elapsed();
    }
    match options.output {
        Output::Text => report.print_summary(),
        Output::Json => println!("{}", report.to_json()),
    }
    if let Some(path) = &options.junit {
        std::fs::write(path, junit::write(&report)?)
            .with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(if stopped || report.failed() > 0 { FAILED } else { PASSED })
}

async fn run_cases(
    options: &Options,
    cluster: &Cluster,
    cases: &[Arc<Case>],
    trash: &Trash,
) -> Result<(Vec<Record>, bool)> {
    let show = Progress::new(cases.len(), options.output == Output::Text);
    tokio::select! {
        done = async {
            let settings = Arc::new(settings(options, cluster, cases).await?);
            anyhow::Ok(execute(options, cluster, cluster, cases, &settings, &show).await)
        } => {
            let records = match done {
                Ok(records) => records,
                Err(error) => {
                    trash.empty(cluster).await;
                    return Err(error);
                }
            };
            show.clear();
            trash.empty(cluster).await;
            Ok((records, false))
        }
        _ = stop_signal() => {
            show.clear();
            eprintln!("stopped; removing what was made (again to leave it)");
            tokio::select! {
                () = trash.empty(cluster) => {}
                _ = stop_signal() => {}
            }
            Ok((show.records(), true))
        }
    }
}

/// Resolves on Ctrl-C or SIGTERM.
pub(crate) async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

/// Removes what earlier runs left.
pub(crate) async fn clean(options: &Options) -> Result<u8> {
    let config: Config = configuration(options).await?;
    let cluster = Cluster::new(config, Trash::new())?;
    let removed = trash::clean(&cluster).await?;
    println!("removed {removed} objects");
    Ok(PASSED)
}

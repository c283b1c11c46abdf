//! Running an upstream e2e.test binary with the same selection.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use tokio::process::Command;

use super::{Record, junit};
use crate::args::Options;

/// Runs the binary and reads what it reports.
pub(crate) async fn run(binary: &Path, options: &Options) -> Result<Vec<Record>> {
    let dir = tempfile::tempdir()?;
    let report = dir.path().join("junit.xml");
    let mut command = Command::new(binary);
    command.arg(format!("--ginkgo.junit-report={}", report.display()));
    command.arg("--ginkgo.no-color").arg("--provider=skeleton").arg("--disable-log-dump");
    if let Some(focus) = &options.focus {
        command.arg(format!("--ginkgo.focus={focus}"));
    }
    if let Some(skip) = &options.skip {
        command.arg(format!("--ginkgo.skip={skip}"));
    }
    if let Some(kubeconfig) = &options.kubeconfig {
        command.arg(format!("--kubeconfig={}", kubeconfig.display()));
    }
    // It prints to standard error here, so that a report on standard output stays one document.
    let output = std::os::fd::AsFd::as_fd(&std::io::stderr()).try_clone_to_owned()?;
    let child = command.stdin(Stdio::null()).stdout(Stdio::from(output)).kill_on_drop(true).spawn();
    let mut child = child.with_context(|| format!("starting {}", binary.display()))?;
    let status = child.wait().await?;
    let Ok(xml) = std::fs::read_to_string(&report) else {
        bail!("{} ended with {status} and wrote no report", binary.display());
    };
    junit::read(&xml).with_context(|| format!("the report of {}", binary.display()))
}

//! Running an upstream e2e.test binary with the same selection.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use regex::Regex;
use tokio::process::Command;

use super::{Record, junit};
use crate::args::Options;

/// Runs the binary and reads what it reports.
pub(crate) async fn run(binary: &Path, options: &Options) -> Result<Vec<Record>> {
    let kubeconfig = options.kubeconfig.as_deref();
    let [focus, skip] = [&options.focus, &options.skip].map(|e| e.as_ref().map(Regex::as_str));
    run_selected(binary, kubeconfig, focus, skip).await
}

async fn run_selected(
    binary: &Path,
    kubeconfig: Option<&Path>,
    focus: Option<&str>,
    skip: Option<&str>,
) -> Result<Vec<Record>> {
    let dir = tempfile::tempdir()?;
    let report = dir.path().join("junit.xml");
    let mut command = Command::new(binary);
    command.arg(format!("--ginkgo.junit-report={}", report.display()));
    command.arg("--ginkgo.no-color").arg("--provider=skeleton").arg("--disable-log-dump");
    if let Some(focus) = focus {
        command.arg(format!("--ginkgo.focus={focus}"));
    }
    if let Some(skip) = skip {
        command.arg(format!("--ginkgo.skip={skip}"));
    }
    if let Some(kubeconfig) = kubeconfig {
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::run::Outcome;

    /// Reports its arguments as the title of a test.
    const BINARY: &str = r#"#!/bin/sh
for argument; do
  case "$argument" in --ginkgo.junit-report=*) report="${argument#*=}";; esac
done
printf '<testsuites><testsuite><testcase name="[It] %s" time="1"/></testsuite></testsuites>' "$*" >"$report"
"#;

    #[tokio::test]
    async fn the_selection_is_passed_on_and_the_report_read() {
        let dir = tempfile::tempdir().unwrap();
        let binary = dir.path().join("e2e.test");
        std::fs::write(&binary, BINARY).unwrap();
        std::fs::set_permissions(&binary, std::fs::Permissions::from_mode(0o755)).unwrap();
        let config = Path::new("/some/config");
        let records =
            run_selected(&binary, Some(config), Some("sig-a"), Some("Slow")).await.unwrap();
        let [record] = &records[..] else { panic!("{records:?}") };
        assert_eq!(record.outcome, Outcome::Passed);
        for part in ["--ginkgo.focus=sig-a", "--ginkgo.skip=Slow", "--kubeconfig=/some/config"] {
            assert!(record.title.contains(part), "{}", record.title);
        }
        let silent = run_selected(Path::new("/bin/true"), None, None, None).await;
        assert!(silent.unwrap_err().to_string().contains("wrote no report"));
    }
}

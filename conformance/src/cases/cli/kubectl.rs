//! Running kubectl.

use std::process::Stdio;

use anyhow::{Context, Result, bail};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::test::{Ran, Test};

/// The command for the case's namespace.
pub(super) fn command(test: &Test, arguments: &[&str]) -> Result<Command> {
    let program = test.settings.kubectl.as_ref().context("no kubectl")?;
    let mut command = Command::new(program);
    command.arg("--kubeconfig").arg(&test.settings.kubeconfig);
    command.arg("--namespace").arg(test.namespace.as_ref());
    // Another cluster's discovery must not answer for this one.
    command.arg("--cache-dir").arg(test.settings.cache.path()).args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    Ok(command)
}

/// Runs it with text on its standard input; any exit code is an answer.
pub(super) async fn run(test: &Test, arguments: &[&str], input: &str) -> Result<Ran> {
    let work = async {
        let mut child = command(test, arguments)?.spawn().context("starting kubectl")?;
        let mut stdin = child.stdin.take().context("no standard input")?;
        stdin.write_all(input.as_bytes()).await?;
        drop(stdin);
        let output = child.wait_with_output().await?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let success = output.status.success();
        Ok(Ran { stdout: text(&output.stdout), stderr: text(&output.stderr), success })
    };
    let ran = tokio::time::timeout_at(test.cluster.deadline(), work).await;
    ran.with_context(|| format!("kubectl {arguments:?} did not end in time"))?
}

/// Runs it and demands success; gives what it printed.
pub(super) async fn ok(test: &Test, arguments: &[&str]) -> Result<String> {
    with_input(test, arguments, "").await
}

/// Runs it with input and demands success.
pub(super) async fn with_input(test: &Test, arguments: &[&str], input: &str) -> Result<String> {
    let ran = run(test, arguments, input).await?;
    if !ran.success {
        bail!("kubectl {} failed: {}{}", arguments.join(" "), ran.stdout, ran.stderr);
    }
    Ok(ran.stdout)
}

//! A cluster of the binary under test, in a directory that goes with it.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::http::Endpoint;
use crate::process;

/// How long a cluster may take to be ready.
const START_DEADLINE: Duration = Duration::from_secs(60);

/// A running cluster.
pub(crate) struct Cluster {
    child: Child,
    pub(crate) endpoint: Endpoint,
    /// From starting the process until it said that its node is ready.
    pub(crate) ready_after: Duration,
    /// Its output, which has the times it took by its own account.
    pub(crate) said: Vec<String>,
}

impl Cluster {
    /// Starts a cluster in `dir` and waits until its node is ready. `runtime` is `embedded` or
    /// `simulated`.
    pub(crate) async fn start(dir: &Path, runtime: &str) -> Result<Self> {
        let address = SocketAddr::from(([127, 0, 0, 1], process::free_port()?));
        let begun = Instant::now();
        let mut child = Command::new(process::coxswain()?)
            .args(["up", "--runtime", runtime, "--listen", &address.to_string(), "--dir"])
            .arg(dir)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("starting coxswain")?;
        let stdout = child.stdout.take().context("its output is not piped")?;
        let mut lines = BufReader::new(stdout).lines();
        let mut said = Vec::new();
        match tokio::time::timeout(START_DEADLINE, until_ready(&mut lines, &mut said)).await {
            Ok(Ok(true)) => {}
            outcome => {
                process::stop(&mut child).await;
                bail!("the cluster was not ready ({outcome:?}): {}", said.join("; "));
            }
        }
        let ready_after = begun.elapsed();
        drain(lines);
        Ok(Self { child, endpoint: Endpoint::new(dir, address)?, ready_after, said })
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id().unwrap_or_default()
    }

    /// Stops it as Ctrl-C would.
    pub(crate) async fn stop(mut self) {
        process::stop(&mut self.child).await;
    }
}

async fn until_ready(
    lines: &mut Lines<BufReader<ChildStdout>>,
    said: &mut Vec<String>,
) -> std::io::Result<bool> {
    while let Some(line) = lines.next_line().await? {
        if line == "ready" {
            return Ok(true);
        }
        said.push(line);
    }
    Ok(false)
}

/// Whatever a child says later must not fill its pipe.
pub(crate) fn drain(mut lines: Lines<impl AsyncBufRead + Unpin + Send + 'static>) {
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
}

/// A directory for one measurement.
pub(crate) fn directory() -> Result<TempDir> {
    tempfile::Builder::new().prefix("coxswain-bench-").tempdir().context("a temporary directory")
}

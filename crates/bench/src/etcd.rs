//! Debian's etcd as a baseline: one member, loopback, fsync on, a directory of its own.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::grpc::Channel;
use crate::{cluster, process};

const START_DEADLINE: Duration = Duration::from_secs(20);

/// A running etcd.
pub(crate) struct Etcd {
    child: Child,
    authority: String,
}

impl Etcd {
    /// Starts a member with its data in `dir` and waits until it serves.
    pub(crate) async fn start(dir: &Path) -> Result<Self> {
        let authority = format!("127.0.0.1:{}", process::free_port()?);
        let client = format!("http://{authority}");
        let peer = format!("http://127.0.0.1:{}", process::free_port()?);
        let mut child = Command::new(std::env::var_os("ETCD").unwrap_or("etcd".into()))
            .args(["--name", "bench", "--data-dir"])
            .arg(dir)
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("bench={peer}")])
            .args(["--logger", "zap", "--log-outputs", "stderr", "--log-level", "info"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("starting etcd (Debian: etcd-server)")?;
        let stderr = child.stderr.take().context("its log is not piped")?;
        let mut lines = BufReader::new(stderr).lines();
        let serving = async {
            while let Ok(Some(line)) = lines.next_line().await {
                if line.contains("serving insecure client requests")
                    || line.contains("serving client traffic insecurely")
                {
                    return true;
                }
            }
            false
        };
        if tokio::time::timeout(START_DEADLINE, serving).await != Ok(true) {
            process::stop(&mut child).await;
            bail!("etcd does not serve");
        }
        cluster::drain(lines);
        Ok(Self { child, authority })
    }

    /// A connection to it.
    pub(crate) async fn connect(&self) -> Result<Channel> {
        Channel::connect(&self.authority).await
    }

    /// Host and port of it.
    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id().unwrap_or_default()
    }

    pub(crate) async fn stop(mut self) {
        process::stop(&mut self.child).await;
    }
}

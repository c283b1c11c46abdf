//! `kubectl proxy`.

use anyhow::{Context, Result};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpStream, UnixStream};
use tokio::process::Child;

use super::kubectl::command;
use crate::case::{Case, case};
use crate::test::{Test, expect_in};

pub(super) fn cases() -> Vec<Case> {
    let title = |rest: &str| {
        format!("[sig-cli] Kubectl client Proxy server should support {rest} [Conformance]")
    };
    vec![case(&title("proxy with --port 0"), port), case(&title("--unix-socket=/path"), socket)]
}

/// The first line that a process prints.
pub(super) async fn first_line(child: &mut Child, until: tokio::time::Instant) -> Result<String> {
    let mut out = BufReader::new(child.stdout.take().context("no standard output")?);
    let mut line = String::new();
    tokio::time::timeout_at(until, out.read_line(&mut line))
        .await
        .context("nothing was printed")??;
    // Kept open: a process that cannot print any more may end.
    child.stdout = Some(out.into_inner());
    Ok(line)
}

async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, path: &str) -> Result<String> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut said = Vec::new();
    stream.read_to_end(&mut said).await?;
    Ok(String::from_utf8_lossy(&said).into_owned())
}

/// The whole answer of an address that serves plain HTTP.
pub(super) async fn http_get(address: &str, path: &str) -> Result<String> {
    let stream =
        TcpStream::connect(address).await.with_context(|| format!("connecting to {address}"))?;
    exchange(stream, path).await
}

async fn port(test: Test) -> Result<()> {
    let mut child = command(&test, &["proxy", "--port=0"])?.spawn()?;
    let line = first_line(&mut child, test.cluster.deadline()).await?;
    let address = line.trim().rsplit(' ').next().unwrap_or_default().to_owned();
    let said = http_get(&address, "/api/").await?;
    child.kill().await?;
    expect_in("the answer", &said, r#""APIVersions""#)
}

async fn socket(test: Test) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("test");
    let option = format!("--unix-socket={}", path.display());
    let mut child = command(&test, &["proxy", &option])?.spawn()?;
    let line = first_line(&mut child, test.cluster.deadline()).await?;
    expect_in("the first line", &line, "Starting to serve on")?;
    let said = exchange(UnixStream::connect(&path).await?, "/api/").await?;
    child.kill().await?;
    expect_in("the answer", &said, r#""APIVersions""#)
}

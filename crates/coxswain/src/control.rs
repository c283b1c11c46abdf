//! The control socket of each running node, and the commands that use it.
//!
//! One request and one answer per connection, each a line of JSON. Only the directory's owner can
//! reach the socket.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use runtime::Runtime;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt};
use tokio::net::UnixListener;
use tokio_util::sync::CancellationToken;

/// Name of the socket in a node's directory.
const SOCKET: &str = "control.sock";

/// A way to the socket in `dir` that is short enough for a socket address, however long the path
/// of the directory is. It is good while the file is open.
fn short_path(dir: &Path) -> Result<(File, PathBuf)> {
    let dir = File::open(dir).with_context(|| dir.display().to_string())?;
    let path = format!("/proc/self/fd/{}/{SOCKET}", dir.as_raw_fd());
    Ok((dir, path.into()))
}

/// A request on the control socket.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Request {
    /// Import images from an archive.
    Import(PathBuf),
    /// List the images.
    Images,
}

/// The answer to a request. Errors are text, because a person reads them.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Answer {
    Images(Vec<Image>),
    Failed(String),
}

/// An image as `coxswain image ls` shows it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Image {
    id: String,
    names: Vec<String>,
    bytes: u64,
}

impl From<runtime::Image> for Image {
    fn from(image: runtime::Image) -> Self {
        let names = image.repo_tags.into_iter().chain(image.repo_digests);
        Self { id: image.id, names: names.collect(), bytes: image.size }
    }
}

/// Answers requests on the socket in `dir` until cancelled.
pub(crate) fn serve(
    dir: &Path,
    runtime: Arc<dyn Runtime>,
    cancel: CancellationToken,
) -> Result<()> {
    let (dir, path) = short_path(dir)?;
    // Left behind by a crash; the node's directory is in use by one process only.
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).with_context(|| path.display().to_string())?;
    telemetry::task::spawn("control", async move {
        let _dir = dir;
        while let Some(Ok((stream, _))) = cancel.run_until_cancelled(listener.accept()).await {
            let runtime = runtime.clone();
            telemetry::task::spawn("control-request", async move {
                let (read, mut write) = stream.into_split();
                let mut line = String::new();
                if tokio::io::BufReader::new(read).read_line(&mut line).await.is_ok() {
                    let images = images(&*runtime, &line).await;
                    let answer =
                        images.map_or_else(|e| Answer::Failed(e.to_string()), Answer::Images);
                    let text = serde_json::to_string(&answer).unwrap_or_default();
                    // The client may have disconnected.
                    let _ = write.write_all(format!("{text}\n").as_bytes()).await;
                }
            });
        }
        let _ = std::fs::remove_file(path);
    });
    Ok(())
}

async fn images(runtime: &dyn Runtime, line: &str) -> Result<Vec<Image>> {
    let request: Request = serde_json::from_str(line)?;
    let images = match request {
        Request::Import(path) => runtime.import_image(&path).await,
        Request::Images => runtime.list_images().await,
    };
    Ok(images?.into_iter().map(Image::from).collect())
}

/// The directories of the nodes that run in a cluster's directory.
fn nodes(cluster: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(cluster.join("data/nodes")).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> =
        entries.map(|e| e.path()).filter(|path| path.join(SOCKET).exists()).collect();
    found.sort();
    if found.is_empty() {
        bail!("no cluster is running in {}", cluster.display());
    }
    Ok(found)
}

fn ask(node: &Path, request: &Request) -> Result<Vec<Image>> {
    let (_dir, socket) = short_path(node)?;
    let mut stream = match UnixStream::connect(&socket) {
        Ok(stream) => stream,
        Err(e) => bail!("the node of {} does not run: {e}", node.display()),
    };
    stream.write_all(format!("{}\n", serde_json::to_string(request)?).as_bytes())?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    let answer: Answer = serde_json::from_str(&line).context("the cluster hung up")?;
    match answer {
        Answer::Images(images) => Ok(images),
        Answer::Failed(why) => bail!(why),
    }
}

/// `coxswain image import`: into every node of the cluster.
pub(crate) fn import(cluster: &Path, archive: &Path) -> Result<()> {
    let archive = archive.canonicalize().with_context(|| archive.display().to_string())?;
    for node in nodes(cluster)? {
        for image in ask(&node, &Request::Import(archive.clone()))? {
            say!("{}", image.names.first().unwrap_or(&image.id));
        }
    }
    Ok(())
}

/// The names under which an image is listed: each of its tags, else what else it is called.
fn shown(names: &[String]) -> Vec<&str> {
    let tags: Vec<&str> =
        names.iter().map(String::as_str).filter(|name| !name.contains('@')).collect();
    if tags.is_empty() { vec![names.first().map_or("<none>", String::as_str)] } else { tags }
}

/// `coxswain image ls`.
pub(crate) fn list(cluster: &Path) -> Result<()> {
    say!("{:<16} {:<50} {:<14} {:>9}", "NODE", "IMAGE", "ID", "SIZE");
    for node in nodes(cluster)? {
        for image in ask(&node, &Request::Images)? {
            let node = node.file_name().unwrap_or_default().to_string_lossy();
            let id = image.id.trim_start_matches("sha256:");
            let id = &id[..id.len().min(12)];
            for name in shown(&image.names) {
                say!("{node:<16} {name:<50} {id:<14} {:>6} MB", image.bytes / 1_000_000);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tag_is_listed() {
        let names = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        assert_eq!(shown(&names(&["a:1", "a:2", "a@sha256:00"])), ["a:1", "a:2"]);
        assert_eq!(shown(&names(&["a@sha256:00", "b@sha256:00"])), ["a@sha256:00"]);
        assert_eq!(shown(&[]), ["<none>"]);
    }
}

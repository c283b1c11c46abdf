//! The running cluster's control socket, and the commands that use it.
//!
//! One request and one answer per connection, each a line of JSON. Only the directory's owner can
//! reach the socket.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use runtime::Runtime;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt};
use tokio::net::UnixListener;
use tokio_util::sync::CancellationToken;

/// Where the socket is within the cluster's directory.
pub(crate) const SOCKET: &str = "data/control.sock";

/// What can be asked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Request {
    /// Import images from an archive.
    Import(PathBuf),
    /// List the images.
    Images,
}

type Answer = std::result::Result<Vec<Image>, String>;

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

/// Answers requests until cancelled.
pub(crate) fn serve(
    path: &Path,
    runtime: Arc<dyn Runtime>,
    cancel: CancellationToken,
) -> Result<()> {
    // Left behind by a crash; the store's lock says that nobody else is there.
    let _ = std::fs::remove_file(path);
    let listener = UnixListener::bind(path).with_context(|| path.display().to_string())?;
    let path = path.to_owned();
    tokio::spawn(async move {
        while let Some(Ok((stream, _))) = cancel.run_until_cancelled(listener.accept()).await {
            let runtime = runtime.clone();
            tokio::spawn(async move {
                let (read, mut write) = stream.into_split();
                let mut line = String::new();
                if tokio::io::BufReader::new(read).read_line(&mut line).await.is_ok() {
                    let answer = answer(&*runtime, &line).await;
                    let text = serde_json::to_string(&answer).unwrap_or_default();
                    // Who asked may have left.
                    let _ = write.write_all(format!("{text}\n").as_bytes()).await;
                }
            });
        }
        let _ = std::fs::remove_file(path);
    });
    Ok(())
}

async fn answer(runtime: &dyn Runtime, line: &str) -> Answer {
    let request: Request = serde_json::from_str(line).map_err(|e| e.to_string())?;
    let images = match request {
        Request::Import(path) => runtime.import_image(&path).await,
        Request::Images => runtime.list_images().await,
    };
    Ok(images.map_err(|e| e.to_string())?.into_iter().map(Image::from).collect())
}

fn ask(socket: &Path, request: &Request) -> Result<Vec<Image>> {
    let mut stream = match UnixStream::connect(socket) {
        Ok(stream) => stream,
        Err(e) => bail!("no cluster is running here ({}: {e})", socket.display()),
    };
    stream.write_all(format!("{}\n", serde_json::to_string(request)?).as_bytes())?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    let answer: Answer = serde_json::from_str(&line).context("the cluster hung up")?;
    answer.map_err(anyhow::Error::msg)
}

/// `coxswain image import`.
pub(crate) fn import(socket: &Path, archive: &Path) -> Result<()> {
    let archive = archive.canonicalize().with_context(|| archive.display().to_string())?;
    for image in ask(socket, &Request::Import(archive))? {
        println!("{}", image.names.first().unwrap_or(&image.id));
    }
    Ok(())
}

/// `coxswain image ls`.
pub(crate) fn list(socket: &Path) -> Result<()> {
    println!("{:<50} {:<16} {:>9}", "IMAGE", "ID", "SIZE");
    for image in ask(socket, &Request::Images)? {
        let id = image.id.trim_start_matches("sha256:");
        let name = image.names.first().map_or("<none>", String::as_str);
        println!("{name:<50} {:<16} {:>6} MB", &id[..id.len().min(12)], image.bytes / 1_000_000);
    }
    Ok(())
}

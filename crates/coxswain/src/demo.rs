//! The demo image: this binary as a small HTTP server, so that a tour needs no registry.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result};
use axum::Router;
use axum::extract::Request;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use runtime::{ImageFile, ImageSpec};
use tokio::net::TcpListener;

/// Name of the demo image.
pub(crate) const IMAGE: &str = "coxswain.local/demo:v1";

/// Serves `Hello from <hostname>` until the process gets a signal to stop.
pub(crate) async fn serve(port: u16) -> Result<()> {
    let listener = TcpListener::bind(SocketAddr::from(([0, 0, 0, 0], port))).await?;
    let hostname = nix::unistd::gethostname()?.to_string_lossy().into_owned();
    let greeting = std::env::var("GREETING").unwrap_or_else(|_| "Hello".into());
    say!("listening on port {port}");
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let text = format!("{greeting} from {hostname}\n");
    let hello = async move |request: Request| {
        say!("{} {}", request.method(), request.uri());
        text
    };
    let server = axum::serve(listener, Router::new().fallback(hello));
    tokio::select! {
        served = server.into_future() => Ok(served?),
        _ = terminate.recv() => Ok(()),
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}

/// Prints what `url` answers; an error unless it is a success.
pub(crate) async fn get(url: &str) -> Result<()> {
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let answer = client.get(url.parse().context("not a URL")?).await?;
    let status = answer.status();
    let body = answer.into_body().collect().await?.to_bytes();
    std::io::Write::write_all(&mut std::io::stdout(), &body)?;
    anyhow::ensure!(status.is_success(), "{url} answered {status}");
    Ok(())
}

/// Writes the demo image as an OCI layout tar.
pub(crate) fn build(out: &Path) -> Result<()> {
    let passwd = b"root:x:0:0:root:/:/coxswain\nnobody:x:65534:65534:nobody:/:/coxswain\n";
    let spec = ImageSpec {
        files: vec![
            ImageFile::copy("/coxswain", 0o755, Path::new("/proc/self/exe")),
            ImageFile::new("/etc/passwd", 0o644, passwd),
        ],
        entrypoint: vec!["/coxswain".into(), "demo".into()],
        cmd: vec!["serve".into()],
        ..ImageSpec::default()
    };
    runtime::build_image_tar(out, IMAGE, &spec)
        .with_context(|| format!("writing {}", out.display()))
}

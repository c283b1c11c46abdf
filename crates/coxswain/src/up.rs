//! `coxswain up`: every component in one process.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use apiserver::ApiServer;
use store::{Embedded, Store};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::cli::UpArgs;
use crate::dir::ClusterDir;

/// Prints a line of progress.
struct Progress(Instant);

impl Progress {
    fn done(&self, what: &str) {
        println!("{:>6.0} ms  {what}", self.0.elapsed().as_secs_f64() * 1000.0);
    }
}

/// Runs the cluster until it is interrupted.
pub(crate) fn run(args: UpArgs) -> Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(up(args))
}

async fn up(args: UpArgs) -> Result<()> {
    let progress = Progress(Instant::now());
    let listener = TcpListener::bind(args.listen)
        .await
        .with_context(|| format!("cannot listen on {}", args.listen))?;
    let dir = ClusterDir::open(&args.dir)?;
    let store: Arc<dyn Store> =
        Arc::new(Embedded::open(&dir.data("store"), store::Options::default())?);
    progress.done("store");

    let ids = dir.identities(args.listen, &[])?;
    progress.done("certificates");
    let tls = pki::tls::server(&ids.server, ids.ca.cert(), &["h2", "http/1.1"])?;
    let server = ApiServer::start(apiserver::Config {
        store: store.clone(),
        service_range: "10.96.0.0/16".parse()?,
        signer: ids.signer.clone(),
        kubelet_tls: Arc::new(pki::tls::client(&ids.kubelet_client, ids.ca.cert())?),
        advertise: args.listen,
    })
    .await?;
    progress.done("API server");

    let cancel = CancellationToken::new();
    let serving = {
        let (server, cancel) = (server.clone(), cancel.clone());
        tokio::spawn(async move { server.serve(listener, tls, cancel).await })
    };
    progress.done("ready");
    println!("export KUBECONFIG={}", dir.kubeconfig("admin").display());
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        reason = store.failed() => anyhow::bail!("the store has failed: {reason}"),
    }
    cancel.cancel();
    serving.await?;
    Ok(())
}

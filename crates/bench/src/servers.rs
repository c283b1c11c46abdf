//! API servers alone, ours and upstream's, over the same certificates.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::etcd::Etcd;
use crate::http::{Endpoint, JSON};
use crate::{cluster, process};

const START_DEADLINE: Duration = Duration::from_secs(60);
/// An API server that is not ready yet says so at once.
const ASK_AGAIN: Duration = Duration::from_millis(200);

/// An API server and the store behind it.
pub(crate) struct Server {
    child: Child,
    store: Option<Etcd>,
    pub(crate) endpoint: Endpoint,
}

impl Server {
    /// Our API server in `dir`, which then has the certificates of both. The second value is the
    /// range of service addresses.
    pub(crate) async fn ours(dir: &Path) -> Result<(Self, String)> {
        let address = SocketAddr::from(([127, 0, 0, 1], process::free_port()?));
        let mut child = Command::new(process::coxswain()?)
            .args(["apiserver", "--listen", &address.to_string(), "--dir"])
            .arg(dir)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("starting coxswain")?;
        let stdout = child.stdout.take().context("its output is not piped")?;
        let mut lines = BufReader::new(stdout).lines();
        let said = tokio::time::timeout(START_DEADLINE, lines.next_line()).await??;
        let said = said.unwrap_or_default();
        let services = said.split("services ").nth(1).and_then(|rest| rest.split(';').next());
        let services = services.with_context(|| format!("coxswain said {said:?}"))?.to_owned();
        cluster::drain(lines);
        let endpoint = Endpoint::new(dir, address)?;
        let server = Self { child, store: None, endpoint };
        server.wait_ready().await?;
        Ok((server, services))
    }

    /// Upstream's, if `KUBE_APISERVER` names it, with etcd behind it.
    pub(crate) async fn upstreams(dir: &Path, services: &str) -> Result<Option<Self>> {
        let Some(binary) = std::env::var_os("KUBE_APISERVER").map(PathBuf::from) else {
            return Ok(None);
        };
        let etcd = Etcd::start(&dir.join("etcd")).await?;
        let certs = dir.join("certs");
        let cert = |name: &str| certs.join(name).display().to_string();
        let address = SocketAddr::from(([127, 0, 0, 1], process::free_port()?));
        let options = [
            ("etcd-servers", format!("http://{}", etcd.authority())),
            ("secure-port", address.port().to_string()),
            ("bind-address", address.ip().to_string()),
            ("service-cluster-ip-range", services.to_owned()),
            // No token is ever shown to it, and it no longer takes a private key here.
            ("service-account-key-file", cert("apiserver.crt")),
            ("service-account-signing-key-file", cert("sa.key")),
            ("service-account-issuer", "https://kubernetes.default.svc.cluster.local".to_owned()),
            ("client-ca-file", cert("ca.crt")),
            ("tls-cert-file", cert("apiserver.crt")),
            ("tls-private-key-file", cert("apiserver.key")),
            ("authorization-mode", "Node,RBAC".to_owned()),
            ("enable-admission-plugins", "NodeRestriction".to_owned()),
            ("profiling", "false".to_owned()),
        ];
        let mut command = Command::new(binary);
        command.args(options.iter().map(|(name, value)| format!("--{name}={value}")));
        let log = std::fs::File::create(dir.join("kube-apiserver.log"))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .context("starting kube-apiserver")?;
        let endpoint = Endpoint::new(dir, address)?;
        let server = Self { child, store: Some(etcd), endpoint };
        server.wait_ready().await?;
        Ok(Some(server))
    }

    async fn wait_ready(&self) -> Result<()> {
        let ready = async {
            while self.endpoint.fetch("/readyz", JSON).await.is_err() {
                tokio::time::sleep(ASK_AGAIN).await;
            }
        };
        if tokio::time::timeout(START_DEADLINE, ready).await.is_err() {
            bail!("the API server was not ready in time");
        }
        Ok(())
    }

    /// Processor time that the server and its store have used.
    pub(crate) fn cpu_time(&self) -> Result<Duration> {
        let own = process::cpu_time(self.child.id().unwrap_or_default())?;
        let store = self.store.as_ref().map(|store| process::cpu_time(store.pid()));
        Ok(own + store.transpose()?.unwrap_or_default())
    }

    /// Bytes that they have resident.
    pub(crate) fn resident(&self) -> Result<u64> {
        let own = process::resident_of_tree(self.child.id().unwrap_or_default())?;
        let store = self.store.as_ref().map(|store| process::resident_of_tree(store.pid()));
        Ok(own + store.transpose()?.unwrap_or_default())
    }

    pub(crate) async fn stop(mut self) {
        process::stop(&mut self.child).await;
        if let Some(store) = self.store {
            store.stop().await;
        }
    }
}

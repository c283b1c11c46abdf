//! The API server of a cluster directory, and the components that run beside it in one process.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use apiserver::{AdmissionOptions, ApiServer, AuditOptions, EncryptionOptions, User};
use client::{Client, InformerFactory};
use store::{Embedded, Store};
use telemetry::metrics::{self, Registry};
use telemetry::task;
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::dir::{ClusterDir, Identities};
use crate::plan::Plan;

/// Time for the last audit events to be written when the server stops.
const AUDIT_DEADLINE: Duration = Duration::from_secs(5);

/// Opens the store of a cluster directory, which then belongs to this process.
pub(crate) fn open_store(dir: &ClusterDir) -> Result<Arc<dyn Store>> {
    let store = Embedded::open(&dir.data("store"), store::Options::default())?;
    if let Some(what) = store.dropped() {
        tracing::warn!(%what, "the store's log was damaged at its end");
    }
    crate::daemon::write_pid(dir)?;
    Ok(Arc::new(store))
}

/// How controllers get the tokens that Secrets hold.
pub(crate) fn sign_secret(signer: Arc<pki::Signer>) -> controllers::SignSecret {
    Arc::new(move |token| {
        let (secret, account) = (token.secret, token.account);
        let claims = pki::SecretClaims::new(token.namespace, secret, account, token.account_uid);
        signer.sign_secret(&claims).ok()
    })
}

/// Listens on `address`, or says who cannot.
pub(crate) async fn listen(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))
}

/// The API server of this process, as metrics name it.
pub(crate) const IN_PROCESS: &str = "in-process";

/// The user that the controllers read as.
const MANAGER: &str = "system:kube-controller-manager";

/// A client of `server` inside this process, under the name of the component that acts as `user`.
fn client(server: &ApiServer, user: User, metrics: &Registry) -> Client {
    let name = match user.name.as_str() {
        "system:kube-scheduler" => "kube-scheduler",
        "kubernetes-admin" => "coxswain",
        _ => "kube-controller-manager",
    };
    let client = client::transport::in_process(server.in_process(), user);
    client::transport::named(client, name, IN_PROCESS, metrics)
}

/// A running API server and what its neighbours share.
pub(crate) struct ControlPlane {
    server: ApiServer,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) informers: InformerFactory,
    /// The registry behind the API server's `/metrics`: everything in this process that is
    /// not a node's.
    pub(crate) metrics: Registry,
}

/// The options of the API server.
pub(crate) struct Served {
    /// Address that others reach it at.
    pub(crate) advertise: SocketAddr,
    pub(crate) admission: AdmissionOptions,
    pub(crate) audit: AuditOptions,
    pub(crate) encryption: EncryptionOptions,
}

impl ControlPlane {
    /// Starts the API server on `listeners`, as its options say;
    /// `components_within` says that the others follow in this process.
    pub(crate) async fn start(
        store: Arc<dyn Store>,
        plan: &Plan,
        ids: &Identities,
        Served { advertise, admission, audit, encryption }: Served,
        listeners: Vec<TcpListener>,
        components_within: bool,
        (cancel, tasks): (&CancellationToken, &TaskTracker),
    ) -> Result<Self> {
        let metrics = Registry::new();
        metrics::process(&metrics);
        let server = ApiServer::start(apiserver::Config {
            store: store.clone(),
            service_range: plan.services,
            signer: ids.signer.clone(),
            kubelet_tls: Arc::new(pki::tls::client(&ids.kubelet_client, ids.ca.cert())?),
            client_ca: ids.ca.cert().to_owned(),
            authentication: ids.authentication.clone(),
            authorization: ids.authorization.clone(),
            front_proxy: ids.front_proxy.clone(),
            components_within,
            advertise,
            admission,
            audit,
            encryption,
            metrics: metrics.clone(),
        })
        .await?;
        for listener in listeners {
            let tls = server.tls(ids.server.clone())?;
            let (server, cancel) = (server.clone(), cancel.clone());
            let serve = async move {
                server.serve(listener, tls, cancel).await;
                if timeout(AUDIT_DEADLINE, server.flush_audit()).await.is_err() {
                    tracing::error!("audit events are lost: their backend takes too long");
                }
            };
            tasks.spawn(task::watched("apiserver", serve));
        }
        let reader = client(&server, User::new(MANAGER, &[]), &metrics);
        let informers = InformerFactory::new(reader, cancel.clone());
        Ok(Self { server, store, informers, metrics })
    }

    /// A client inside this process that acts as `user`.
    pub(crate) fn client(&self, user: User) -> Client {
        client(&self.server, user, &self.metrics)
    }

    /// Starts the controllers.
    pub(crate) fn start_controllers(
        &self,
        plan: &Plan,
        ids: &Identities,
        (cancel, tasks): (&CancellationToken, &TaskTracker),
    ) {
        let server = self.server.clone();
        let (signer, metrics) = (ids.signer.clone(), self.metrics.clone());
        let clients = move |name: &str| {
            let user = match name.starts_with("system:") {
                true => User::new(name, &[]),
                false => User::service_account("kube-system", name),
            };
            client(&server, user, &metrics)
        };
        let run = controllers::run(controllers::Config {
            clients: Box::new(clients),
            informers: self.informers.clone(),
            cluster_cidr: Some(plan.pods),
            root_ca: ids.ca.cert().to_owned(),
            sign: Some(sign_secret(signer)),
            signing: Some(ids.ca.clone()),
            metrics: self.metrics.clone(),
            cancel: cancel.clone(),
        });
        // It supervises each controller; what is left cannot go on alone.
        task::spawn_vital("controllers", tasks.track_future(run));
    }

    /// Starts the scheduler.
    pub(crate) fn start_scheduler(&self, (cancel, tasks): (&CancellationToken, &TaskTracker)) {
        let client = self.client(User::new("system:kube-scheduler", &[]));
        let (informers, metrics) = (self.informers.clone(), self.metrics.clone());
        tasks.spawn(task::keep("scheduler", cancel.clone(), move |cancel| {
            let (client, informers) = (client.clone(), informers.clone());
            let metrics = metrics.clone();
            scheduler::run(scheduler::Config { client, informers, metrics, cancel })
        }));
    }
}

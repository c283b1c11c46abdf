//! The control loops that turn what is written in the API into what is.
//!
//! One folder per controller, one table ([`registry`]) that names them. Each acts as its own
//! service account, reads from shared informers and is restarted by itself when it fails.

mod certificates;
mod cluster_role_aggregation;
mod common;
mod context;
mod cronjob;
mod daemonset;
mod deployment;
mod disruption;
mod endpoints;
mod endpointslice;
mod endpointslice_mirroring;
mod gc;
mod job;
mod metrics;
mod namespace;
mod node_ipam;
mod node_lifecycle;
mod pod_gc;
mod policy_status;
mod pv_protection;
mod pvc_protection;
mod registry;
mod replicaset;
mod resourcequota;
mod root_ca;
mod service_account;
mod statefulset;
mod storage_version_migrator;
mod supervisor;
mod taint_eviction;
mod token_cleaner;
mod tokens;
mod ttl_after_finished;
mod vac_protection;

use std::sync::Arc;

use client::InformerFactory;
use ipnet::Ipv4Net;
use telemetry::metrics::Registry;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use metrics::Metrics;

pub(crate) use context::{Context, Error, Outcome};

/// Gives a client that acts as the named controller, for example `deployment-controller`, whose
/// identity is the service account of that name in `kube-system`. A name that begins with
/// `system:` is that of the controller manager itself.
pub type Clients = Box<dyn Fn(&str) -> kube::Client + Send + Sync>;

/// The token that a Secret is to hold.
pub struct SecretToken<'a> {
    /// Namespace of the Secret and its account.
    pub namespace: &'a str,
    /// The Secret.
    pub secret: &'a str,
    /// The account the token speaks for.
    pub account: &'a str,
    /// The account's uid.
    pub account_uid: &'a str,
}

/// Signs the token of a Secret; `None` when it cannot.
pub type SignSecret = Arc<dyn Fn(&SecretToken<'_>) -> Option<String> + Send + Sync>;

/// Configuration of the controllers.
pub struct Config {
    /// A client for each controller.
    pub clients: Clients,
    /// Where objects are read.
    pub informers: InformerFactory,
    /// Range that nodes get their pod ranges from; `None` leaves nodes alone.
    pub cluster_cidr: Option<Ipv4Net>,
    /// The cluster's certificate authority, PEM, published in every namespace.
    pub root_ca: String,
    /// Signs the tokens that Secrets hold; without it they are not filled.
    pub sign: Option<SignSecret>,
    /// Signs certificates for CertificateSigningRequests; without it they stay unsigned.
    pub signing: Option<Arc<pki::Authority>>,
    /// Where controllers tell of their work.
    pub metrics: Registry,
    /// Ends the controllers.
    pub cancel: CancellationToken,
}

/// Settings that controllers share besides their context.
pub(crate) struct Settings {
    pub(crate) cluster_cidr: Option<Ipv4Net>,
    pub(crate) root_ca: String,
    pub(crate) sign: Option<SignSecret>,
    pub(crate) signing: Option<Arc<pki::Authority>>,
    pub(crate) metrics: Arc<Metrics>,
}

/// Runs every controller until it is cancelled. A controller that fails is restarted; it never
/// ends the others.
pub async fn run(config: Config) {
    let settings = Arc::new(Settings {
        cluster_cidr: config.cluster_cidr,
        root_ca: config.root_ca,
        sign: config.sign,
        signing: config.signing,
        metrics: Metrics::of(&config.metrics, &config.informers),
    });
    tracing::info!(controllers = registry::CONTROLLERS.len(), "the controllers start");
    let mut running = JoinSet::new();
    for controller in registry::CONTROLLERS {
        let client = (config.clients)(controller.identity);
        running.spawn(supervisor::supervise(
            controller,
            client,
            config.informers.clone(),
            settings.clone(),
            config.cancel.clone(),
        ));
    }
    while running.join_next().await.is_some() {}
}

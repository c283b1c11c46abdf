//! The control loops that turn what is written in the API into what is.
//!
//! One folder per controller, one table ([`registry`]) that names them. Each acts as its own
//! service account, reads from shared informers and is restarted by itself when it fails.

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
mod namespace;
mod node_ipam;
mod node_lifecycle;
mod pod_gc;
mod pv_protection;
mod pvc_protection;
mod registry;
mod replicaset;
mod resourcequota;
mod root_ca;
mod service_account;
mod statefulset;
mod supervisor;
mod taint_eviction;
mod ttl_after_finished;
mod vac_protection;

use std::sync::Arc;

use client::InformerFactory;
use ipnet::Ipv4Net;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub(crate) use context::{Context, Error, Outcome};

/// Gives a client that acts as the named controller, for example `deployment-controller`, whose
/// identity is the service account of that name in `kube-system`.
pub type Clients = Box<dyn Fn(&str) -> kube::Client + Send + Sync>;

/// What the controllers are made with.
pub struct Config {
    /// A client for each controller.
    pub clients: Clients,
    /// Where objects are read.
    pub informers: InformerFactory,
    /// Range that nodes get their pod ranges from; `None` leaves nodes alone.
    pub cluster_cidr: Option<Ipv4Net>,
    /// The cluster's certificate authority, PEM, published in every namespace.
    pub root_ca: String,
    /// Ends the controllers.
    pub cancel: CancellationToken,
}

/// What controllers share besides their context.
pub(crate) struct Settings {
    pub(crate) cluster_cidr: Option<Ipv4Net>,
    pub(crate) root_ca: String,
}

/// Runs every controller until it is cancelled. A controller that fails is restarted; it never
/// ends the others.
pub async fn run(config: Config) {
    let settings =
        Arc::new(Settings { cluster_cidr: config.cluster_cidr, root_ca: config.root_ca });
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

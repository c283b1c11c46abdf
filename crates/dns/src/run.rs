//! Starting the server and feeding it from the API.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use client::{Event, Informer, InformerFactory, ObjectKey};
use k8s_openapi::api::core::v1::{Namespace, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use telemetry::metrics::Registry;
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::forward::Forwarder;
use crate::metrics::Metrics;
use crate::server::Server;
use crate::zone::Zone;

/// How cluster DNS is set up.
#[derive(Debug, Clone)]
pub struct DnsConfig {
    /// Addresses to answer on, by UDP and TCP.
    pub listen: Vec<SocketAddr>,
    /// The cluster domain, such as `cluster.local`.
    pub domain: String,
    /// Where the upstream servers are listed, such as `/etc/resolv.conf`.
    pub resolv_conf: PathBuf,
    /// The registry of the server's metrics.
    pub metrics: Registry,
}

/// Why cluster DNS could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An address is not to be had.
    #[error("listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's error.
        source: io::Error,
    },
    /// The cluster domain is not a domain name.
    #[error("cluster domain {0:?} is not a domain name")]
    Domain(String),
    /// A socket failed.
    #[error("DNS socket: {0}")]
    Socket(#[from] io::Error),
}

/// Answers questions until cancelled. Nothing is answered before the first list of every kind is
/// complete, so that no name is denied that exists.
///
/// # Errors
/// Where an address cannot be listened on, or a socket fails.
pub async fn run(
    factory: &InformerFactory,
    config: DnsConfig,
    cancel: CancellationToken,
) -> Result<(), Error> {
    let zone = Zone::new(&config.domain).map_err(|_| Error::Domain(config.domain.clone()))?;
    let forwarder = Forwarder::open(&config.resolv_conf, &config.listen);
    let metrics = Metrics::new(&config.metrics, &config.domain);
    let server = Arc::new(Server::new(zone, forwarder, metrics));
    tracing::info!(domain = config.domain, listen = ?config.listen, "cluster DNS starts");
    let mut sockets = Vec::new();
    for address in config.listen {
        let failed = |source| Error::Listen { address, source };
        let udp = UdpSocket::bind(address).await.map_err(failed)?;
        let tcp = TcpListener::bind(address).await.map_err(failed)?;
        sockets.push((Arc::new(udp), tcp));
    }
    let namespaces = factory.informer::<Namespace>();
    let services = factory.informer::<Service>();
    let slices = factory.informer::<EndpointSlice>();
    let feed = Feed { server: Arc::clone(&server), namespaces, services, slices };
    let serve = async {
        let mut tasks = JoinSet::new();
        let (ready, synced) = tokio::sync::oneshot::channel();
        tasks.spawn(feed.run(ready));
        // The feed ends only with this whole future.
        synced.await.ok();
        for (udp, tcp) in sockets {
            tasks.spawn(Arc::clone(&server).serve_udp(udp));
            tasks.spawn(Arc::clone(&server).serve_tcp(tcp));
        }
        match tasks.join_next().await {
            Some(Ok(result)) => result,
            Some(Err(error)) => Err(io::Error::other(error)),
            None => Ok(()),
        }
    };
    cancel.run_until_cancelled(serve).await.unwrap_or(Ok(())).map_err(Error::Socket)
}

/// Keeps the catalog like the API.
struct Feed {
    server: Arc<Server>,
    namespaces: Informer<Namespace>,
    services: Informer<Service>,
    slices: Informer<EndpointSlice>,
}

impl Feed {
    async fn run(self, ready: tokio::sync::oneshot::Sender<()>) -> io::Result<()> {
        let mut namespaces = self.namespaces.subscribe();
        let mut services = self.services.subscribe();
        let mut slices = self.slices.subscribe();
        tokio::join!(
            self.namespaces.wait_synced(),
            self.services.wait_synced(),
            self.slices.wait_synced()
        );
        while let Ok(event) = namespaces.try_recv() {
            self.namespace(&event);
        }
        while let Ok(event) = services.try_recv() {
            self.service(&event);
        }
        while let Ok(event) = slices.try_recv() {
            self.slice(&event);
        }
        ready.send(()).ok();
        loop {
            tokio::select! {
                Some(event) = namespaces.recv() => self.namespace(&event),
                Some(event) = services.recv() => self.service(&event),
                Some(event) = slices.recv() => self.slice(&event),
                else => return Err(io::Error::other("the informers ended")),
            }
        }
    }

    fn namespace(&self, event: &Event<Namespace>) {
        let name = ObjectKey::of(&**event.object()).name;
        let mut catalog = self.server.catalog.write();
        match event {
            Event::Deleted(_) => catalog.remove_namespace(&name),
            _ => catalog.add_namespace(&name),
        }
    }

    fn service(&self, event: &Event<Service>) {
        let service = Some(&**event.object()).filter(|_| !matches!(event, Event::Deleted(_)));
        let key = ObjectKey::of(&**event.object());
        self.server.catalog.write().set_service(&key, service);
    }

    fn slice(&self, event: &Event<EndpointSlice>) {
        let slice = Some(&**event.object()).filter(|_| !matches!(event, Event::Deleted(_)));
        let key = ObjectKey::of(&**event.object());
        self.server.catalog.write().set_slice(&key, slice);
    }
}

//! The server's state and its start.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use apimachinery::Status;
use arc_swap::ArcSwap;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Request, Response};
use ipnet::Ipv4Net;
use store::{CommitError, Store};
use telemetry::task;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::admission::{Hooks, Policies, QuotaLocks};
use crate::aggregation::{Backends, FrontProxy};
use crate::allocator::{Addresses, NodePorts};
use crate::authz::{Attributes, Decision};
use crate::body::Body;
use crate::cache::{Cache, Collection, Corrupt, Entry, Snapshot, prefix};
use crate::limits::{InFlight, Work};
use crate::metrics::Metrics;
use crate::registry::{self, Kind, Kinds};
use crate::request::RequestInfo;
use crate::user::User;
use crate::{authn, authz, chain, openapi, webhook};

/// The configuration of an API server.
pub struct Config {
    /// Storage of the objects.
    pub store: Arc<dyn Store>,
    /// Range of cluster addresses of services.
    pub service_range: Ipv4Net,
    /// Signs and verifies service account tokens.
    pub signer: Arc<pki::Signer>,
    /// TLS configuration for connections to kubelets.
    pub kubelet_tls: Arc<rustls::ClientConfig>,
    /// The authority of client certificates in PEM.
    pub client_ca: String,
    /// How other API servers know this one.
    pub front_proxy: FrontProxy,
    /// True if scheduler and controllers run in this process, which ends when they fail.
    pub components_within: bool,
    /// Address at which clients reach this server: the endpoint of the `kubernetes` service.
    pub advertise: SocketAddr,
    /// The registry that `/metrics` serves; the server adds its own metrics.
    pub metrics: telemetry::metrics::Registry,
}

/// The reason why a server could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] CommitError),
    /// Stored data is damaged.
    #[error(transparent)]
    Corrupt(#[from] Corrupt),
    /// The cluster's own objects could not be created.
    #[error("bootstrapping the cluster: {0}")]
    Bootstrap(#[from] Status),
}

/// State that strategies and handlers share, apart from the cache.
pub(crate) struct Settings {
    pub(crate) addresses: Addresses,
    pub(crate) node_ports: NodePorts,
    pub(crate) signer: Arc<pki::Signer>,
    pub(crate) kubelet_tls: Arc<rustls::ClientConfig>,
    pub(crate) client_ca: String,
    pub(crate) components_within: bool,
    pub(crate) advertise: SocketAddr,
    pub(crate) service_range: Ipv4Net,
}

/// The server's state.
pub(crate) struct Server {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) cache: Arc<Cache>,
    pub(crate) settings: Settings,
    pub(crate) rbac: authz::Rbac,
    pub(crate) metrics: Metrics,
    pub(crate) openapi: openapi::Documents,
    pub(crate) quota_locks: QuotaLocks,
    pub(crate) mutating_hooks: Hooks,
    pub(crate) validating_hooks: Hooks,
    pub(crate) policies: Policies,
    /// Group versions that other servers serve.
    pub(crate) backends: Backends,
    /// Connections to webhooks.
    pub(crate) webhooks: webhook::Pool,
    /// The kinds that are served now.
    kinds: ArcSwap<Kinds>,
    pub(crate) token_uses: authn::Uses,
    pub(crate) in_flight: InFlight,
    pub(crate) work: Work,
    /// Stops the background tasks of the server.
    _life: DropGuard,
}

/// An API server. Cloning shares it.
#[derive(Clone)]
pub struct ApiServer(pub(crate) Arc<Server>);

impl ApiServer {
    /// Fills the caches and creates the objects that every cluster has.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let feed = config.store.feed().await?;
        let stored = registry::kinds().filter(|k| k.conversion.is_none());
        let resources = stored.map(|k| (prefix(k.group, k.resource), k.selectable));
        let cache = Arc::new(Cache::start(feed, resources)?);
        let settings = Settings {
            addresses: Addresses::new(config.service_range),
            node_ports: NodePorts::new(),
            signer: config.signer,
            kubelet_tls: config.kubelet_tls,
            client_ca: config.client_ca,
            components_within: config.components_within,
            advertise: config.advertise,
            service_range: config.service_range,
        };
        let (token_uses, uses) = authn::uses();
        let life = CancellationToken::new();
        let metrics = Metrics::new(config.metrics, &cache, &config.store);
        let server = Arc::new(Server {
            store: config.store,
            cache,
            settings,
            rbac: authz::Rbac::default(),
            metrics,
            openapi: openapi::Documents::default(),
            quota_locks: QuotaLocks::default(),
            mutating_hooks: Hooks::mutating(),
            validating_hooks: Hooks::validating(),
            policies: Policies::default(),
            backends: Backends::new(config.front_proxy),
            webhooks: webhook::Pool::default(),
            kinds: ArcSwap::from_pointee(Kinds::new(BTreeMap::new())),
            token_uses,
            in_flight: InFlight::default(),
            work: Work::default(),
            _life: life.clone().drop_guard(),
        });
        crate::definitions::load(&server)?;
        crate::bootstrap::reserve_service_addresses(&server);
        crate::bootstrap::run(&server).await?;
        let weak = Arc::downgrade(&server);
        let expire = move || crate::event_ttl::run(weak.clone());
        let expire = task::keep_until_cancelled("event-ttl", life.clone(), expire);
        task::spawn("event-ttl", expire);
        let weak = Arc::downgrade(&server);
        let tell = move || crate::flow_schemas::run(weak.clone());
        let tell = task::keep_until_cancelled("flow-schemas", life.clone(), tell);
        task::spawn("flow-schemas", tell);
        let weak = Arc::downgrade(&server);
        let follow = move || crate::definitions::run(weak.clone());
        let follow = task::keep_until_cancelled("definitions", life.clone(), follow);
        task::spawn("definitions", follow);
        let weak = Arc::downgrade(&server);
        let follow = move || crate::aggregation::run(weak.clone());
        let follow = task::keep_until_cancelled("aggregation", life, follow);
        task::spawn("aggregation", follow);
        authn::track(&server, uses);
        Ok(Self(server))
    }

    /// Answers one request. `user` is set for callers in this process; other callers are
    /// authenticated by the credentials of the request and its connection.
    pub fn handle(
        &self,
        request: Request<Body>,
        user: Option<User>,
    ) -> BoxFuture<'static, Response<Body>> {
        let answer = chain::handle(self.0.clone(), request, user);
        Box::pin(answer.map(|answer| answer.unwrap_or_else(|never| match never {})))
    }
}

impl Server {
    /// Refuses a request that the user may not make; `verb` differs from the request's if a handler
    /// needs another right than the method's.
    pub(crate) fn authorize(
        &self,
        user: &User,
        verb: &str,
        info: &RequestInfo,
    ) -> Result<(), Status> {
        let attributes = Attributes::of(user, verb, info);
        match authz::decide(self, &attributes) {
            Decision::Allow(_) => Ok(()),
            Decision::Deny(reason) => Err(authz::forbidden(&attributes, &reason)),
        }
    }

    /// Returns true if the store accepts no further writes.
    pub(crate) fn store_failed(&self) -> bool {
        self.store.failed().now_or_never().is_some()
    }

    /// The kinds that are served now.
    pub(crate) fn kinds(&self) -> Arc<Kinds> {
        self.kinds.load_full()
    }

    /// Serves other kinds from now on.
    pub(crate) fn serve_kinds(&self, kinds: Kinds) {
        self.openapi.publish(&kinds);
        self.kinds.store(Arc::new(kinds));
    }

    /// The collection that holds a kind's objects.
    pub(crate) fn collection(&self, kind: &Kind) -> Result<Arc<Collection>, Status> {
        self.cache
            .collection(kind.stored_group(), kind.resource)
            .ok_or_else(|| Status::internal(format!("{} are not stored", kind.resource)))
    }

    /// One object's entry.
    pub(crate) fn entry(&self, kind: &Kind, namespace: &str, name: &str) -> Option<Arc<Entry>> {
        let namespace = if kind.namespaced { namespace } else { "" };
        self.collection(kind).ok()?.get(namespace, name)
    }

    /// All objects of a kind now, and the revision of that state.
    pub(crate) fn present(&self, kind: &Kind) -> Result<(Arc<Snapshot>, u64), Status> {
        let collection = self.collection(kind)?;
        // In this order: the snapshot then contains everything up to the revision read before.
        let applied = self.cache.revision();
        let snapshot = collection.snapshot();
        let revision = applied.max(snapshot.revision);
        Ok((snapshot, revision))
    }
}

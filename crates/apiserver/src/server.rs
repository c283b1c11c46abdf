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

use crate::admission::{AdmissionError, AdmissionOptions, Chain, Hooks, Policies, QuotaLocks};
use crate::aggregation::{Backends, FrontProxy};
use crate::allocator::{Addresses, NodePorts};
use crate::audit::{AuditError, AuditOptions, Auditor};
use crate::authz::Attributes;
use crate::body::Body;
use crate::cache::{Cache, Collection, Corrupt, Demand, Entry, Snapshot, prefix};
use crate::encryption::{Encryption, EncryptionError, EncryptionOptions};
use crate::flow_control::FlowControl;
use crate::limits::Work;
use crate::metrics::Metrics;
use crate::registry::{self, Kind, Kinds};
use crate::request::RequestInfo;
use crate::storage::Storage;
use crate::user::User;
use crate::{authn, authz, chain, metrics, openapi, webhook};

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
    /// How senders of requests are authenticated.
    pub authentication: authn::Authentication,
    /// The authorizers.
    pub authorization: authz::Authorization,
    /// How other API servers know this one.
    pub front_proxy: FrontProxy,
    /// True if scheduler and controllers run in this process, which ends when they fail.
    pub components_within: bool,
    /// Address at which clients reach this server: the endpoint of the `kubernetes` service.
    pub advertise: SocketAddr,
    /// The admission plugins that run.
    pub admission: AdmissionOptions,
    /// The audit policy, and where events go.
    pub audit: AuditOptions,
    /// How stored values are encrypted.
    pub encryption: EncryptionOptions,
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
    /// The admission plugins cannot run as they are configured.
    #[error(transparent)]
    Admission(#[from] AdmissionError),
    /// There can be no audit as it is configured.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The options of authentication cannot be used.
    #[error(transparent)]
    Authentication(#[from] authn::OptionsError),
    /// The options of authorization cannot be used.
    #[error(transparent)]
    Authorization(#[from] authz::AuthorizationError),
    /// Stored values cannot be encrypted as configured.
    #[error(transparent)]
    Encryption(#[from] EncryptionError),
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
    pub(crate) components_within: bool,
    pub(crate) advertise: SocketAddr,
    pub(crate) service_range: Ipv4Net,
}

/// The server's state.
pub(crate) struct Server {
    pub(crate) storage: Arc<Storage>,
    pub(crate) cache: Arc<Cache>,
    pub(crate) settings: Settings,
    pub(crate) authn: authn::Authenticators,
    pub(crate) authorizers: authz::Authorizers,
    pub(crate) rbac: authz::Rbac,
    pub(crate) metrics: Metrics,
    pub(crate) openapi: openapi::Documents,
    pub(crate) admission: Chain,
    /// `None` if nothing is audited.
    pub(crate) audit: Option<Arc<Auditor>>,
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
    pub(crate) flow_control: Arc<FlowControl>,
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
        let admission = Chain::new(&config.admission)?;
        let name = config.advertise.to_string();
        let encryption = Arc::new(metrics::Encryption::new(&config.metrics, &name));
        let encryption = Encryption::open(&config.encryption, encryption).await?;
        let storage = Storage::new(config.store, encryption);
        let feed = storage.feed().await?;
        let stored = registry::kinds().filter(|k| k.conversion.is_none());
        let resources = stored.map(|k| (prefix(k.group, k.resource), k.selectable));
        let cache = Arc::new(Cache::start(feed, resources)?);
        let settings = Settings {
            addresses: Addresses::new(config.service_range),
            node_ports: NodePorts::new(),
            signer: config.signer,
            kubelet_tls: config.kubelet_tls,
            components_within: config.components_within,
            advertise: config.advertise,
            service_range: config.service_range,
        };
        let (token_uses, uses) = authn::uses();
        let life = CancellationToken::new();
        let metrics = Metrics::new(config.metrics, &name, &cache, storage.store());
        let flow_control = Arc::new(FlowControl::new(metrics.flow_control.clone()));
        let mut authentication = config.authentication;
        if config.authorization.allows_everybody() && authentication.anonymous_auth != Some(false) {
            // As upstream: else everybody who reaches the port may do everything.
            tracing::warn!("AlwaysAllow goes with no anonymous requests: they are refused");
            authentication.anonymous_auth = Some(false);
        }
        let authn = authn::Authenticators::new(
            &authentication,
            &config.client_ca,
            &settings.signer,
            &metrics,
        )?;
        let authorizers = authz::Authorizers::new(&config.authorization, &metrics)?;
        let audit = Auditor::open(&config.audit, metrics.audit.clone())?;
        let (audit, audit_tasks) = audit.unzip();
        let server = Arc::new(Server {
            storage,
            cache,
            settings,
            authn,
            authorizers,
            rbac: authz::Rbac::default(),
            metrics,
            openapi: openapi::Documents::default(),
            admission,
            audit,
            quota_locks: QuotaLocks::default(),
            mutating_hooks: Hooks::mutating(),
            validating_hooks: Hooks::validating(),
            policies: Policies::default(),
            backends: Backends::new(config.front_proxy),
            webhooks: webhook::Pool::default(),
            kinds: ArcSwap::from_pointee(Kinds::new(BTreeMap::new())),
            token_uses,
            flow_control: flow_control.clone(),
            work: Work::default(),
            _life: life.clone().drop_guard(),
        });
        if let (Some(auditor), Some(tasks)) = (&server.audit, audit_tasks) {
            auditor.run(tasks, &server);
        }
        crate::definitions::load(&server)?;
        crate::bootstrap::reserve_service_addresses(&server);
        crate::bootstrap::run(&server).await?;
        let weak = Arc::downgrade(&server);
        let expire = move || crate::event_ttl::run(weak.clone());
        let expire = task::keep_until_cancelled("event-ttl", life.clone(), expire);
        task::spawn("event-ttl", expire);
        let lend = move || flow_control.clone().run();
        task::spawn("flow-control", task::keep_until_cancelled("flow-control", life.clone(), lend));
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
        let follow = task::keep_until_cancelled("aggregation", life.clone(), follow);
        task::spawn("aggregation", follow);
        let weak = Arc::downgrade(&server);
        let reload = move || authn::reload(weak.clone());
        let reload = task::keep_until_cancelled("authentication-config", life.clone(), reload);
        task::spawn("authentication-config", reload);
        let weak = Arc::downgrade(&server);
        let follow = move || authn::follow_authorities(weak.clone());
        let follow = task::keep_until_cancelled("client-authorities", life.clone(), follow);
        task::spawn("client-authorities", follow);
        let weak = Arc::downgrade(&server);
        let reload = move || authz::reload(weak.clone());
        let reload = task::keep_until_cancelled("authorization-config", life.clone(), reload);
        task::spawn("authorization-config", reload);
        let weak = Arc::downgrade(&server);
        let reload = move || crate::encryption::run(weak.clone());
        let reload = task::keep_until_cancelled("encryption-config", life, reload);
        task::spawn("encryption-config", reload);
        authn::track(&server, uses);
        Ok(Self(server))
    }

    /// Returns when the audit events of all requests so far are written, or lost.
    pub async fn flush_audit(&self) {
        if let Some(auditor) = &self.0.audit {
            auditor.flush().await;
        }
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
    pub(crate) async fn authorize(
        &self,
        user: &User,
        verb: &str,
        info: &RequestInfo,
    ) -> Result<(), Status> {
        let attributes = Attributes::of(user, verb, info);
        authz::decide(self, attributes).await.check(&attributes)
    }

    /// Returns true if the store accepts no further writes.
    pub(crate) fn store_failed(&self) -> bool {
        self.storage.store().failed().now_or_never().is_some()
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
        self.selected(kind, "", &[])
    }

    /// As [`Server::present`], with an index for one of the demands where that pays. Objects of a
    /// namespace, if one is given, can all be read.
    pub(crate) fn selected(
        &self,
        kind: &Kind,
        namespace: &str,
        demands: &[Demand],
    ) -> Result<(Arc<Snapshot>, u64), Status> {
        self.storage.readable(kind, namespace)?;
        let collection = self.collection(kind)?;
        // In this order: the snapshot then contains everything up to the revision read before.
        let applied = self.cache.revision();
        let snapshot = collection.indexed(demands);
        let revision = applied.max(snapshot.revision);
        Ok((snapshot, revision))
    }
}

//! The path of a request, readable top to bottom.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use apimachinery::Status;
use futures::future::BoxFuture;
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, HeaderName, USER_AGENT, WARNING};
use http::{HeaderMap, Request, Response, StatusCode};
use ipnet::Ipv4Net;
use store::{CommitError, Store};
use telemetry::task;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{Instrument, Span};

use crate::admission::QuotaTurns;
use crate::allocator::{Addresses, NodePorts};
use crate::authz::{Attributes, Decision};
use crate::body::{Body, Unread};
use crate::cache::{Cache, Collection, Corrupt, Entry, Snapshot, prefix};
use crate::limits::{self, Abandoned, InFlight, Work};
use crate::metrics::Metrics;
use crate::negotiate::{Accepted, Encoding, Offer};
use crate::registry::{self, Kind, Sub};
use crate::request::{Query, RequestInfo};
use crate::trace::{AUDIT_ID, Stages, Trace};
use crate::user::User;
use crate::verbs::{self, Call};
use crate::{authn, authz, discovery, encode, health, openapi, routes, warning};

/// What an API server is made with.
pub struct Config {
    /// Where objects live.
    pub store: Arc<dyn Store>,
    /// Range of cluster addresses of services.
    pub service_range: Ipv4Net,
    /// Signs and verifies service account tokens.
    pub signer: Arc<pki::Signer>,
    /// How this server authenticates to kubelets.
    pub kubelet_tls: Arc<rustls::ClientConfig>,
    /// The authority of client certificates, PEM.
    pub client_ca: String,
    /// Whether scheduler and controllers run in this process, which ends with them.
    pub components_within: bool,
    /// Where clients reach this server: the endpoint of the `kubernetes` service.
    pub advertise: SocketAddr,
    /// What `/metrics` serves; the server adds its own.
    pub metrics: telemetry::metrics::Registry,
}

/// Why a server could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] CommitError),
    /// What is stored is damaged.
    #[error(transparent)]
    Corrupt(#[from] Corrupt),
    /// The cluster's own objects could not be made.
    #[error("bootstrapping the cluster: {0}")]
    Bootstrap(#[from] Status),
}

/// What strategies and handlers share besides the cache.
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
    pub(crate) quota_turns: QuotaTurns,
    pub(crate) token_uses: authn::Uses,
    in_flight: InFlight,
    work: Work,
    /// Ends what runs beside the server.
    _life: DropGuard,
}

/// An API server. Cloning shares it.
#[derive(Clone)]
pub struct ApiServer(pub(crate) Arc<Server>);

impl ApiServer {
    /// Fills the caches and makes the objects every cluster has.
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
            quota_turns: QuotaTurns::default(),
            token_uses,
            in_flight: InFlight::default(),
            work: Work::default(),
            _life: life.clone().drop_guard(),
        });
        crate::bootstrap::reserve_service_addresses(&server);
        crate::bootstrap::run(&server).await?;
        let weak = Arc::downgrade(&server);
        let expire = move || crate::event_ttl::run(weak.clone());
        let expire = task::keep_until_cancelled("event-ttl", life.clone(), expire);
        task::spawn("event-ttl", expire);
        let weak = Arc::downgrade(&server);
        let tell = move || crate::flow_schemas::run(weak.clone());
        let tell = task::keep_until_cancelled("flow-schemas", life, tell);
        task::spawn("flow-schemas", tell);
        authn::track(&server, uses);
        Ok(Self(server))
    }

    /// Answers one request. `user` is set for callers inside this process; others are
    /// authenticated by the credentials in the request and its connection.
    pub fn handle(
        &self,
        request: Request<Body>,
        user: Option<User>,
    ) -> BoxFuture<'static, Response<Body>> {
        let server = self.0.clone();
        Box::pin(async move { server.handle(request, user).await })
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Serves a request within its span. A panic harms nobody else; its client has upstream's answer.
async fn guarded(
    span: Span,
    serve: impl Future<Output = Result<Response<Body>, Status>> + Send + 'static,
) -> Result<Response<Body>, Status> {
    let serve = task::caught(task::watched("request", serve)).instrument(span);
    serve.await.unwrap_or_else(|task::Panicked| {
        let text = "This request caused apiserver to panic. Look in the logs for details.\n";
        Ok(routes::plain(StatusCode::INTERNAL_SERVER_ERROR, text))
    })
}

impl Server {
    async fn handle(self: Arc<Self>, request: Request<Body>, user: Option<User>) -> Response<Body> {
        let begun = Instant::now();
        let mut request = request.map(Unread::wrap);
        let trace = Trace::begin(request.method(), request.uri().path(), request.headers());
        request.extensions_mut().insert(trace.stages.clone());
        let query = Query::parse(request.uri().query());
        let headers = request.headers();
        let accepts_gzip = header(headers, &ACCEPT_ENCODING)
            .is_some_and(|v| v.split(',').any(|e| e.trim().starts_with("gzip")));
        let accept = headers.get(&ACCEPT).cloned();
        let info = RequestInfo::parse(request.method(), request.uri().path(), &query);
        let tracked = self.metrics.requests.begin(info.as_ref().ok(), &query, headers);
        let lasts = info.as_ref().is_ok_and(limits::is_long_running);
        let allotted = limits::allotted(&query);
        let deadline = begun + *allotted.as_ref().unwrap_or(&limits::LONGEST);
        let span = trace.span.clone();
        // A write that has not begun when its client leaves never does.
        let gone = CancellationToken::new();
        request.extensions_mut().insert(gone.clone());
        let _gone = gone.drop_guard();
        let outcome = match info {
            Ok(info) => {
                let reads = info.is_read();
                let serve = guarded(span, self.clone().serve(request, user, info, query));
                match allotted {
                    _ if lasts => serve.await,
                    Ok(time) if reads => limits::within(time, serve).await,
                    // A write that has begun is finished, whether or not its client still waits:
                    // what it took for a commit that it never saw would be lost.
                    Ok(time) => {
                        let write = task::spawn("request", serve);
                        let ended = |ended| Err(Status::internal(ended));
                        let write = async { write.await.unwrap_or_else(ended) };
                        limits::within(time, write).await
                    }
                    Err(status) => Err(status),
                }
            }
            Err(_) => Err(routes::no_such_path()),
        };
        let served = outcome.is_ok();
        let mut response = match outcome {
            Ok(response) => response,
            Err(status) => {
                let accept = accept.as_ref().and_then(|value| value.to_str().ok());
                encode::error(&status, wanted_encoding(accept))
            }
        };
        if !lasts {
            response.extensions_mut().insert(limits::Deadline(deadline));
        }
        let response = if accepts_gzip { crate::service::compress(response) } else { response };
        let audit_id = trace.end(response.status(), lasts);
        let mut response = self.metrics.requests.end(tracked, served, response);
        response.headers_mut().entry(AUDIT_ID).or_insert(audit_id);
        response
    }

    async fn serve(
        self: Arc<Self>,
        mut request: Request<Body>,
        user: Option<User>,
        info: RequestInfo,
        query: Query,
    ) -> Result<Response<Body>, Status> {
        let remote = user.is_none();
        let user = match user {
            Some(user) => user,
            None => {
                let begun = Instant::now();
                let user = authn::authenticate(&self, &request);
                let name = user.as_ref().ok().map(|user| user.name.as_str());
                self.metrics.access.authenticated(name, begun.elapsed());
                user?
            }
        };
        let user = authn::impersonate(&self, user, request.headers())?;
        Span::current().record("user", &*user.name);
        // The cluster's own components bound themselves.
        let place = if remote { Some(self.in_flight.enter(&user, &info)) } else { None };
        let _place = place.transpose()?;
        let begun = Instant::now();
        let authorized = self.authorize(&user, info.verb, &info);
        self.metrics.access.authorized(authorized.is_ok(), begun.elapsed());
        authorized?;
        let stages = request.extensions_mut().remove::<Stages>().unwrap_or_default();
        stages.passed("authorized");

        if !info.is_resource {
            return self.serve_path(&request, &query);
        }
        let Some((kind, sub)) = find(&info) else {
            let known = registry::find_group(&info.group).is_some();
            return if known { Err(routes::no_such_path()) } else { Ok(routes::page_not_found()) };
        };
        let methods = routes::methods(kind, sub, &info);
        if methods.is_empty() {
            return Err(routes::no_such_path());
        }
        let accept = header(request.headers(), &ACCEPT);
        if !methods.contains(&info.method.as_str()) {
            return Ok(routes::method_not_allowed(methods, wanted_encoding(accept)));
        }
        // Streams have their own protocols, whatever the client says it accepts.
        let accepted = match Accepted::negotiate(accept, routes::offer(kind, sub, &info)) {
            Err(_) if limits::is_stream(&info) && sub != Some(Sub::Log) => Accepted::JSON,
            other => other?,
        };
        let headers = request.headers();
        let agent = header(headers, &USER_AGENT).unwrap_or_default();
        let call = Call {
            server: &self,
            user,
            info,
            query,
            accepted,
            content_type: header(headers, &CONTENT_TYPE).map(str::to_owned),
            agent: agent.split('/').next().unwrap_or_default().to_owned(),
            kind,
            sub,
            dry: false,
            warnings: Default::default(),
            stages,
        };
        request.extensions_mut().remove::<User>();
        // What there is to warn of is said of a refused request too.
        let mut response = match self.dispatch(&call, request).await {
            Ok(response) => response,
            Err(status) => encode::error(&status, accepted.encoding),
        };
        call.stages.passed("answered");
        for value in warning::headers(call.warnings.into_inner()) {
            response.headers_mut().append(WARNING, value);
        }
        Ok(response)
    }

    /// Hands the request to its verb, with its whole body unless that is a stream.
    async fn dispatch(
        &self,
        call: &Call<'_>,
        request: Request<Body>,
    ) -> Result<Response<Body>, Status> {
        if call.info.is_read() || limits::is_stream(&call.info) {
            return verbs::dispatch(call, request).await;
        }
        let (parts, body) = request.into_parts();
        let time = limits::allotted(&call.query)?;
        let body = limits::within(time, crate::body::read(body)).await?;
        call.stages.passed("read");
        let stored = self.entry(call.kind, &call.info.namespace, &call.info.name);
        let bytes = body.len() + stored.map_or(0, |entry| entry.bytes.len());
        let gone = parts.extensions.get::<CancellationToken>().cloned().unwrap_or_default();
        let request = Request::from_parts(parts, crate::body::full(body));
        let done = self.work.run(&call.user.name, bytes, &gone, verbs::dispatch(call, request));
        done.await.unwrap_or_else(|Abandoned| Err(Status::timeout("the client has left", 0)))
    }

    /// Refuses what the user may not do; `verb` is another than the request's where a handler
    /// needs more than what the method says.
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

    /// Everything that is not a resource.
    fn serve_path(&self, request: &Request<Body>, query: &Query) -> Result<Response<Body>, Status> {
        let path = request.uri().path();
        let accept = header(request.headers(), &ACCEPT).unwrap_or_default();
        match path {
            "/healthz" | "/livez" | "/readyz" => return Ok(health::check(self, path, query)),
            #[cfg(test)]
            "/panics" => panic!("asked to"),
            "/metrics" => return Ok(self.metrics.scrape(request.headers())),
            "/metrics/slis" => return Ok(self.metrics.scrape_service_levels(request.headers())),
            "/openapi/v2" => return self.openapi.v2(accept, request.headers()),
            "/openapi/v3" => return Ok(self.openapi.v3_index()),
            _ => {}
        }
        if let Some(name) = path.strip_prefix("/openapi/v3/") {
            return Ok(self.openapi.v3(name, query, request.headers()));
        }
        if let Some(check) =
            ["/healthz/", "/livez/", "/readyz/"].iter().find_map(|p| path.strip_prefix(p))
        {
            return Ok(health::single(self, check));
        }
        discovery::answer(self, request.method(), path, accept)
    }

    /// Whether the store accepts nothing more.
    pub(crate) fn store_failed(&self) -> bool {
        use futures::FutureExt;
        self.store.failed().now_or_never().is_some()
    }

    /// The collection that holds a kind's objects.
    pub(crate) fn collection(&self, kind: &Kind) -> Result<&Arc<Collection>, Status> {
        self.cache
            .collection(kind.stored_group(), kind.resource)
            .ok_or_else(|| Status::internal(format!("{} are not stored", kind.resource)))
    }

    /// One object's entry.
    pub(crate) fn entry(&self, kind: &Kind, namespace: &str, name: &str) -> Option<Arc<Entry>> {
        let namespace = if kind.namespaced { namespace } else { "" };
        self.collection(kind).ok()?.get(namespace, name)
    }

    /// All objects of a kind now, and the revision that state is of.
    pub(crate) fn present(&self, kind: &Kind) -> Result<(Arc<Snapshot>, u64), Status> {
        let collection = self.collection(kind)?;
        // In this order: the snapshot then has everything up to the revision read before.
        let applied = self.cache.revision();
        let snapshot = collection.snapshot();
        let revision = applied.max(snapshot.revision);
        Ok((snapshot, revision))
    }
}

/// The row and the subresource that a path names.
fn find(info: &RequestInfo) -> Option<(&'static Kind, Option<Sub>)> {
    let kind = registry::find(&info.group, &info.version, &info.resource)?;
    let name = info.subresource.as_str();
    let sub = kind.subs.iter().copied().find(|sub| sub.name() == name);
    (name.is_empty() || sub.is_some()).then_some((kind, sub))
}

/// The encoding of errors that are found before anybody asks what the path can answer with.
fn wanted_encoding(accept: Option<&str>) -> Encoding {
    Accepted::negotiate(accept, Offer::List).map_or(Encoding::Json, |accepted| accepted.encoding)
}

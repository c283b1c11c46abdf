//! The API server's metrics: their names and where they are observed.

mod access;
mod admission;
mod audit;
mod authentication;
mod authorization;
mod encryption;
mod flow_control;
mod impersonation;
mod in_flight;
mod long_running;
mod pod_security;
mod requests;
mod stored;
mod token_cache;

use std::sync::Arc;

use http::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Response};
use store::Store;
use telemetry::metrics::{Counter, Desc, Exposition, Registry, ServiceLevels, build_info};

use crate::body::{Body, full};
use crate::cache::Cache;
use crate::discovery::VERSION;

pub(crate) use access::{Access, Authorized};
pub(crate) use admission::{Admission, Phase};
pub(crate) use audit::Audit;
pub(crate) use authentication::{Jwt, Reloads};
pub(crate) use authorization::{Authorization, AuthorizationWebhooks};
pub(crate) use encryption::Encryption;
pub(crate) use flow_control::{FlowControl, LevelMetrics, SchemaMetrics};
pub(crate) use impersonation::Impersonation;
pub(crate) use pod_security::{Decision, PodSecurity};
pub(crate) use requests::Requests;
pub(crate) use token_cache::TokenCache;

/// All metrics of the server.
pub(crate) struct Metrics {
    pub(crate) registry: Registry,
    pub(crate) requests: Arc<Requests>,
    pub(crate) access: Access,
    pub(crate) admission: Admission,
    pub(crate) audit: Audit,
    pub(crate) flow_control: FlowControl,
    pub(crate) pod_security: PodSecurity,
    pub(crate) service_levels: ServiceLevels,
    pub(crate) handshake_errors: Counter,
    pub(crate) jwt: Jwt,
    pub(crate) token_cache: TokenCache,
    pub(crate) authentication_reloads: Reloads,
    pub(crate) authorization: Authorization,
    pub(crate) impersonation: Impersonation,
    pub(crate) authorization_reloads: Reloads,
    pub(crate) encryption_reloads: Reloads,
}

impl Metrics {
    /// Registers them in `registry`, which `/metrics` serves. `server` identifies this server among
    /// those of its cluster.
    pub(crate) fn new(
        registry: Registry,
        server: &str,
        cache: &Arc<Cache>,
        store: &Arc<dyn Store>,
    ) -> Self {
        build_info(&registry, VERSION);
        stored::add(&registry, cache, store);
        Self {
            requests: Arc::new(Requests::new(&registry)),
            access: Access::new(&registry),
            admission: Admission::new(&registry),
            audit: Audit::new(&registry),
            flow_control: FlowControl::new(&registry),
            pod_security: PodSecurity::new(&registry),
            service_levels: ServiceLevels::default(),
            handshake_errors: registry.counter(Desc::alpha(
                "apiserver_tls_handshake_errors_total",
                "Number of requests dropped with 'TLS handshake error from' error",
            )),
            jwt: Jwt::new(&registry, server),
            token_cache: TokenCache::new(&registry),
            authentication_reloads: Reloads::of_authentication(&registry, server),
            authorization: Authorization::new(&registry),
            impersonation: Impersonation::new(&registry),
            authorization_reloads: Reloads::of_authorization(&registry, server),
            encryption_reloads: Reloads::of_encryption(&registry, server),
            registry,
        }
    }

    /// `/metrics`.
    pub(crate) fn scrape(&self, headers: &HeaderMap) -> Response<Body> {
        answer(self.registry.scrape(accept(headers)))
    }

    /// `/metrics/slis`: the results of health checks (KEP-3466).
    pub(crate) fn scrape_service_levels(&self, headers: &HeaderMap) -> Response<Body> {
        answer(self.service_levels.scrape(accept(headers)))
    }
}

fn accept(headers: &HeaderMap) -> Option<&str> {
    headers.get(ACCEPT)?.to_str().ok()
}

fn answer(exposition: Exposition) -> Response<Body> {
    let mut response = Response::new(full(exposition.body));
    if let Ok(media_type) = HeaderValue::try_from(exposition.content_type) {
        response.headers_mut().insert(CONTENT_TYPE, media_type);
    }
    response
}

//! The API server's metrics: their names and where they are observed.

mod access;
mod admission;
mod in_flight;
mod long_running;
mod requests;
mod stored;

use std::sync::Arc;

use http::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Response};
use store::Store;
use telemetry::metrics::{Counter, Desc, Exposition, Registry, ServiceLevels, build_info};

use crate::body::{Body, full};
use crate::cache::Cache;
use crate::discovery::VERSION;

pub(crate) use access::Access;
pub(crate) use admission::{Admission, Phase};
pub(crate) use requests::Requests;

/// All metrics of the server.
pub(crate) struct Metrics {
    pub(crate) registry: Registry,
    pub(crate) requests: Arc<Requests>,
    pub(crate) access: Access,
    pub(crate) admission: Admission,
    pub(crate) service_levels: ServiceLevels,
    pub(crate) handshake_errors: Counter,
}

impl Metrics {
    /// Registers them in `registry`, which `/metrics` serves.
    pub(crate) fn new(registry: Registry, cache: &Arc<Cache>, store: &Arc<dyn Store>) -> Self {
        build_info(&registry, VERSION);
        stored::add(&registry, cache, store);
        Self {
            requests: Arc::new(Requests::new(&registry)),
            access: Access::new(&registry),
            admission: Admission::new(&registry),
            service_levels: ServiceLevels::default(),
            handshake_errors: registry.counter(Desc::alpha(
                "apiserver_tls_handshake_errors_total",
                "Number of requests dropped with 'TLS handshake error from' error",
            )),
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

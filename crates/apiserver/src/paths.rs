//! Requests that are not for resources: health, metrics, discovery, OpenAPI.

use std::sync::{Arc, LazyLock};

use apimachinery::Status;
use axum::Router;
use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response as AxumResponse};
use axum::routing::any;
use http::header::ACCEPT;
use http::request::Parts;
use http::{HeaderMap, Method, Response, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::Service;

use crate::body::{Body, full};
use crate::chain::{Outcome, Received};
use crate::encode::{self, respond};
use crate::flow_control::Dump;
use crate::limits::Abandoned;
use crate::negotiate::{Accepted, Encoding, JSON, Offer};
use crate::request::Query;
use crate::resource::header;
use crate::server::Server;
use crate::{discovery, health, routes};

/// Paths are compared as written, and those outside of groups answer any method alike, as in
/// upstream.
static ROUTER: LazyLock<Router> = LazyLock::new(|| {
    let mut router = Router::new()
        .route("/metrics", any(metrics))
        .route("/debug/api_priority_and_fairness/dump_priority_levels", any(priority_levels))
        .route("/debug/api_priority_and_fairness/dump_queues", any(queues))
        .route("/metrics/slis", any(service_levels))
        .route("/openapi/v2", any(openapi_v2))
        .route("/openapi/v3", any(openapi_v3_index))
        .route("/openapi/v3/{*name}", any(openapi_v3))
        .route("/apis/{group}/{version}/{*rest}", any(discovery::below_a_version))
        .route("/api/{version}/{*rest}", any(discovery::below_a_version))
        .route("/version/{*rest}", any(discovery::below_a_version))
        .route("/", any(discovery::root))
        .fallback(async || routes::page_not_found().map(axum::body::Body::new));
    for health in ["healthz", "livez", "readyz"] {
        router = router
            .route(&format!("/{health}"), any(health::check))
            .route(&format!("/{health}/{{*check}}"), any(health::single));
    }
    for (path, handler) in [
        ("/api", any(discovery::core_versions)),
        ("/api/{version}", any(discovery::core_resources)),
        ("/apis", any(discovery::groups)),
        ("/apis/{group}", any(discovery::group)),
        ("/apis/{group}/{version}", any(discovery::resources)),
        ("/version", any(discovery::server_version)),
        ("/.well-known/openid-configuration", any(discovery::issuer)),
        ("/openid/v1/jwks", any(discovery::signing_keys)),
    ] {
        router = router.route(path, handler.clone()).route(&format!("{path}/"), handler);
    }
    #[cfg(test)]
    {
        router = router.route("/panics", any(async || -> () { panic!("asked to") }));
    }
    router
});

/// Answers a request that has been authorized.
pub(crate) async fn serve(received: Received) -> Outcome {
    let user = received.user()?.name.clone();
    let Received { server, mut request, query, gone, .. } = received;
    // The first of the large documents takes long to make.
    let long = request.uri().path().starts_with("/openapi/");
    request.extensions_mut().insert((server.clone(), query));
    let answer = server.work.run(&user, long, &gone, ROUTER.clone().call(request)).await;
    let mut response = match answer {
        Ok(Ok(response)) => response,
        Ok(Err(never)) => match never {},
        Err(Abandoned) => return Err(Status::timeout("the client has left", 0)),
    };
    match response.extensions_mut().remove::<Status>() {
        Some(status) => Err(status),
        None => Ok(response.map(|body| body.map_err(Into::into).boxed_unsync())),
    }
}

/// A request for one of these paths.
pub(crate) struct Asked {
    pub(crate) server: Arc<Server>,
    pub(crate) query: Query,
    parts: Parts,
}

/// A refusal, which the chain encodes for the client.
pub(crate) struct Refused(pub(crate) Status);

pub(crate) type Answered = Result<Response<Body>, Refused>;

impl IntoResponse for Refused {
    fn into_response(self) -> AxumResponse {
        let mut response = AxumResponse::default();
        response.extensions_mut().insert(self.0);
        response
    }
}

impl<S: Sync> FromRequestParts<S> for Asked {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refused> {
        let (server, query) = parts
            .extensions
            .remove::<(Arc<Server>, Query)>()
            .ok_or_else(|| Refused(Status::internal("the request is not the server's")))?;
        Ok(Self { server, query, parts: parts.clone() })
    }
}

impl Asked {
    pub(crate) fn path(&self) -> &str {
        self.parts.uri.path()
    }

    /// One segment of the path, from 0.
    pub(crate) fn segment(&self, index: usize) -> &str {
        self.path().split('/').nth(index + 1).unwrap_or_default()
    }

    fn accept(&self) -> &str {
        header(self.headers(), &ACCEPT).unwrap_or_default()
    }

    fn headers(&self) -> &HeaderMap {
        &self.parts.headers
    }

    /// Returns true if the client asks for the aggregated form of discovery before any other.
    pub(crate) fn wants_aggregated(&self) -> bool {
        discovery::wants_aggregated(self.accept())
    }

    /// Returns a document for any method.
    pub(crate) fn document(&self, document: Value) -> Answered {
        // A document that is not an API object has only one form.
        if document.get("kind").is_none() {
            let jwks = self.path().starts_with("/openid/");
            let media_type = if jwks { "application/jwk-set+json" } else { JSON };
            return Ok(respond(StatusCode::OK, media_type, full(document.to_string())));
        }
        let accepted = Accepted::negotiate(Some(self.accept()), Offer::Plain).map_err(Refused)?;
        encode::value(StatusCode::OK, &document, accepted.encoding).map_err(Refused)
    }

    /// Returns a document for GET only.
    pub(crate) fn only_get(&self, document: Value) -> Answered {
        if self.parts.method == Method::GET {
            return self.document(document);
        }
        let accepted = Accepted::negotiate(Some(self.accept()), Offer::Plain);
        let encoding = accepted.map_or(Encoding::Json, |accepted| accepted.encoding);
        Ok(routes::method_not_allowed(&["GET"], encoding))
    }
}

async fn metrics(asked: Asked) -> Response<Body> {
    asked.server.metrics.scrape(asked.headers())
}

async fn priority_levels(asked: Asked) -> Response<Body> {
    dump(&asked, Dump::Levels)
}

async fn queues(asked: Asked) -> Response<Body> {
    dump(&asked, Dump::Queues)
}

fn dump(asked: &Asked, which: Dump) -> Response<Body> {
    let text = asked.server.flow_control.dump(which);
    respond(StatusCode::OK, "text/plain; charset=utf-8", full(text))
}

async fn service_levels(asked: Asked) -> Response<Body> {
    asked.server.metrics.scrape_service_levels(asked.headers())
}

async fn openapi_v2(asked: Asked) -> Answered {
    asked.server.openapi.v2(asked.accept(), asked.headers()).map_err(Refused)
}

async fn openapi_v3_index(asked: Asked) -> Response<Body> {
    asked.server.openapi.v3_index()
}

async fn openapi_v3(asked: Asked) -> Response<Body> {
    let name = asked.path().strip_prefix("/openapi/v3/").unwrap_or_default();
    asked.server.openapi.v3(name, &asked.query, asked.headers())
}

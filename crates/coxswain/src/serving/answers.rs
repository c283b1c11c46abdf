//! The routes of a component's health and metrics.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{ACCEPT, CONTENT_TYPE, HeaderMap};
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use telemetry::metrics::{Exposition, ServiceLevels};

use super::{Endpoints, access};

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

fn respond(code: StatusCode, media_type: &str, body: impl Into<Body>) -> Response {
    (code, [(CONTENT_TYPE, media_type)], body.into()).into_response()
}

/// A failure as a `Status`.
pub(super) fn refuse(code: StatusCode, reason: &str, message: &str) -> Response {
    let status = serde_json::json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code.as_u16(),
    });
    respond(code, JSON, status.to_string())
}

impl Endpoints {
    /// The routes, behind the layer that guards them where there is one.
    pub(super) fn router(self) -> Router {
        let Self { registry, levels, resources, proxy, access } = self;
        let router = match proxy {
            Some(proxy) => {
                let live = proxy.clone();
                Router::new()
                    .route("/healthz", get(async move || reported(proxy.healthz())))
                    .route("/livez", get(async move || reported(live.livez())))
                    .route("/proxyMode", get(async || respond(StatusCode::OK, TEXT, "nftables")))
            }
            None => ["healthz", "livez", "readyz"].into_iter().fold(Router::new(), |router, of| {
                let levels = levels.clone();
                let check = async move |uri: Uri| checked(&levels, of, uri.query());
                router.route(&format!("/{of}"), get(check))
            }),
        };
        let mut router = router
            .route("/metrics", exposed(move |accept| registry.scrape(accept)))
            .route("/metrics/slis", exposed(move |accept| levels.scrape(accept)));
        if let Some(resources) = resources {
            let resources = exposed(move |accept| resources.scrape(accept));
            router = router.route("/metrics/resources", resources);
        }
        let absent = async || respond(StatusCode::NOT_FOUND, TEXT, "404 page not found\n");
        let router = router.fallback(absent).layer(from_fn(read_only));
        match access {
            Some(access) => router.layer(from_fn_with_state(Arc::new(access), access::authorize)),
            None => router,
        }
    }
}

/// The layer that lets pass what only reads.
async fn read_only(request: Request, next: Next) -> Response {
    match *request.method() {
        Method::GET | Method::HEAD => next.run(request).await,
        _ => respond(StatusCode::METHOD_NOT_ALLOWED, TEXT, "405: Method Not Allowed\n"),
    }
}

/// Metrics, in the format that the client accepts.
fn exposed(
    scrape: impl Fn(Option<&str>) -> Exposition + Clone + Send + Sync + 'static,
) -> MethodRouter {
    get(async move |headers: HeaderMap| {
        let exposition = scrape(headers.get(ACCEPT).and_then(|value| value.to_str().ok()));
        respond(StatusCode::OK, &exposition.content_type, exposition.body)
    })
}

/// That an answer comes is the check.
fn checked(levels: &ServiceLevels, of: &'static str, query: Option<&str>) -> Response {
    levels.checked("ping", of, true);
    let mut parameters = query.unwrap_or_default().split('&');
    match parameters.any(|part| part.split('=').next() == Some("verbose")) {
        true => respond(StatusCode::OK, TEXT, format!("[+]ping ok\n{of} check passed\n")),
        false => respond(StatusCode::OK, TEXT, "ok"),
    }
}

fn reported(report: proxy::Report) -> Response {
    let code = if report.healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    respond(code, JSON, report.body)
}

//! Which path leads where.

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use telemetry::metrics::Exposition;

use super::{Answer, Endpoints};

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

pub(super) fn respond(code: StatusCode, media_type: &str, body: impl Into<Bytes>) -> Answer {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = code;
    if let Ok(media_type) = HeaderValue::from_str(media_type) {
        response.headers_mut().insert(CONTENT_TYPE, media_type);
    }
    response
}

/// A failure as a `Status`.
pub(super) fn refuse(code: StatusCode, reason: &str, message: &str) -> Answer {
    let status = serde_json::json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code.as_u16(),
    });
    respond(code, JSON, status.to_string())
}

impl Endpoints {
    pub(super) async fn answer(
        &self,
        request: &Request<Incoming>,
        peer: Option<&pki::ClientCertificate>,
    ) -> Answer {
        if let Some(access) = &self.access
            && let Err(refused) = access.check(request, peer).await
        {
            return *refused;
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return respond(StatusCode::METHOD_NOT_ALLOWED, TEXT, "405: Method Not Allowed\n");
        }
        let accept = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok());
        let exposed = |e: Exposition| respond(StatusCode::OK, &e.content_type, e.body);
        match (request.uri().path(), &self.proxy, &self.resources) {
            ("/healthz", Some(proxy), _) => reported(proxy.healthz()),
            ("/livez", Some(proxy), _) => reported(proxy.livez()),
            ("/proxyMode", Some(_), _) => respond(StatusCode::OK, TEXT, "nftables"),
            (path @ ("/healthz" | "/livez" | "/readyz"), None, _) => {
                self.check(path, request.uri().query().unwrap_or_default())
            }
            ("/metrics", ..) => exposed(self.registry.scrape(accept)),
            ("/metrics/slis", ..) => exposed(self.levels.scrape(accept)),
            ("/metrics/resources", _, Some(resources)) => exposed(resources.scrape(accept)),
            _ => respond(StatusCode::NOT_FOUND, TEXT, "404 page not found\n"),
        }
    }

    /// That an answer comes is the check.
    fn check(&self, path: &str, query: &str) -> Answer {
        let of = match path {
            "/livez" => "livez",
            "/readyz" => "readyz",
            _ => "healthz",
        };
        self.levels.checked("ping", of, true);
        let verbose = query.split('&').any(|part| part.split('=').next() == Some("verbose"));
        match verbose {
            true => respond(StatusCode::OK, TEXT, format!("[+]ping ok\n{of} check passed\n")),
            false => respond(StatusCode::OK, TEXT, "ok"),
        }
    }
}

fn reported(report: proxy::Report) -> Answer {
    let code = if report.healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    respond(code, JSON, report.body)
}

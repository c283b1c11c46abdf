//! The methods of each path: upstream's routes, which are the same few for each kind.

use apimachinery::Status;
use http::header::{ALLOW, HeaderValue};
use http::{Response, StatusCode};

use crate::body::{Body, full};
use crate::encode::{self, respond};
use crate::negotiate::{Encoding, Offer};
use crate::registry::{Access, Kind, Sub};
use crate::request::RequestInfo;

const NONE: &[&str] = &[];
const READ: &[&str] = &["GET"];

/// The methods that are served at a path of a resource; empty if there are none.
pub(crate) fn methods(
    kind: &Kind,
    sub: Option<Sub>,
    info: &RequestInfo,
) -> &'static [&'static str] {
    if info.watched {
        let in_its_place = !info.named || info.in_namespace == kind.namespaced;
        let known = kind.access == Access::Stored && sub.is_none() && in_its_place;
        return if known && (kind.namespaced || !info.in_namespace) { READ } else { NONE };
    }
    // Authorization used the namespace in the path, so it must be the object's own.
    if !kind.namespaced && info.in_namespace {
        return NONE;
    }
    if kind.namespaced && !info.in_namespace {
        return if info.named || kind.access == Access::Virtual { NONE } else { READ };
    }
    match (sub, kind.access) {
        (Some(sub), _) => of_subresource(sub),
        (None, Access::Virtual) if info.named => NONE,
        (None, Access::Virtual) => &["POST"],
        (None, Access::Found) => READ,
        (None, Access::Stored) if info.named => &["DELETE", "GET", "PATCH", "PUT"],
        (None, Access::Stored) if kind.is_deleted_singly() => &["GET", "POST"],
        (None, Access::Stored) => &["DELETE", "GET", "POST"],
    }
}

fn of_subresource(sub: Sub) -> &'static [&'static str] {
    match sub {
        Sub::Status | Sub::Scale | Sub::EphemeralContainers | Sub::Resize | Sub::Approval => {
            &["GET", "PATCH", "PUT"]
        }
        Sub::Binding | Sub::Eviction | Sub::Token => &["POST"],
        Sub::Finalize => &["PUT"],
        Sub::Log => READ,
        Sub::Exec | Sub::Attach | Sub::PortForward => &["GET", "POST"],
        Sub::Proxy => &["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"],
    }
}

/// The forms in which a path of a resource can answer.
pub(crate) fn offer(kind: &Kind, sub: Option<Sub>, info: &RequestInfo) -> Offer {
    match (sub, info.verb) {
        (Some(Sub::Log), _) => Offer::Log,
        _ if kind.access == Access::Virtual => Offer::Plain,
        (None, "list" | "watch") => Offer::List,
        _ => Offer::Object,
    }
}

/// A path that does not exist.
pub(crate) fn no_such_path() -> Status {
    Status::not_found("", "", "").with_message("the server could not find the requested resource")
}

/// A path outside of any API: in plain text.
pub(crate) fn page_not_found() -> Response<Body> {
    plain(StatusCode::NOT_FOUND, "404 page not found\n")
}

/// An answer in plain text.
pub(crate) fn plain(status: StatusCode, text: &'static str) -> Response<Body> {
    respond(status, "text/plain; charset=utf-8", full(text))
}

/// 405 with the supported methods.
pub(crate) fn method_not_allowed(methods: &[&str], encoding: Encoding) -> Response<Body> {
    let message = "the server does not allow this method on the requested resource";
    let mut status = Status::generic(405, "MethodNotAllowed", message);
    status.details = Some(Box::default());
    let mut response = encode::error(&status, encoding);
    if let Ok(allowed) = HeaderValue::from_str(&methods.join(", ")) {
        response.headers_mut().insert(ALLOW, allowed);
    }
    response
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::registry;
    use crate::request::Query;

    #[test]
    fn a_path_takes_what_upstreams_routes_take() {
        for (path, want) in [
            ("/api/v1/configmaps", "GET"),
            ("/api/v1/configmaps/x", ""),
            ("/api/v1/namespaces/a/configmaps", "DELETE, GET, POST"),
            ("/api/v1/namespaces/a/configmaps/x", "DELETE, GET, PATCH, PUT"),
            ("/api/v1/namespaces/a/nodes", ""),
            ("/api/v1/namespaces/a/namespaces/b", ""),
            ("/api/v1/namespaces", "GET, POST"),
            ("/api/v1/namespaces/a/finalize", "PUT"),
            ("/api/v1/namespaces/a/pods/x/log", "GET"),
            ("/api/v1/namespaces/a/pods/x/exec", "GET, POST"),
            ("/api/v1/nodes/x/proxy/y", "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"),
            ("/api/v1/namespaces/a/bindings", "POST"),
            ("/api/v1/bindings", ""),
            ("/api/v1/componentstatuses/x", "GET"),
            ("/apis/authentication.k8s.io/v1/tokenreviews", "POST"),
            ("/apis/authentication.k8s.io/v1/tokenreviews/x", ""),
            ("/api/v1/watch/pods", "GET"),
            ("/api/v1/watch/namespaces/a", "GET"),
            ("/api/v1/watch/namespaces/a/pods/x", "GET"),
            ("/api/v1/watch/pods/x", ""),
            ("/api/v1/watch/componentstatuses", ""),
        ] {
            let info = RequestInfo::parse(&Method::PATCH, path, &Query::default()).unwrap();
            let kind = registry::find(&info.group, &info.version, &info.resource).unwrap();
            let sub = kind.subs.iter().copied().find(|sub| sub.name() == info.subresource);
            assert_eq!(methods(kind, sub, &info).join(", "), want, "{path}");
        }
    }
}

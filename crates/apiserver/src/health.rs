//! `/livez`, `/readyz`, `/healthz` and their individual checks.

use http::{Response, StatusCode};

use crate::body::{Body, full};
use crate::encode::respond;
use crate::encryption;
use crate::paths::Asked;
use crate::server::Server;

const TEXT: &str = "text/plain; charset=utf-8";

/// The object under check.
pub(crate) const CHECKS: [&str; 4] =
    ["ping", "etcd", "informer-sync", "poststarthook/rbac/bootstrap-roles"];

/// The named checks, each with true if it passes.
async fn checks(server: &Server) -> Vec<(&'static str, bool)> {
    let caches = server.cache.revision() > 0;
    let mut checks: Vec<_> = CHECKS
        .map(|name| match name {
            "ping" => (name, true),
            "etcd" => (name, !server.store_failed()),
            _ => (name, caches),
        })
        .into();
    if let Some(encryption) = server.storage.encryption().filter(|e| e.has_health()) {
        checks.push((encryption::HEALTH, encryption.is_healthy().await));
    }
    checks
}

/// All checks of the path; `?verbose` lists them, `?exclude=` skips some.
pub(crate) async fn check(asked: Asked) -> Response<Body> {
    let Asked { server, query, .. } = &asked;
    let path = asked.path();
    let excluded: Vec<&str> = query.all("exclude").collect();
    let of = match path {
        "/livez" => "livez",
        "/readyz" => "readyz",
        _ => "healthz",
    };
    let mut report = String::new();
    let mut healthy = true;
    for (name, passes) in checks(server).await {
        if !excluded.contains(&name) {
            server.metrics.service_levels.checked(name, of, passes);
        }
        if excluded.contains(&name) {
            report.push_str(&format!("[+]{name} excluded: ok\n"));
        } else if passes {
            report.push_str(&format!("[+]{name} ok\n"));
        } else {
            healthy = false;
            report.push_str(&format!("[-]{name} failed: reason withheld\n"));
        }
    }
    let word = path.trim_start_matches('/');
    if !healthy {
        report.push_str(&format!("{word} check failed\n"));
        return respond(StatusCode::INTERNAL_SERVER_ERROR, TEXT, full(report));
    }
    if query.get("verbose").is_some() {
        report.push_str(&format!("{word} check passed\n"));
        return respond(StatusCode::OK, TEXT, full(report));
    }
    respond(StatusCode::OK, TEXT, full("ok"))
}

/// The check that the rest of the path names.
pub(crate) async fn single(asked: Asked) -> Response<Body> {
    let name = asked.path().splitn(3, '/').nth(2).unwrap_or_default();
    match checks(&asked.server).await.into_iter().find(|(n, _)| *n == name) {
        Some((_, true)) => respond(StatusCode::OK, TEXT, full("ok")),
        Some((_, false)) => respond(
            StatusCode::INTERNAL_SERVER_ERROR,
            TEXT,
            full("internal server error: reason withheld\n"),
        ),
        None => crate::routes::page_not_found(),
    }
}

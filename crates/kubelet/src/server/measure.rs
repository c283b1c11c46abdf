//! Counts and times requests.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use telemetry::metrics::Timer;

use super::Answer;
use crate::context::Context;

/// The layer: around everything but the requests that are refused for who asks.
pub(super) async fn measure(
    State(context): State<Arc<Context>>,
    request: Request,
    next: Next,
) -> Answer {
    let labels = labels(&request);
    let requests = &context.metrics.requests;
    requests.total.with(labels).inc();
    let _in_flight = requests.in_flight.with(labels).held();
    let _timed = Timer::start(requests.times.with(labels));
    next.run(request).await
}

/// Labels of a request. A client writes the path, so that only words known here become labels.
fn labels(request: &Request) -> [&'static str; 4] {
    const PATHS: [&str; 10] = [
        "attach",
        "configz",
        "containerLogs",
        "exec",
        "healthz",
        "logs",
        "metrics",
        "pods",
        "portForward",
        "stats",
    ];
    const DEEPER: [&str; 3] = ["metrics/cadvisor", "metrics/probes", "metrics/resource"];
    let path = request.uri().path().trim_start_matches('/');
    let first = path.split('/').next().unwrap_or_default();
    let known = |list: &[&'static str], path: &str| list.iter().find(|p| **p == path).copied();
    let path = known(&DEEPER, path).or_else(|| known(&PATHS, first)).unwrap_or("other");
    let method = match *request.method() {
        http::Method::GET => "GET",
        http::Method::POST => "POST",
        _ => "other",
    };
    let lasts = matches!(path, "exec" | "attach" | "portForward" | "containerLogs" | "debug");
    [method, path, "readwrite", if lasts { "true" } else { "false" }]
}

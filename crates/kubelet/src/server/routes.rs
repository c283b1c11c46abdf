//! The routes of the server, and the layers that every request passes on its way to them.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::handler::Handler;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, get};
use http::{HeaderMap, StatusCode, Uri};
use k8s_openapi::api::core::v1::Pod;
use serde::Deserialize;
use tower_http::normalize_path::NormalizePath;

use super::query::Query;
use super::{
    Answer, auth, configz, json, logs, measure, metrics, portforward, refuse, remote, running,
    stats, system_logs, text, websocket,
};
use crate::context::Context;

/// All that is served.
pub(super) type Routes = NormalizePath<Router>;

/// The whole server: a path may end with a slash, as it may for upstream's.
pub(super) fn service(context: Arc<Context>) -> Routes {
    let router = Router::new()
        .route("/healthz", read(async || text(StatusCode::OK, "ok")))
        .route("/configz", read(async |State(context): Held| json(&configz::shown(&context))))
        .route("/pods", read(async |State(context): Held| json(&pods(&context))))
        .route("/runningpods", read(running_pods))
        .route("/metrics", read(own_metrics))
        .route("/metrics/resource", read(resource_metrics))
        .route("/metrics/cadvisor", read(cadvisor_metrics))
        .route("/metrics/probes", read(probe_metrics))
        .route("/logs", read(system_log))
        .route("/logs/{*path}", read(system_log))
        .route("/stats/summary", read(async |State(context): Held| stats::summary(&context).await))
        .route("/containerLogs/{namespace}/{pod}/{container}", read(container_log))
        .route("/exec/{namespace}/{pod}/{container}", stream(exec))
        .route("/exec/{namespace}/{pod}/{uid}/{container}", stream(exec))
        .route("/attach/{namespace}/{pod}/{container}", stream(attach))
        .route("/attach/{namespace}/{pod}/{uid}/{container}", stream(attach))
        .route("/portForward/{namespace}/{pod}", stream(port_forward))
        .route("/portForward/{namespace}/{pod}/{uid}", stream(port_forward))
        .method_not_allowed_fallback(not_allowed)
        .fallback(async || refuse(StatusCode::NOT_FOUND, "404 page not found"))
        // The last layer is the first that a request meets.
        .layer(from_fn_with_state(context.clone(), measure::measure))
        .layer(from_fn_with_state(context.clone(), auth::authorize))
        .with_state(context);
    NormalizePath::trim_trailing_slash(router)
}

type Held = State<Arc<Context>>;

/// GET alone: the kubelet answers no HEAD, which axum would take for it.
fn read<H: Handler<T, Arc<Context>>, T: 'static>(handler: H) -> MethodRouter<Arc<Context>> {
    get(handler).head(not_allowed)
}

/// Connections that are upgraded: by GET to a WebSocket, by POST to SPDY.
fn stream<H: Handler<T, Arc<Context>>, T: 'static>(handler: H) -> MethodRouter<Arc<Context>> {
    read(handler.clone()).post(handler)
}

async fn not_allowed() -> Answer {
    refuse(StatusCode::METHOD_NOT_ALLOWED, "405: Method Not Allowed")
}

#[derive(Deserialize)]
struct PodPath {
    namespace: String,
    pod: String,
}

#[derive(Deserialize)]
struct ContainerPath {
    namespace: String,
    pod: String,
    container: String,
}

/// The pods bound to this node, with the statuses this kubelet knows.
fn pods(context: &Context) -> k8s_openapi::List<Pod> {
    let items = context.pods.store().list().into_iter().map(|pod| {
        let mut pod = (*pod).clone();
        if let Some(status) = context.status.get(crate::pod::uid(&pod)) {
            pod.status = Some(status);
        }
        pod
    });
    k8s_openapi::List { items: items.collect(), metadata: Default::default() }
}

async fn running_pods(State(context): Held) -> Answer {
    match running::list(&context).await {
        Ok(pods) => json(&pods),
        Err(error) => refuse(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

async fn own_metrics(State(context): Held, headers: HeaderMap) -> Answer {
    metrics::own(&context, &headers).await
}

async fn resource_metrics(State(context): Held, headers: HeaderMap) -> Answer {
    metrics::resource(&context, &headers).await
}

async fn cadvisor_metrics(State(context): Held, headers: HeaderMap) -> Answer {
    metrics::cadvisor(&context, &headers).await
}

async fn probe_metrics(State(context): Held, headers: HeaderMap) -> Answer {
    metrics::probes(&context, &headers)
}

async fn system_log(uri: Uri) -> Answer {
    system_logs::serve(uri.path().strip_prefix("/logs").unwrap_or_default()).await
}

async fn container_log(
    State(context): Held,
    Path(ContainerPath { namespace, pod, container }): Path<ContainerPath>,
    query: Query,
    request: Request,
) -> Answer {
    let answer = logs::serve(context, &namespace, &pod, &container, &query).await;
    if answer.status().is_success() && websocket::is_wanted(request.headers()) {
        return websocket::pour::pour(request, answer);
    }
    answer
}

async fn exec(
    State(context): Held,
    Path(ContainerPath { namespace, pod, container }): Path<ContainerPath>,
    query: Query,
    request: Request,
) -> Answer {
    remote::exec(context, &namespace, &pod, &container, &query, request).await
}

async fn attach(
    State(context): Held,
    Path(ContainerPath { namespace, pod, container }): Path<ContainerPath>,
    query: Query,
    request: Request,
) -> Answer {
    remote::attach(context, &namespace, &pod, &container, &query, request).await
}

async fn port_forward(
    State(context): Held,
    Path(PodPath { namespace, pod }): Path<PodPath>,
    query: Query,
    request: Request,
) -> Answer {
    portforward::serve(context, &namespace, &pod, &query, request).await
}

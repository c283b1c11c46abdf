//! Which path leads where.

use std::sync::Arc;

use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use k8s_openapi::api::core::v1::Pod;

use super::{
    Answer, configz, json, logs, metrics, portforward, refuse, remote, running, stats, system_logs,
    text, websocket,
};
use crate::context::Context;

/// Query parameters in their order.
pub(super) type Query = Vec<(String, String)>;

pub(super) async fn route(context: Arc<Context>, request: Request<Incoming>) -> Answer {
    let path = request.uri().path().to_owned();
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let query = query(request.uri().query().unwrap_or_default());
    let get = *request.method() == Method::GET;
    let stream = get || *request.method() == Method::POST;
    match parts[..] {
        ["healthz"] if get => text(StatusCode::OK, "ok"),
        ["configz"] if get => json(&configz::shown(&context)),
        ["pods"] if get => json(&pods(&context)),
        ["runningpods"] if get => match running::list(&context).await {
            Ok(pods) => json(&pods),
            Err(error) => refuse(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        },
        ["metrics"] if get => metrics::own(&context, request.headers()).await,
        ["metrics", "resource"] if get => metrics::resource(&context, request.headers()).await,
        ["metrics", "cadvisor"] if get => metrics::cadvisor(&context, request.headers()).await,
        ["metrics", "probes"] if get => metrics::probes(&context, request.headers()),
        ["logs", ..] if get => {
            system_logs::serve(path.strip_prefix("/logs").unwrap_or_default()).await
        }
        ["stats", "summary"] if get => stats::summary(&context).await,
        ["containerLogs", namespace, pod, container] if get => {
            let answer = logs::serve(context.clone(), namespace, pod, container, &query).await;
            if answer.status().is_success() && websocket::is_wanted(request.headers()) {
                return websocket::pour::pour(request, answer);
            }
            answer
        }
        ["exec", namespace, pod, container] | ["exec", namespace, pod, _, container] if stream => {
            remote::exec(context.clone(), namespace, pod, container, &query, request).await
        }
        ["attach", namespace, pod, container] | ["attach", namespace, pod, _, container]
            if stream =>
        {
            remote::attach(context.clone(), namespace, pod, container, &query, request).await
        }
        ["portForward", namespace, pod] | ["portForward", namespace, pod, _] if stream => {
            portforward::serve(context.clone(), namespace, pod, &query, request).await
        }
        [
            "healthz" | "configz" | "pods" | "runningpods" | "metrics" | "stats" | "containerLogs"
            | "exec" | "attach" | "portForward" | "logs",
            ..,
        ] if !stream => refuse(StatusCode::METHOD_NOT_ALLOWED, "405: Method Not Allowed"),
        _ => refuse(StatusCode::NOT_FOUND, "404 page not found"),
    }
}

fn query(text: &str) -> Query {
    form_urlencoded::parse(text.as_bytes()).into_owned().collect()
}

/// The last value of a parameter.
pub(super) fn param<'a>(query: &'a Query, name: &str) -> Option<&'a str> {
    query.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

/// Whether a parameter says yes, under any of its names.
pub(super) fn flag(query: &Query, names: &[&str]) -> bool {
    names.iter().any(|name| matches!(param(query, name), Some("1" | "true" | "True" | "TRUE")))
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

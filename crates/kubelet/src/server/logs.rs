//! Container logs.

mod follow;
pub(crate) mod line;
mod options;
mod tail;

use std::io;
use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use http::{Response, StatusCode, header};
use k8s_openapi::api::core::v1::Pod;
use tokio::sync::mpsc;

use super::query::Query;
use super::{Answer, find, refuse};
use crate::context::Context;
use crate::pod::{member, uid};
use crate::view::PodView;
use follow::Source;
use options::Options;

/// Pieces of a log in flight to a client.
const QUEUE: usize = 8;

/// Serves the log of a container, and follows it if asked to.
pub(super) async fn serve(
    context: Arc<Context>,
    namespace: &str,
    pod_name: &str,
    container: &str,
    query: &Query,
) -> Answer {
    let options = match Options::parse(query) {
        Ok(options) => options,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, error.to_string()),
    };
    let (pod, view) = match find::pod(&context, namespace, pod_name).await {
        Ok(found) => found,
        Err((code, message)) => return refuse(code, message),
    };
    let source = match source(&context, &pod, &view, container, options.previous) {
        Ok(source) => source,
        Err((code, message)) => return refuse(code, message),
    };
    let (sender, receiver) = mpsc::channel::<io::Result<Bytes>>(QUEUE);
    telemetry::task::spawn("container-log", async move {
        if let Err(error) = follow::send(&context, source, options, &sender).await {
            let _ = sender.send(Err(error)).await;
        }
    });
    let pieces = futures::stream::unfold(receiver, |mut receiver| async move {
        let piece = receiver.recv().await?;
        Some((piece, receiver))
    });
    let mut response = Response::new(Body::from_stream(pieces));
    let plain = header::HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}

/// The log file of the instance that is meant.
fn source(
    context: &Context,
    pod: &Pod,
    view: &PodView,
    container: &str,
    previous: bool,
) -> Result<Source, find::Missing> {
    let name = crate::pod::name(pod);
    let bad = |message: String| (StatusCode::BAD_REQUEST, message);
    if member(pod, container).is_none() {
        let message = format!("container \"{container}\" in pod \"{name}\" is not available");
        return Err((StatusCode::NOT_FOUND, message));
    }
    let mut instances =
        view.instances(container).filter(|c| c.state != runtime::ContainerState::Created);
    let latest = instances.next();
    let instance = if previous {
        let dead =
            |status: &&runtime::ContainerStatus| status.state == runtime::ContainerState::Exited;
        let before = instances.next();
        // While the next instance is waited for, the last one is the previous one.
        let waits = context.status.get(uid(pod)).is_some_and(|status| {
            let all = [&status.init_container_statuses, &status.container_statuses];
            let mut all = all.into_iter().flat_map(|list| list.iter().flatten());
            all.any(|status| {
                status.name == container
                    && status.state.as_ref().is_some_and(|state| state.waiting.is_some())
            })
        });
        let chosen = if waits { latest.filter(dead) } else { before };
        chosen.ok_or_else(|| {
            bad(format!(
                "previous terminated container \"{container}\" in pod \"{name}\" not found"
            ))
        })?
    } else {
        latest.ok_or_else(|| {
            bad(format!(
                "container \"{container}\" in pod \"{name}\" is waiting to start: {}",
                waiting_reason(context, pod, container)
            ))
        })?
    };
    Ok(Source {
        path: instance.log_path.clone(),
        container_id: instance.id.clone(),
        running: instance.state == runtime::ContainerState::Running,
    })
}

fn waiting_reason(context: &Context, pod: &Pod, container: &str) -> String {
    let status = context.status.get(uid(pod)).unwrap_or_default();
    let lists = [
        &status.init_container_statuses,
        &status.container_statuses,
        &status.ephemeral_container_statuses,
    ];
    let found = lists
        .into_iter()
        .flat_map(|list| list.iter().flatten())
        .find(|status| status.name == container)
        .and_then(|status| status.state.as_ref()?.waiting.as_ref());
    let Some(waiting) = found else { return "ContainerCreating".to_owned() };
    let reason = waiting.reason.clone().unwrap_or_default();
    match (reason.as_str(), &waiting.message) {
        ("ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull", _) => {
            "trying and failing to pull image".to_owned()
        }
        _ => reason,
    }
}

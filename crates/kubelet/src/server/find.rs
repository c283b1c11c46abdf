//! The pod and container a request is about.

use std::sync::Arc;

use http::StatusCode;
use k8s_openapi::api::core::v1::Pod;
use runtime::{ContainerState, ContainerStatus};

use crate::context::Context;
use crate::pod::{member, uid};
use crate::view::PodView;

/// Why it was not found: a status and a message.
pub(super) type Missing = (StatusCode, String);

/// A pod and what the runtime has of it.
pub(super) async fn pod(
    context: &Context,
    namespace: &str,
    name: &str,
) -> Result<(Arc<Pod>, PodView), Missing> {
    let pod = context
        .pods
        .store()
        .get_in(namespace, name)
        .ok_or_else(|| (StatusCode::NOT_FOUND, format!("pod \"{name}\" not found")))?;
    let view = PodView::read(&*context.runtime, uid(&pod))
        .await
        .map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    Ok((pod, view))
}

/// A container that runs.
pub(super) async fn running(
    context: &Context,
    namespace: &str,
    pod_name: &str,
    container: &str,
) -> Result<ContainerStatus, Missing> {
    let (pod, view) = pod(context, namespace, pod_name).await?;
    let missing = || (StatusCode::NOT_FOUND, format!("container not found (\"{container}\")"));
    member(&pod, container).ok_or_else(missing)?;
    let latest = view.latest(container).ok_or_else(missing)?;
    if latest.state != ContainerState::Running {
        let message =
            format!("container {container} in pod {pod_name} is not running, cannot attach to it");
        return Err((StatusCode::BAD_REQUEST, message));
    }
    Ok(latest.clone())
}

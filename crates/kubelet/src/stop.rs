//! Stopping containers, and whole pods in order.

use std::sync::Arc;
use std::time::Duration;

use client::EventType;
use futures::future::join_all;
use k8s_openapi::api::core::v1::Pod;
use runtime::ContainerStatus;
use tokio::time::Instant;

use crate::context::Context;
use crate::hooks;
use crate::pod::{Member, Role, container_reference, members, spec};
use crate::spec::labels::recorded_grace;
use crate::start::pod_ip;
use crate::view::{PodView, container_name};

/// Even a container whose hook took all the time gets so much to end by itself.
const LEAST: Duration = Duration::from_secs(2);
const DEFAULT_GRACE: i64 = 30;

/// The grace period of a pod that is not being deleted.
pub(crate) fn default_grace(pod: &Pod) -> Duration {
    let seconds = spec(pod).termination_grace_period_seconds.unwrap_or(DEFAULT_GRACE);
    Duration::from_secs(seconds.max(0) as u64)
}

/// The grace period in which a pod that is being deleted has to end.
pub(crate) fn deletion_grace(pod: &Pod) -> Duration {
    match pod.metadata.deletion_grace_period_seconds {
        Some(seconds) => Duration::from_secs(seconds.max(0) as u64),
        None => default_grace(pod),
    }
}

/// Runs the `preStop` hook and stops the container, both within `grace`. Failures are logged: the
/// next look at the runtime shows what is still to be done.
pub(crate) async fn container(
    context: &Arc<Context>,
    pod: &Pod,
    member: Option<&Member<'_>>,
    status: &ContainerStatus,
    grace: Duration,
    message: &str,
) {
    let name = container_name(status);
    let role = member.map_or(Role::App, |member| member.role);
    let about = container_reference(pod, role, name);
    let event = |kind, reason: &str, text: &str| {
        context.recorder.event_about(about.clone(), kind, reason, text);
    };
    let text =
        if message.is_empty() { format!("Stopping container {name}") } else { message.into() };
    event(EventType::Normal, "Killing", &text);
    let began = Instant::now();
    let hook = member.and_then(|member| member.container.lifecycle.as_ref()?.pre_stop.as_ref());
    if let (Some(hook), Some(member)) = (hook, member)
        && !grace.is_zero()
    {
        let view = PodView::read(&*context.runtime, crate::pod::uid(pod)).await.unwrap_or_default();
        let ip = view.sandbox().map(|sandbox| pod_ip(context, pod, sandbox)).unwrap_or_default();
        let run = hooks::run(context, pod, &member.container, &status.id, &ip, hook);
        match tokio::time::timeout(grace, run).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::debug!(pod = crate::pod::full_name(pod), %error, "preStop hook failed");
                event(EventType::Warning, "FailedPreStopHook", "PreStopHook failed");
            }
            Err(_) => {
                tracing::debug!(pod = crate::pod::full_name(pod), "preStop hook took too long");
            }
        }
    }
    let left = grace.saturating_sub(began.elapsed());
    let left = if grace.is_zero() { left } else { left.max(LEAST) };
    if let Err(error) = context.runtime.stop_container(&status.id, left).await {
        let text = format!("error killing pod container {name}: {error}");
        event(EventType::Warning, "FailedKillPod", &text);
    }
}

/// Stops everything that runs: apps together, then sidecars from the last to the first, each
/// within what is left of `grace`; then the sandboxes. `pod` may be only what the runtime knows of
/// it.
pub(crate) async fn pod(context: &Arc<Context>, pod: &Pod, view: &PodView, grace: Duration) {
    let began = Instant::now();
    let members = members(pod);
    let of = |status: &ContainerStatus| {
        members.iter().find(|member| member.container.name == container_name(status))
    };
    let is_sidecar =
        |status: &&ContainerStatus| of(status).is_some_and(|member| member.role == Role::Sidecar);
    let (sidecars, others): (Vec<_>, Vec<_>) = view.running().partition(is_sidecar);
    let stop = |status: &ContainerStatus, grace| {
        let status = status.clone();
        let member = of(&status).cloned();
        async move { container(context, pod, member.as_ref(), &status, grace, "").await }
    };
    join_all(others.iter().map(|status| stop(status, grace))).await;
    let order = |status: &&ContainerStatus| {
        members.iter().position(|member| member.container.name == container_name(status))
    };
    let mut sidecars = sidecars;
    sidecars.sort_by_key(order);
    for status in sidecars.into_iter().rev() {
        stop(status, grace.saturating_sub(began.elapsed())).await;
    }
    for sandbox in &view.sandboxes {
        if let Err(error) = context.runtime.stop_pod_sandbox(&sandbox.id).await {
            let message = format!("error killing pod: {error}");
            context.recorder.event(pod, EventType::Warning, "FailedKillPod", message);
        }
    }
}

/// The grace period that containers of a forgotten pod were made with.
pub(crate) fn orphan_grace(view: &PodView) -> Duration {
    let seconds = view.containers.iter().find_map(recorded_grace).unwrap_or(DEFAULT_GRACE);
    Duration::from_secs(seconds.max(1) as u64)
}

//! Starting one container: image, configuration, creation, start, hook.

use std::sync::Arc;
use std::time::Duration;

use client::EventType;
use k8s_openapi::api::core::v1::{Container, Pod, Secret, Volume};
use runtime::SandboxStatus;

use crate::context::Context;
use crate::images::Failure;
use crate::pod::{
    Member, Role, container_reference, host_network, namespace, reference, spec, status as known,
};
use crate::resize::amounts::Amounts;
use crate::spec::container::{self, Place};
use crate::start_limit::Step;
use crate::status::Waiting;
use crate::view::PodView;
use crate::volumes::Mounted;
use crate::{hooks, stop};

/// Wait before something that failed for no known reason is tried again, as upstream.
const RETRY: Duration = Duration::from_secs(10);
/// An image that could not be pulled is soon reported to be in back-off.
const SOON: Duration = Duration::from_secs(2);

/// Why a container was not started, and when to try again.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) waiting: Waiting,
    pub(crate) retry_in: Duration,
}

impl Failed {
    fn new(reason: &str, message: impl Into<String>) -> Self {
        let waiting = Waiting { reason: reason.to_owned(), message: message.into() };
        Self { waiting, retry_in: RETRY }
    }
}

/// Starts the next instance of a container and runs its `postStart` hook.
///
/// # Errors
/// The waiting reason and message to report; events were recorded.
pub(crate) async fn start(
    context: &Arc<Context>,
    pod: &Pod,
    member: &Member<'_>,
    place: &Place<'_>,
) -> Result<(), Failed> {
    let Place { sandbox, view, .. } = *place;
    let own = &member.container;
    let about = container_reference(pod, member.role, &own.name);
    let event = |kind, reason: &str, message: &str| {
        context.recorder.event_about(about.clone(), kind, reason, message);
    };
    let failed = |message: &str| event(EventType::Warning, "Failed", &format!("Error: {message}"));

    let secrets = pull_secrets(context, pod).await;
    let named = own.image.as_deref().unwrap_or_default();
    let wanted = (named, own.image_pull_policy.as_deref());
    let image = context.images.ensure(pod, wanted, about.clone(), &secrets).await;
    let image = image.map_err(|failure| {
        failed(failure.reason);
        let retry_in = if failure.reason == "ErrImagePull" { SOON } else { failure.retry_in };
        Failed { retry_in, ..Failed::new(failure.reason, failure.message) }
    })?;

    let volumes = with_images(context, pod, own, place.volumes, &secrets).await;
    let volumes = volumes.map_err(|failure| {
        failed(&failure.message);
        let retry_in = if failure.reason == "ErrImagePull" { SOON } else { failure.retry_in };
        Failed { retry_in, ..Failed::new(failure.reason, failure.message) }
    })?;
    let place = Place { volumes: &volumes, ..*place };

    let attempt = next_attempt(pod, member, view);
    let config = container::config(context, pod, own, attempt, &image, &place).await;
    let config = config.map_err(|error| {
        let message = error.to_string();
        failed(&message);
        Failed::new("CreateContainerConfigError", message)
    })?;
    let logs = context.dirs.pod_logs(pod).join(&own.name);
    // Noted first: until it runs nobody compares, and a crash in between leaves no gap.
    if matches!(member.role, Role::App | Role::Sidecar) {
        context.ledger.actuate(pod, &own.name, Amounts::of(own));
    }
    let created = match std::fs::create_dir_all(&logs) {
        Err(error) => Err(runtime::Error::Internal(format!("{}: {error}", logs.display()))),
        Ok(()) => {
            let create = context.runtime.create_container(&sandbox.id, config);
            context.starts.run(Step::Create, create).await
        }
    };
    let id = created.map_err(|error| {
        failed(&error.to_string());
        Failed::new("CreateContainerError", error.to_string())
    })?;
    event(EventType::Normal, "Created", "Container created");

    let begin = context.runtime.start_container(&id);
    if let Err(error) = context.starts.run(Step::Start, begin).await {
        failed(&error.to_string());
        return Err(Failed::new("RunContainerError", error.to_string()));
    }
    event(EventType::Normal, "Started", "Container started");

    let hook = own.lifecycle.as_ref().and_then(|lifecycle| lifecycle.post_start.as_ref());
    if let Some(hook) = hook {
        let ip = pod_ip(context, pod, sandbox);
        if let Err(error) = hooks::run(context, pod, own, &id, &ip, hook).await {
            event(EventType::Warning, "FailedPostStartHook", "PostStartHook failed");
            if let Ok(status) = context.runtime.container_status(&id).await {
                let grace = stop::default_grace(pod);
                stop::container(context, pod, Some(member), &status, grace, "FailedPostStartHook")
                    .await;
            }
            return Err(Failed::new("PostStartHookError", error.to_string()));
        }
    }
    Ok(())
}

/// The volumes, and with them the images that the container mounts, which are pulled as its own
/// is.
async fn with_images(
    context: &Context,
    pod: &Pod,
    container: &Container,
    volumes: &Mounted,
    secrets: &[Arc<Secret>],
) -> Result<Mounted, Failure> {
    let mut all = volumes.clone();
    let mounted = |volume: &Volume| {
        container.volume_mounts.iter().flatten().any(|mount| mount.name == volume.name)
    };
    for volume in spec(pod).volumes.iter().flatten().filter(|volume| mounted(volume)) {
        let Some(source) = &volume.image else { continue };
        let named = source.reference.as_deref().unwrap_or_default();
        let wanted = (named, source.pull_policy.as_deref());
        let metrics = &context.metrics.images;
        metrics.requested.inc();
        let image = context.images.ensure(pod, wanted, reference(pod), secrets).await;
        let told = if image.is_ok() { &metrics.mounted } else { &metrics.failed };
        told.inc();
        let image = image?;
        all.add_image(&volume.name, image.id);
    }
    Ok(all)
}

/// The primary address of the pod.
pub(crate) fn pod_ip(context: &Context, pod: &Pod, sandbox: &SandboxStatus) -> String {
    if host_network(pod) {
        return context.config.node_ip.to_string();
    }
    sandbox.ips.first().map(ToString::to_string).unwrap_or_default()
}

/// How often it was started before, which survives the loss of its records on the node.
fn next_attempt(pod: &Pod, member: &Member<'_>, view: &PodView) -> u32 {
    let name = &member.container.name;
    if let Some(latest) = view.latest(name) {
        return latest.metadata.attempt + 1;
    }
    let status = known(pod);
    let lists = [&status.init_container_statuses, &status.container_statuses];
    let old = lists
        .into_iter()
        .flat_map(|list| list.iter().flatten())
        .find(|old| &old.name == name && (old.container_id.is_some() || old.restart_count > 0));
    old.map_or(0, |old| u32::try_from(old.restart_count).unwrap_or(0) + 1)
}

async fn pull_secrets(context: &Context, pod: &Pod) -> Vec<Arc<Secret>> {
    let mut out = Vec::new();
    for reference in spec(pod).image_pull_secrets.iter().flatten() {
        match context.objects.secrets.get(namespace(pod), &reference.name).await {
            Ok(Some(secret)) => out.push(secret),
            // The image may not need it.
            Ok(None) | Err(_) => {
                let message = format!(
                    "Unable to retrieve some image pull secrets ({}); attempting to pull the \
                     image may not succeed.",
                    reference.name
                );
                let kind = EventType::Warning;
                context.recorder.event(pod, kind, "FailedToRetrieveImagePullSecret", message);
            }
        }
    }
    out
}

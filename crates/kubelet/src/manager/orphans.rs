//! Removal of what earlier pods left on the node.

use std::collections::HashSet;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use runtime::{ContainerFilter, SandboxFilter};

use crate::context::Context;
use crate::spec::labels::POD_UID;
use crate::stop;
use crate::view::PodView;

/// Stops and removes what the runtime has of pods that the API does not know, and the directories
/// that such pods left.
pub(super) async fn remove(context: Arc<Context>, known: HashSet<String>) {
    let mut found = HashSet::new();
    let labels = |labels: &runtime::Labels| labels.get(POD_UID).cloned();
    match context.runtime.list_pod_sandboxes(SandboxFilter::default()).await {
        Ok(sandboxes) => found.extend(sandboxes.iter().filter_map(|s| labels(&s.labels))),
        Err(error) => return tracing::warn!(%error, "orphaned pods not looked for"),
    }
    match context.runtime.list_containers(ContainerFilter::default()).await {
        Ok(containers) => found.extend(containers.iter().filter_map(|c| labels(&c.labels))),
        Err(error) => return tracing::warn!(%error, "orphaned pods not looked for"),
    }
    for dir in [context.dirs.pods(), context.dirs.volatile()] {
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
        found.extend(entries.filter_map(|entry| entry.file_name().into_string().ok()));
    }
    for id in found.difference(&known) {
        if let Err(error) = remove_orphan(&context, id).await {
            tracing::warn!(uid = id, %error, "orphaned pod not removed");
        }
    }
}

/// Why something of an orphan stays.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Runtime(#[from] runtime::Error),
    #[error(transparent)]
    Volumes(#[from] std::io::Error),
}

async fn remove_orphan(context: &Arc<Context>, id: &str) -> Result<(), Error> {
    let view = PodView::read(&*context.runtime, id).await?;
    let mut pod = Pod::default();
    pod.metadata.uid = Some(id.to_owned());
    if let Some(sandbox) = view.sandboxes.first() {
        pod.metadata.name = Some(sandbox.metadata.name.clone());
        pod.metadata.namespace = Some(sandbox.metadata.namespace.clone());
    }
    stop::pod(context, &pod, &view, stop::orphan_grace(&view)).await;
    for sandbox in &view.sandboxes {
        context.runtime.remove_pod_sandbox(&sandbox.id).await?;
    }
    for container in &view.containers {
        context.runtime.remove_container(&container.id).await?;
    }
    crate::volumes::tear_down(context, id)?;
    let _ = runtime::tree::remove_all(&context.dirs.pod(id));
    if pod.metadata.name.is_some() {
        let _ = runtime::tree::remove_all(&context.dirs.pod_logs(&pod));
    }
    Ok(())
}

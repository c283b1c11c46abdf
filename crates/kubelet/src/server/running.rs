//! `/runningpods/`: the pods that run, by the runtime and not by the API server.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use runtime::{ContainerFilter, ContainerState, Labels, SandboxFilter, SandboxState};

use crate::context::Context;
use crate::spec::labels::{POD_NAME, POD_NAMESPACE, POD_UID};
use crate::view::container_name;

pub(super) async fn list(context: &Context) -> runtime::Result<k8s_openapi::List<Pod>> {
    let ready = SandboxFilter { state: Some(SandboxState::Ready), ..Default::default() };
    let running = ContainerFilter { state: Some(ContainerState::Running), ..Default::default() };
    let sandboxes = context.runtime.list_pod_sandboxes(ready).await?;
    let mut containers = context.runtime.list_containers(running).await?;
    containers.sort_by(|a, b| container_name(a).cmp(container_name(b)));
    let mut pods: BTreeMap<String, Pod> = BTreeMap::new();
    for sandbox in &sandboxes {
        pod_of(&mut pods, &sandbox.labels);
    }
    for status in &containers {
        let Some(spec) = pod_of(&mut pods, &status.labels) else { continue };
        spec.containers.push(Container {
            name: container_name(status).to_owned(),
            image: Some(status.image.clone()).filter(|image| !image.is_empty()),
            ..Container::default()
        });
    }
    Ok(k8s_openapi::List { items: pods.into_values().collect(), metadata: Default::default() })
}

/// The spec of the pod with these labels, which is noted when it is new. What has none is not ours.
fn pod_of<'a>(pods: &'a mut BTreeMap<String, Pod>, labels: &Labels) -> Option<&'a mut PodSpec> {
    let uid = labels.get(POD_UID)?;
    let pod = pods.entry(uid.clone()).or_insert_with(|| Pod {
        metadata: ObjectMeta {
            name: labels.get(POD_NAME).cloned(),
            namespace: labels.get(POD_NAMESPACE).cloned(),
            uid: Some(uid.clone()),
            ..ObjectMeta::default()
        },
        ..Pod::default()
    });
    Some(pod.spec.get_or_insert_default())
}

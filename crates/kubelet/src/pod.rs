//! Reading pods.

pub(crate) mod qos;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::LazyLock;

use k8s_openapi::api::core::v1::{
    Container, EphemeralContainer, ObjectReference, Pod, PodSpec, PodStatus,
};
use rules::container::RestartPolicy;

static NO_SPEC: LazyLock<PodSpec> = LazyLock::new(PodSpec::default);
static NO_STATUS: LazyLock<PodStatus> = LazyLock::new(PodStatus::default);
static NO_PAIRS: BTreeMap<String, String> = BTreeMap::new();

pub(crate) fn name(pod: &Pod) -> &str {
    pod.metadata.name.as_deref().unwrap_or_default()
}

pub(crate) fn namespace(pod: &Pod) -> &str {
    pod.metadata.namespace.as_deref().unwrap_or_default()
}

pub(crate) fn uid(pod: &Pod) -> &str {
    pod.metadata.uid.as_deref().unwrap_or_default()
}

pub(crate) fn spec(pod: &Pod) -> &PodSpec {
    pod.spec.as_ref().unwrap_or(&NO_SPEC)
}

pub(crate) fn status(pod: &Pod) -> &PodStatus {
    pod.status.as_ref().unwrap_or(&NO_STATUS)
}

pub(crate) fn labels(pod: &Pod) -> &BTreeMap<String, String> {
    pod.metadata.labels.as_ref().unwrap_or(&NO_PAIRS)
}

pub(crate) fn annotations(pod: &Pod) -> &BTreeMap<String, String> {
    pod.metadata.annotations.as_ref().unwrap_or(&NO_PAIRS)
}

/// `name_namespace(uid)`, as messages about pods have it.
pub(crate) fn full_name(pod: &Pod) -> String {
    format!("{}_{}({})", name(pod), namespace(pod), uid(pod))
}

pub(crate) fn host_network(pod: &Pod) -> bool {
    spec(pod).host_network == Some(true)
}

pub(crate) fn is_deleting(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some()
}

/// Returns true if its phase is `Succeeded` or `Failed`.
pub(crate) fn is_finished(pod: &Pod) -> bool {
    matches!(status(pod).phase.as_deref(), Some("Succeeded" | "Failed"))
}

/// The role of a container in its pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Runs to completion before the next one starts.
    Init,
    /// An init container with `restartPolicy: Always`.
    Sidecar,
    /// Runs once everything is initialised.
    App,
    /// Added to a running pod for debugging; never restarted.
    Ephemeral,
}

/// A container and its part.
#[derive(Clone, Debug)]
pub(crate) struct Member<'a> {
    pub(crate) role: Role,
    pub(crate) container: Cow<'a, Container>,
}

/// Every container of a pod in starting order: init and sidecars, then apps, then ephemeral ones.
pub(crate) fn members(pod: &Pod) -> Vec<Member<'_>> {
    let spec = spec(pod);
    let init = spec.init_containers.iter().flatten().map(|container| Member {
        role: if container.is_sidecar() { Role::Sidecar } else { Role::Init },
        container: Cow::Borrowed(container),
    });
    let apps = spec
        .containers
        .iter()
        .map(|container| Member { role: Role::App, container: Cow::Borrowed(container) });
    let ephemeral = spec.ephemeral_containers.iter().flatten().map(|container| Member {
        role: Role::Ephemeral,
        container: Cow::Owned(from_ephemeral(container)),
    });
    init.chain(apps).chain(ephemeral).collect()
}

/// The container with this name.
pub(crate) fn member<'a>(pod: &'a Pod, name: &str) -> Option<Member<'a>> {
    members(pod).into_iter().find(|member| member.container.name == name)
}

fn from_ephemeral(from: &EphemeralContainer) -> Container {
    let from = from.clone();
    Container {
        name: from.name,
        image: from.image,
        image_pull_policy: from.image_pull_policy,
        command: from.command,
        args: from.args,
        working_dir: from.working_dir,
        env: from.env,
        env_from: from.env_from,
        resources: from.resources,
        security_context: from.security_context,
        stdin: from.stdin,
        stdin_once: from.stdin_once,
        tty: from.tty,
        termination_message_path: from.termination_message_path,
        termination_message_policy: from.termination_message_policy,
        volume_mounts: from.volume_mounts,
        ..Container::default()
    }
}

/// The reference that events about a pod carry.
pub(crate) fn reference(pod: &Pod) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Pod".to_owned()),
        name: pod.metadata.name.clone(),
        namespace: pod.metadata.namespace.clone(),
        uid: pod.metadata.uid.clone(),
        resource_version: pod.metadata.resource_version.clone(),
        field_path: None,
    }
}

/// The reference that events about one of its containers carry.
pub(crate) fn container_reference(pod: &Pod, role: Role, container: &str) -> ObjectReference {
    let list = match role {
        Role::Init | Role::Sidecar => "initContainers",
        Role::App => "containers",
        Role::Ephemeral => "ephemeralContainers",
    };
    let field_path = Some(format!("spec.{list}{{{container}}}"));
    ObjectReference { field_path, ..reference(pod) }
}

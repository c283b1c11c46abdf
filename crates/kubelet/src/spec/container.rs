//! The container a pod wants in its sandbox.

use std::io;
use std::path::{Component, Path, PathBuf};

use k8s_openapi::api::core::v1::{Container, EphemeralContainer, Pod, VolumeMount};
use runtime::{
    ContainerConfig, ContainerMetadata, Image, Mount, NamespaceMode, Propagation, SandboxStatus,
};

use super::downward::Facts;
use super::{env, expand::expand, hosts, labels, resources, security, service_env};
use crate::context::Context;
use crate::pod::{host_network, namespace, spec, uid};
use crate::view::PodView;
use crate::volumes::{Mounted, subpath};

/// The parts of a pod that exist when a container is configured.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) sandbox: &'a SandboxStatus,
    pub(crate) volumes: &'a Mounted,
    pub(crate) view: &'a PodView,
}

/// Why a container cannot be configured. `CreateContainerConfigError` has these texts.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Environment(#[from] env::Error),
    #[error(transparent)]
    Security(#[from] security::Error),
    #[error("cannot find volume {volume:?} to mount into container {container:?}")]
    NoVolume { volume: String, container: String },
    #[error("failed to expand subPath {0:?}: missing environment variable")]
    SubPathExpression(String),
    #[error(
        "failed to prepare subPath for volumeMount {mount:?} of container {container:?}: {source}"
    )]
    SubPath { mount: String, container: String, source: io::Error },
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
}

/// The runtime's configuration of one container.
///
/// # Errors
/// The configuration cannot be made; the message becomes that of `CreateContainerConfigError`.
pub(crate) async fn config(
    context: &Context,
    pod: &Pod,
    container: &Container,
    attempt: u32,
    image: &Image,
    place: &Place<'_>,
) -> Result<ContainerConfig, Error> {
    let Place { sandbox, volumes, view } = *place;
    let facts = context.facts(pod, sandbox);
    let links = spec(pod).enable_service_links != Some(false);
    let services = service_env::variables(&context.services.store().list(), namespace(pod), links);
    let envs = env::resolve(pod, container, services, &context.objects, volumes, &facts).await?;
    let lookup =
        |name: &str| envs.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let words = |list: &Option<Vec<String>>| -> Vec<String> {
        list.iter().flatten().map(|word| expand(word, lookup)).collect()
    };
    let command = words(&container.command);
    let args = words(&container.args);
    let mut security = security::context(pod, container, &image.config, &context.dirs)?;
    if let Some(target) = debug_target(pod, container, view) {
        security.namespaces.pid = NamespaceMode::Target(target);
    }
    security.supplemental_groups.extend(volumes.groups());
    security.namespaces.user.clone_from(&sandbox.namespaces.user);
    let mounts = mounts(context, pod, container, attempt, volumes, &facts, lookup)?;
    Ok(ContainerConfig {
        metadata: ContainerMetadata { name: container.name.clone(), attempt },
        image: image.id.clone(),
        command,
        args,
        working_dir: container.working_dir.clone().unwrap_or_default(),
        mounts,
        devices: Vec::new(),
        labels: labels::of_container(pod, container),
        annotations: labels::annotations(pod, container, attempt),
        log_path: PathBuf::from(&container.name).join(format!("{attempt}.log")),
        stdin: container.stdin == Some(true),
        stdin_once: container.stdin_once == Some(true),
        tty: container.tty == Some(true),
        resources: resources::of_container(pod, container, context.machine.memory_bytes),
        security,
        stop_signal: container
            .lifecycle
            .as_ref()
            .and_then(|lifecycle| lifecycle.stop_signal.clone())
            .unwrap_or_default(),
        envs,
    })
}

/// The running container whose processes a debug container wants to see.
fn debug_target(pod: &Pod, container: &Container, view: &PodView) -> Option<String> {
    let ephemeral = spec(pod).ephemeral_containers.iter().flatten();
    let wanted = |e: &&EphemeralContainer| e.name == container.name;
    let target = ephemeral.into_iter().find(wanted)?.target_container_name.as_deref()?;
    view.latest(target).map(|status| status.id.clone())
}

fn mounts<'a>(
    context: &Context,
    pod: &Pod,
    container: &Container,
    attempt: u32,
    volumes: &Mounted,
    facts: &Facts,
    lookup: impl Fn(&str) -> Option<&'a str> + Copy,
) -> Result<Vec<Mount>, Error> {
    let mut out = Vec::new();
    for (index, mount) in container.volume_mounts.iter().flatten().enumerate() {
        let volume = volumes.get(&mount.name).ok_or_else(|| Error::NoVolume {
            volume: mount.name.clone(),
            container: container.name.clone(),
        })?;
        let inner = match (mount.sub_path.as_deref(), mount.sub_path_expr.as_deref()) {
            (_, Some(expression)) if !expression.is_empty() => expand(expression, lookup),
            (Some(path), _) => path.to_owned(),
            _ => String::new(),
        };
        if inner.contains("$(") && mount.sub_path_expr.is_some() {
            return Err(Error::SubPathExpression(inner));
        }
        if let Some(image) = &volume.image {
            out.push(Mount {
                container_path: absolute(&mount.mount_path),
                image: image.clone(),
                image_sub_path: inner.into(),
                readonly: true,
                ..Mount::default()
            });
            continue;
        }
        let host_path = if inner.is_empty() {
            volume.path.clone()
        } else {
            let place = context.dirs.subpath(uid(pod), &mount.name, &container.name, index);
            let bound = subpath::bind(&volume.path, Path::new(&inner), &place);
            bound.map_err(|source| Error::SubPath {
                mount: mount.name.clone(),
                container: container.name.clone(),
                source,
            })?
        };
        out.push(Mount {
            container_path: absolute(&mount.mount_path),
            host_path,
            readonly: mount.read_only == Some(true) || volume.readonly,
            recursive_readonly: matches!(
                mount.recursive_read_only.as_deref(),
                Some("Enabled" | "IfPossible")
            ),
            propagation: propagation(mount),
            ..Mount::default()
        });
    }
    let taken = |out: &[Mount], path: &str| out.iter().any(|m| m.container_path == Path::new(path));
    if !taken(&out, "/etc/hosts") {
        let node =
            host_network(pod).then(|| std::fs::read_to_string("/etc/hosts").unwrap_or_default());
        let domain = &context.config.cluster_domain;
        let text = hosts::file(pod, &facts.pod_ips, domain, node.as_deref());
        let path = context.dirs.hosts(uid(pod));
        write(&path, text.as_bytes(), 0o644)?;
        out.push(bind("/etc/hosts", path));
    }
    let termination = container.termination_message_path.as_deref().unwrap_or_default();
    if !termination.is_empty() && !taken(&out, termination) {
        let path = context.dirs.termination_log(uid(pod), &container.name, attempt);
        write(&path, b"", 0o666)?;
        out.push(bind(termination, path));
    }
    Ok(out)
}

fn bind(container_path: &str, host_path: PathBuf) -> Mount {
    Mount { container_path: container_path.into(), host_path, ..Mount::default() }
}

/// A mount path as it is meant: relative ones are taken from the root.
fn absolute(path: &str) -> PathBuf {
    let parts = Path::new(path).components().filter(|part| matches!(part, Component::Normal(_)));
    Path::new("/").join(parts.collect::<PathBuf>())
}

fn propagation(mount: &VolumeMount) -> Propagation {
    match mount.mount_propagation.as_deref() {
        Some("HostToContainer") => Propagation::HostToContainer,
        Some("Bidirectional") => Propagation::Bidirectional,
        _ => Propagation::Private,
    }
}

fn write(path: &Path, content: &[u8], mode: u32) -> Result<(), Error> {
    use std::os::unix::fs::PermissionsExt;
    let result = || {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(path, content)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
    };
    result().map_err(|source| Error::File { path: path.to_owned(), source })
}

//! Containers.

use super::{image_spec, security, signal, text, time};
use crate::cri::proto::{self, ContainerState as State, MountPropagation};
use crate::{
    ContainerConfig, ContainerFilter, ContainerMetadata, ContainerState, ContainerStatus,
    IdMapping, Mount, Propagation, Resources, UserNamespace,
};

/// Marks a container with a terminal, which attach has to know.
const TTY_ANNOTATION: &str = "coxswain.io/tty";

pub(in crate::cri) fn container_config(config: &ContainerConfig) -> proto::ContainerConfig {
    let mut annotations = config.annotations.clone();
    if config.tty {
        annotations.insert(TTY_ANNOTATION.to_owned(), "true".to_owned());
    }
    let envs = config.envs.iter().cloned();
    proto::ContainerConfig {
        metadata: Some(proto::ContainerMetadata {
            name: config.metadata.name.clone(),
            attempt: config.metadata.attempt,
        }),
        image: Some(image_spec(&config.image)),
        command: config.command.clone(),
        args: config.args.clone(),
        working_dir: config.working_dir.clone(),
        envs: envs.map(|(key, value)| proto::KeyValue { key, value: value.into_bytes() }).collect(),
        mounts: config
            .mounts
            .iter()
            .map(|one| mount(one, config.security.namespaces.user.as_ref()))
            .collect(),
        devices: config
            .devices
            .iter()
            .map(|device| proto::Device {
                container_path: text(&device.container_path),
                host_path: text(&device.host_path),
                permissions: device.permissions.clone(),
            })
            .collect(),
        labels: config.labels.clone(),
        annotations,
        log_path: text(&config.log_path),
        stdin: config.stdin,
        stdin_once: config.stdin_once,
        tty: config.tty,
        linux: Some(proto::LinuxContainerConfig {
            resources: Some(linux_resources(&config.resources)),
            security_context: Some(security::context(&config.security)),
        }),
        stop_signal: signal::number(&config.stop_signal),
        ..Default::default()
    }
}

fn mount(mount: &Mount, user: Option<&UserNamespace>) -> proto::Mount {
    let mappings = |of: fn(&UserNamespace) -> &Vec<IdMapping>| {
        // Images are mapped by the runtime, as it maps the container's own.
        user.filter(|_| mount.image.is_empty())
            .map(|user| security::id_mappings(of(user)))
            .unwrap_or_default()
    };
    proto::Mount {
        uid_mappings: mappings(|user| &user.uids),
        gid_mappings: mappings(|user| &user.gids),
        image: (!mount.image.is_empty()).then(|| image_spec(&mount.image)),
        image_sub_path: text(&mount.image_sub_path),
        container_path: text(&mount.container_path),
        host_path: text(&mount.host_path),
        readonly: mount.readonly,
        selinux_relabel: false,
        mount_options: Vec::new(),
        propagation: match mount.propagation {
            Propagation::Private => MountPropagation::PropagationPrivate,
            Propagation::HostToContainer => MountPropagation::PropagationHostToContainer,
            Propagation::Bidirectional => MountPropagation::PropagationBidirectional,
        }
        .into(),
        recursive_read_only: mount.recursive_readonly,
    }
}

fn mount_back(mount: proto::Mount) -> Mount {
    Mount {
        propagation: match mount.propagation() {
            MountPropagation::PropagationPrivate => Propagation::Private,
            MountPropagation::PropagationHostToContainer => Propagation::HostToContainer,
            MountPropagation::PropagationBidirectional => Propagation::Bidirectional,
        },
        container_path: mount.container_path.into(),
        host_path: mount.host_path.into(),
        image: mount.image.map(|image| image.image).unwrap_or_default(),
        image_sub_path: mount.image_sub_path.into(),
        readonly: mount.readonly,
        recursive_readonly: mount.recursive_read_only,
    }
}

/// In CRI zero says that a limit is left as it is. It has none for processes, which upstream limits
/// for the whole pod.
pub(in crate::cri) fn linux_resources(resources: &Resources) -> proto::LinuxContainerResources {
    let signed = |value: Option<u64>| value.and_then(|v| v.try_into().ok()).unwrap_or_default();
    proto::LinuxContainerResources {
        cpu_period: signed(resources.cpu_period),
        cpu_quota: resources.cpu_quota.unwrap_or_default(),
        cpu_shares: signed(resources.cpu_shares),
        memory_limit_in_bytes: resources.memory_limit.unwrap_or_default(),
        oom_score_adj: resources.oom_score_adj.unwrap_or_default().into(),
        cpuset_cpus: resources.cpuset_cpus.clone().unwrap_or_default(),
        cpuset_mems: resources.cpuset_mems.clone().unwrap_or_default(),
        hugepage_limits: resources
            .hugepage_limits
            .iter()
            .map(|(size, limit)| proto::HugepageLimit { page_size: size.clone(), limit: *limit })
            .collect(),
        unified: resources.unified.clone(),
        memory_swap_limit_in_bytes: resources.memory_swap_limit.unwrap_or_default(),
    }
}

fn resources_back(resources: proto::LinuxContainerResources) -> Resources {
    let given = |value: i64| (value != 0).then_some(value);
    let unsigned = |value: i64| given(value).and_then(|value| value.try_into().ok());
    let some = |text: String| (!text.is_empty()).then_some(text);
    Resources {
        cpu_period: unsigned(resources.cpu_period),
        cpu_quota: given(resources.cpu_quota),
        cpu_shares: unsigned(resources.cpu_shares),
        memory_limit: given(resources.memory_limit_in_bytes),
        memory_swap_limit: given(resources.memory_swap_limit_in_bytes),
        oom_score_adj: given(resources.oom_score_adj).and_then(|value| value.try_into().ok()),
        cpuset_cpus: some(resources.cpuset_cpus),
        cpuset_mems: some(resources.cpuset_mems),
        pids_limit: None,
        hugepage_limits: resources
            .hugepage_limits
            .into_iter()
            .map(|limit| (limit.page_size, limit.limit))
            .collect(),
        unified: resources.unified,
    }
}

pub(in crate::cri) fn container_state(state: i32) -> ContainerState {
    match State::try_from(state) {
        Ok(State::ContainerCreated) => ContainerState::Created,
        Ok(State::ContainerRunning) => ContainerState::Running,
        Ok(State::ContainerExited) => ContainerState::Exited,
        Ok(State::ContainerUnknown) | Err(_) => ContainerState::Unknown,
    }
}

/// The status in `sandbox_id`, which CRI's status does not name, and whether there is a terminal.
pub(in crate::cri) fn container_status(
    status: proto::ContainerStatus,
    sandbox_id: &str,
) -> (ContainerStatus, bool) {
    let mut annotations = status.annotations;
    let tty = annotations.remove(TTY_ANNOTATION).is_some();
    let metadata = status.metadata.unwrap_or_default();
    let image = status.image.unwrap_or_default();
    // An older runtime has only the reference, which is then an id where it has a bare digest.
    let image_id = match status.image_id {
        id if id.is_empty() && status.image_ref.starts_with("sha256:") => status.image_ref.clone(),
        id => id,
    };
    let (started, finished) = (time(status.started_at), time(status.finished_at));
    let status = ContainerStatus {
        id: status.id,
        sandbox_id: sandbox_id.to_owned(),
        metadata: ContainerMetadata { name: metadata.name, attempt: metadata.attempt },
        state: container_state(status.state),
        created_at: time(status.created_at).unwrap_or_default(),
        // containerd reads the clock after the start, when a short process may have ended already.
        started_at: started.map(|started| finished.map_or(started, |end| started.min(end))),
        finished_at: finished,
        exit_code: status.exit_code,
        reason: status.reason,
        message: status.message,
        image: Some(image.user_specified_image).filter(|i| !i.is_empty()).unwrap_or(image.image),
        image_ref: status.image_ref,
        image_id,
        mounts: status.mounts.into_iter().map(mount_back).collect(),
        log_path: status.log_path.into(),
        resources: status
            .resources
            .and_then(|resources| resources.linux)
            .map(resources_back)
            .unwrap_or_default(),
        user: status.user.and_then(security::user),
        stop_signal: signal::name(status.stop_signal),
        labels: status.labels,
        annotations,
    };
    (status, tty)
}

pub(in crate::cri) fn container_filter(filter: ContainerFilter) -> proto::ContainerFilter {
    proto::ContainerFilter {
        id: filter.id.unwrap_or_default(),
        state: filter.state.map(|state| proto::ContainerStateValue {
            state: match state {
                ContainerState::Created => State::ContainerCreated,
                ContainerState::Running => State::ContainerRunning,
                ContainerState::Exited => State::ContainerExited,
                ContainerState::Unknown => State::ContainerUnknown,
            }
            .into(),
        }),
        pod_sandbox_id: filter.sandbox_id.unwrap_or_default(),
        label_selector: filter.labels,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_says_what_it_said() {
        let config = ContainerConfig {
            metadata: ContainerMetadata { name: "c".into(), attempt: 1 },
            image: "sha256:1".into(),
            envs: vec![("A".into(), "b".into())],
            mounts: vec![Mount {
                container_path: "/in".into(),
                host_path: "/out".into(),
                readonly: true,
                propagation: Propagation::Bidirectional,
                ..Default::default()
            }],
            tty: true,
            stop_signal: "SIGUSR1".into(),
            ..Default::default()
        };
        let sent = container_config(&config);
        assert_eq!((sent.stop_signal, &sent.envs[0].value[..]), (29, &b"b"[..]));
        assert_eq!(mount_back(sent.mounts[0].clone()), config.mounts[0]);
        let status = proto::ContainerStatus {
            metadata: sent.metadata,
            annotations: sent.annotations,
            state: State::ContainerExited.into(),
            image_ref: "sha256:1".into(),
            started_at: 6,
            finished_at: 5,
            ..Default::default()
        };
        let (status, tty) = container_status(status, "pod");
        assert!(tty && status.annotations.is_empty());
        assert!(status.started_at.is_some() && status.started_at == status.finished_at);
        assert_eq!((status.state, status.sandbox_id.as_str()), (ContainerState::Exited, "pod"));
        assert_eq!((status.metadata, status.image_id.as_str()), (config.metadata, "sha256:1"));
    }

    #[test]
    fn limits_survive_both_ways() {
        let limits = Resources {
            cpu_period: Some(100_000),
            cpu_quota: Some(-1),
            cpu_shares: Some(2),
            memory_limit: Some(1 << 30),
            oom_score_adj: Some(-997),
            cpuset_cpus: Some("0-1".into()),
            hugepage_limits: [("2MB".to_owned(), 7)].into(),
            ..Default::default()
        };
        assert_eq!(resources_back(linux_resources(&limits)), limits);
    }
}

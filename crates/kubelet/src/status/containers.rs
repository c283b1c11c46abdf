//! The status of each container of a pod.

use k8s_openapi::api::core::v1::{
    ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting,
    ContainerStatus, ContainerUser, LinuxContainerUser, Pod, VolumeMountStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use super::{Inputs, resources, termination};
use crate::plan::should_restart;
use crate::pod::{Member, Role, members, spec, status as known_status};

/// Statuses of the containers with these roles, in the order of the spec.
pub(super) fn statuses(pod: &Pod, inputs: &Inputs<'_>, roles: &[Role]) -> Vec<ContainerStatus> {
    let members = members(pod);
    members
        .iter()
        .filter(|member| roles.contains(&member.role))
        .map(|member| one(pod, inputs, member))
        .collect()
}

/// Why a container waits when nothing in particular holds it up.
fn default_reason(pod: &Pod) -> &'static str {
    let initialises = spec(pod).init_containers.as_ref().is_some_and(|list| !list.is_empty());
    if initialises { "PodInitializing" } else { "ContainerCreating" }
}

fn one(pod: &Pod, inputs: &Inputs<'_>, member: &Member<'_>) -> ContainerStatus {
    let container = &member.container;
    let name = &container.name;
    let mut instances = inputs.view.instances(name);
    let latest = instances.next();
    let previous = instances.next();
    let waiting = inputs.waiting.get(name);
    let Some(latest) = latest else {
        return absent(pod, inputs, member);
    };
    let runs = latest.state == runtime::ContainerState::Running && !inputs.hooking.contains(name);
    let exited = latest.state == runtime::ContainerState::Exited;
    let mut state = ContainerState::default();
    let mut last_state = ContainerState::default();
    match waiting {
        // The wait is for the next instance of a container that has ended. If there will be none, as
        // for one that could not be started and is not tried again, it stays terminated: the API
        // refuses a change from terminated to waiting.
        Some(waiting) if !runs && !inputs.terminal && should_restart(pod, container, latest) => {
            state.waiting = Some(ContainerStateWaiting {
                reason: Some(waiting.reason.clone()),
                message: Some(waiting.message.clone()).filter(|message| !message.is_empty()),
            });
            if exited {
                last_state.terminated = Some(terminated(latest, inputs));
            }
        }
        _ if runs => {
            state.running = Some(ContainerStateRunning { started_at: latest.started_at.map(time) });
        }
        _ if exited => state.terminated = Some(terminated(latest, inputs)),
        _ => {
            let reason = Some(default_reason(pod).to_owned());
            state.waiting = Some(ContainerStateWaiting { reason, message: None });
        }
    }
    if last_state.terminated.is_none()
        && let Some(previous) = previous
        && previous.state == runtime::ContainerState::Exited
    {
        last_state.terminated = Some(terminated(previous, inputs));
    }
    let id = format!("{}://{}", inputs.runtime_name, latest.id);
    if last_state.terminated.is_none() && latest.metadata.attempt > 0 {
        // The runtime has forgotten the one before; the API has not.
        last_state.terminated = known_of(pod, name).and_then(|old| match &old.container_id {
            Some(known) if *known == id => {
                old.last_state.as_ref().and_then(|state| state.terminated.clone())
            }
            _ => ended_before(old),
        });
    }
    let (started, ready) = readiness(member, latest, inputs);
    ContainerStatus {
        name: name.clone(),
        image: container.image.clone().unwrap_or_default(),
        image_id: latest.image_ref.clone(),
        container_id: Some(id),
        restart_count: latest.metadata.attempt as i32,
        state: Some(state),
        last_state: Some(last_state),
        ready,
        started: Some(started),
        resources: Some(resources::actual(container, latest)),
        allocated_resources: container.resources.as_ref().and_then(|r| r.requests.clone()),
        user: latest.user.as_ref().filter(|_| runs).map(|user| ContainerUser {
            linux: Some(LinuxContainerUser {
                uid: i64::from(user.uid),
                gid: i64::from(user.gid),
                supplemental_groups: Some(
                    user.supplemental_groups.iter().map(|g| i64::from(*g)).collect(),
                ),
            }),
        }),
        volume_mounts: volume_mounts(member),
        ..ContainerStatus::default()
    }
}

/// The status of a container the runtime knows nothing of.
fn absent(pod: &Pod, inputs: &Inputs<'_>, member: &Member<'_>) -> ContainerStatus {
    let container = &member.container;
    let old = known_of(pod, &container.name);
    let ran = old.and_then(|old| old.container_id.as_ref());
    if let (Some(old), Some(_)) = (old, ran)
        && inputs.terminal
    {
        return lost(old.clone());
    }
    let default = default_reason(pod);
    let waiting = inputs.waiting.get(&container.name);
    let state = ContainerStateWaiting {
        reason: Some(waiting.map_or(default, |waiting| &waiting.reason).to_owned()),
        message: waiting.map(|w| w.message.clone()).filter(|message| !message.is_empty()),
    };
    // That it ran stays known, and how it ended, as well as can be told: the next one counts on.
    let last = old.and_then(ended_before);
    ContainerStatus {
        name: container.name.clone(),
        image: container.image.clone().unwrap_or_default(),
        image_id: old.map(|old| old.image_id.clone()).unwrap_or_default(),
        container_id: ran.cloned(),
        state: Some(ContainerState { waiting: Some(state), ..ContainerState::default() }),
        last_state: Some(ContainerState { terminated: last, ..ContainerState::default() }),
        restart_count: old.map_or(0, |old| old.restart_count),
        started: Some(false),
        volume_mounts: volume_mounts(member),
        ..ContainerStatus::default()
    }
}

/// The status of a container in the API.
fn known_of<'a>(pod: &'a Pod, name: &str) -> Option<&'a ContainerStatus> {
    let known = known_status(pod);
    let lists = [
        &known.init_container_statuses,
        &known.container_statuses,
        &known.ephemeral_container_statuses,
    ];
    lists.into_iter().flat_map(|list| list.iter().flatten()).find(|status| status.name == name)
}

/// The last state of a container that the runtime no longer has.
fn ended_before(old: &ContainerStatus) -> Option<ContainerStateTerminated> {
    let state = old.state.as_ref();
    if old.container_id.is_some() && state.is_some_and(|state| state.running.is_some()) {
        return lost(old.clone()).state.and_then(|state| state.terminated);
    }
    let ended = state.and_then(|state| state.terminated.clone());
    ended.or_else(|| old.last_state.as_ref().and_then(|state| state.terminated.clone()))
}

/// A container that ran, and whose end was not observed.
fn lost(mut old: ContainerStatus) -> ContainerStatus {
    let state = old.state.get_or_insert_default();
    if state.terminated.is_none() {
        *state = ContainerState {
            terminated: Some(ContainerStateTerminated {
                exit_code: 137,
                reason: Some("ContainerStatusUnknown".to_owned()),
                message: Some(
                    "The container could not be located when the pod was terminated".to_owned(),
                ),
                container_id: old.container_id.clone(),
                started_at: state.running.as_ref().and_then(|running| running.started_at.clone()),
                ..ContainerStateTerminated::default()
            }),
            ..ContainerState::default()
        };
    }
    old.ready = false;
    old.started = Some(false);
    old
}

/// Returns true, each, if it has started and if it is ready.
fn readiness(
    member: &Member<'_>,
    latest: &runtime::ContainerStatus,
    inputs: &Inputs<'_>,
) -> (bool, bool) {
    let container = &member.container;
    let runs = latest.state == runtime::ContainerState::Running
        && !inputs.hooking.contains(&container.name);
    let succeeded = latest.state == runtime::ContainerState::Exited && latest.exit_code == 0;
    match member.role {
        Role::Init => (runs, succeeded),
        Role::Ephemeral => (runs, false),
        Role::Sidecar | Role::App => {
            let started = runs
                && (container.startup_probe.is_none() || inputs.probes.has_started(&latest.id));
            let ready = started
                && (container.readiness_probe.is_none() || inputs.probes.is_ready(&latest.id));
            (started, ready)
        }
    }
}

fn terminated(status: &runtime::ContainerStatus, inputs: &Inputs<'_>) -> ContainerStateTerminated {
    let reason = match (status.reason.as_str(), status.exit_code) {
        ("", 0) => "Completed",
        ("", _) => "Error",
        (reason, _) => reason,
    };
    let message = termination::message(status);
    ContainerStateTerminated {
        container_id: Some(format!("{}://{}", inputs.runtime_name, status.id)),
        exit_code: status.exit_code,
        reason: Some(reason.to_owned()),
        message: Some(message).filter(|message| !message.is_empty()),
        started_at: status.started_at.map(time),
        finished_at: status.finished_at.map(time),
        signal: None,
    }
}

fn volume_mounts(member: &Member<'_>) -> Option<Vec<VolumeMountStatus>> {
    let mounts = member.container.volume_mounts.as_ref()?;
    let status = |mount: &k8s_openapi::api::core::v1::VolumeMount| VolumeMountStatus {
        name: mount.name.clone(),
        mount_path: mount.mount_path.clone(),
        read_only: mount.read_only.filter(|read_only| *read_only),
        recursive_read_only: (mount.read_only == Some(true))
            .then(|| mount.recursive_read_only.clone().unwrap_or_else(|| "Disabled".to_owned())),
        volume_status: None,
    };
    Some(mounts.iter().map(status).collect())
}

/// As the API writes times: whole seconds.
pub(crate) fn time(timestamp: Timestamp) -> Time {
    Time(Timestamp::from_second(timestamp.as_second()).unwrap_or(timestamp))
}

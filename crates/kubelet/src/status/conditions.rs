//! The conditions of a pod.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodCondition};

use super::Inputs;
use crate::plan::sandbox_needed;
use crate::pod::{spec, status as known_status};
use crate::resize::mark::{IN_PROGRESS, PENDING};
use rules::container::RestartPolicy;

const TRUE: &str = "True";
const FALSE: &str = "False";

/// Conditions this kubelet keeps, in the order they are reported.
const OWNED: [&str; 5] =
    ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"];

struct Value {
    status: &'static str,
    reason: Option<&'static str>,
    message: Option<String>,
}

impl Value {
    fn holds() -> Self {
        Self { status: TRUE, reason: None, message: None }
    }

    fn fails(reason: &'static str, message: Option<String>) -> Self {
        Self { status: FALSE, reason: Some(reason), message }
    }
}

/// All conditions: the kubelet's own, computed, and those of others, as they are. Times change
/// only with the status.
pub(super) fn generate(
    pod: &Pod,
    inputs: &Inputs<'_>,
    statuses: &[ContainerStatus],
    phase: &str,
) -> Vec<PodCondition> {
    let known: Vec<PodCondition> = known_status(pod).conditions.clone().unwrap_or_default();
    let containers_ready = containers_ready(pod, statuses, phase);
    let ready = ready(pod, &containers_ready, &known);
    let to_start = if sandbox_needed(pod, inputs.view).is_none() {
        Value::holds()
    } else {
        Value { status: FALSE, reason: None, message: None }
    };
    let values = [
        to_start,
        initialised(pod, inputs, statuses, phase),
        ready,
        containers_ready,
        Value::holds(),
    ];
    let mut out: Vec<PodCondition> = OWNED
        .into_iter()
        .zip(values)
        .map(|(kind, value)| {
            let old = known.iter().find(|condition| condition.type_ == kind);
            let since = old
                .filter(|old| old.status == value.status)
                .and_then(|old| old.last_transition_time.clone());
            PodCondition {
                type_: kind.to_owned(),
                status: value.status.to_owned(),
                reason: value.reason.map(str::to_owned),
                message: value.message,
                last_probe_time: None,
                last_transition_time: Some(since.unwrap_or_else(|| inputs.now.clone())),
                observed_generation: pod.metadata.generation,
            }
        })
        .collect();
    let ours = |kind: &str| OWNED.contains(&kind) || [PENDING, IN_PROGRESS].contains(&kind);
    out.extend(known.into_iter().filter(|other| !ours(&other.type_)));
    out.extend(inputs.resize.iter().cloned());
    out
}

fn containers_ready(pod: &Pod, statuses: &[ContainerStatus], phase: &str) -> Value {
    let spec = spec(pod);
    let sidecars = spec.init_containers.iter().flatten().filter(|c| c.is_sidecar());
    let (mut unknown, mut unready) = (Vec::new(), Vec::new());
    for container in sidecars.chain(&spec.containers) {
        match statuses.iter().find(|status| status.name == container.name) {
            None => unknown.push(container.name.as_str()),
            Some(status) if !status.ready => unready.push(container.name.as_str()),
            Some(_) => {}
        }
    }
    match phase {
        "Succeeded" if unknown.is_empty() => return Value::fails("PodCompleted", None),
        "Failed" => return Value::fails("PodFailed", None),
        _ => {}
    }
    match named(&[("unknown", &unknown), ("unready", &unready)]) {
        None => Value::holds(),
        message => Value::fails("ContainersNotReady", message),
    }
}

fn named(lists: &[(&str, &[&str])]) -> Option<String> {
    let parts: Vec<_> = lists
        .iter()
        .filter(|(_, names)| !names.is_empty())
        .map(|(what, names)| format!("containers with {what} status: [{}]", names.join(" ")))
        .collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

fn ready(pod: &Pod, containers: &Value, known: &[PodCondition]) -> Value {
    if containers.status != TRUE {
        return Value {
            status: containers.status,
            reason: containers.reason,
            message: containers.message.clone(),
        };
    }
    let mut unready = Vec::new();
    for gate in spec(pod).readiness_gates.iter().flatten() {
        let kind = &gate.condition_type;
        match known.iter().find(|condition| &condition.type_ == kind) {
            None => unready.push(format!(
                "corresponding condition of pod readiness gate {kind:?} does not exist."
            )),
            Some(condition) if condition.status != TRUE => unready.push(format!(
                "the status of pod readiness gate {kind:?} is not \"True\", but {}",
                condition.status
            )),
            Some(_) => {}
        }
    }
    if unready.is_empty() {
        Value::holds()
    } else {
        Value::fails("ReadinessGatesNotReady", Some(unready.join(", ")))
    }
}

fn initialised(pod: &Pod, inputs: &Inputs<'_>, statuses: &[ContainerStatus], phase: &str) -> Value {
    if phase == "Succeeded" {
        return Value { status: TRUE, reason: Some("PodCompleted"), message: None };
    }
    if is_initialised(pod, inputs) {
        return Value::holds();
    }
    let (mut unknown, mut incomplete) = (Vec::new(), Vec::new());
    for container in spec(pod).init_containers.iter().flatten() {
        match statuses.iter().find(|status| status.name == container.name) {
            None => unknown.push(container.name.as_str()),
            Some(status) => {
                let done = if container.is_sidecar() {
                    status.started == Some(true)
                } else {
                    status.ready
                };
                if !done {
                    incomplete.push(container.name.as_str());
                }
            }
        }
    }
    match named(&[("unknown", &unknown), ("incomplete", &incomplete)]) {
        None => Value::holds(),
        message => Value::fails("ContainersNotInitialized", message),
    }
}

/// Returns true if nothing is left to initialise: no init containers, an app container that was
/// begun, or all of them done.
pub(super) fn is_initialised(pod: &Pod, inputs: &Inputs<'_>) -> bool {
    let spec = spec(pod);
    let view = inputs.view;
    if spec.containers.iter().any(|container| view.current(&container.name).is_some()) {
        return true;
    }
    spec.init_containers.iter().flatten().all(|container| {
        view.current(&container.name).is_some_and(|status| {
            if container.is_sidecar() {
                status.state == runtime::ContainerState::Running
                    && (container.startup_probe.is_none() || inputs.probes.has_started(&status.id))
            } else {
                status.state == runtime::ContainerState::Exited && status.exit_code == 0
            }
        })
    })
}

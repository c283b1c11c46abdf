//! The status a pod reports.

pub(crate) mod conditions;
pub(crate) mod containers;
pub(crate) mod manager;
pub(crate) mod patch;
pub(crate) mod phase;
mod resources;
pub(crate) mod termination;

use std::collections::{HashMap, HashSet};

use k8s_openapi::api::core::v1::{ContainerStatus, HostIP, Pod, PodCondition, PodIP, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::pod::{Role, host_network, qos, status as known_status};
use crate::probes::results::Results;
use crate::view::PodView;

/// Why a container does not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) reason: String,
    pub(crate) message: String,
}

/// Why a pod failed as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) reason: String,
    pub(crate) message: String,
}

/// All that a status is made of, besides the pod.
pub(crate) struct Inputs<'a> {
    pub(crate) view: &'a PodView,
    pub(crate) waiting: &'a HashMap<String, Waiting>,
    /// Containers whose `postStart` hook has not ended.
    pub(crate) hooking: &'a HashSet<String>,
    pub(crate) probes: &'a Results,
    /// No container will be started any more.
    pub(crate) terminal: bool,
    pub(crate) verdict: Option<&'a Verdict>,
    /// Conditions of a resize, while there is one.
    pub(crate) resize: Vec<PodCondition>,
    pub(crate) host_ip: &'a str,
    /// When the kubelet first saw the pod.
    pub(crate) start_time: Time,
    pub(crate) now: Time,
    pub(crate) runtime_name: &'a str,
}

/// The status of a pod that the node did not take.
pub(crate) fn rejected(pod: &Pod, verdict: &Verdict, now: &Time) -> PodStatus {
    let known = known_status(pod);
    PodStatus {
        phase: Some("Failed".to_owned()),
        conditions: known.conditions.clone(),
        qos_class: Some(qos::class(pod).as_str().to_owned()),
        start_time: Some(known.start_time.clone().unwrap_or_else(|| now.clone())),
        observed_generation: pod.metadata.generation,
        reason: Some(verdict.reason.clone()),
        message: Some(verdict.message.clone()),
        ..PodStatus::default()
    }
}

/// The complete status of a pod.
pub(crate) fn generate(pod: &Pod, inputs: &Inputs<'_>) -> PodStatus {
    let known = known_status(pod);
    let finished = matches!(known.phase.as_deref(), Some("Succeeded" | "Failed"));
    if finished && inputs.view.containers.is_empty() {
        // Nothing here tells more of it than was told before, by an earlier kubelet perhaps.
        return known.clone();
    }
    let of = |roles: &[Role]| containers::statuses(pod, inputs, roles);
    let init = of(&[Role::Init, Role::Sidecar]);
    let apps = of(&[Role::App]);
    let ephemeral = of(&[Role::Ephemeral]);
    let phase = match (inputs.verdict, known.phase.as_deref()) {
        // A finished pod does not begin again.
        (_, Some(done @ ("Succeeded" | "Failed"))) => done,
        (Some(_), _) => "Failed",
        _ => phase::phase(pod, &init, &apps, inputs.terminal),
    };
    let all: Vec<ContainerStatus> = init.iter().chain(&apps).cloned().collect();
    let conditions = conditions::generate(pod, inputs, &all, phase);
    let pod_ips: Vec<String> = if host_network(pod) {
        vec![inputs.host_ip.to_owned()]
    } else {
        let sandbox = inputs.view.sandboxes.first();
        sandbox.map(|s| s.ips.iter().map(ToString::to_string).collect()).unwrap_or_default()
    };
    let pod_ips = match known.pod_ips.clone() {
        // A pod that has ended keeps the address it had.
        Some(kept) if pod_ips.is_empty() => kept,
        _ => pod_ips.into_iter().map(|ip| PodIP { ip }).collect(),
    };
    let list = |statuses: Vec<ContainerStatus>| Some(statuses).filter(|list| !list.is_empty());
    let (reason, message) = match inputs.verdict {
        Some(verdict) => (Some(verdict.reason.clone()), Some(verdict.message.clone())),
        None => (known.reason.clone(), known.message.clone()),
    };
    PodStatus {
        phase: Some(phase.to_owned()),
        conditions: Some(conditions),
        init_container_statuses: list(init),
        container_statuses: list(apps),
        ephemeral_container_statuses: list(ephemeral),
        host_ip: Some(inputs.host_ip.to_owned()),
        host_ips: Some(vec![HostIP { ip: inputs.host_ip.to_owned() }]),
        pod_ip: pod_ips.first().map(|first| first.ip.clone()),
        pod_ips: Some(pod_ips).filter(|ips| !ips.is_empty()),
        qos_class: Some(qos::class(pod).as_str().to_owned()),
        start_time: Some(known.start_time.clone().unwrap_or_else(|| inputs.start_time.clone())),
        observed_generation: pod.metadata.generation,
        reason,
        message,
        nominated_node_name: known.nominated_node_name.clone(),
        resource_claim_statuses: known.resource_claim_statuses.clone(),
        ..PodStatus::default()
    }
}

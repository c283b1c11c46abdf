//! Plans the next steps for a pod from its spec and the state of the runtime. Pure: the same
//! inputs give the same plan, and every step that is carried out makes the next plan shorter.

use k8s_openapi::api::core::v1::{Container, Pod};
use runtime::{ContainerState, ContainerStatus, NamespaceMode, SandboxState};

use crate::pod::{Member, Role, host_network, members, spec};
use crate::spec::labels::{hash, recorded_hash};
use crate::view::PodView;

/// How a container is: what its probes say, and whether its resources fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Health {
    /// The startup probe succeeded, or there is none.
    pub(crate) started: bool,
    pub(crate) startup_failed: bool,
    pub(crate) liveness_failed: bool,
    /// Its resources changed in a way that asks for a new instance.
    pub(crate) outgrown: bool,
}

/// A running container that has to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kill {
    pub(crate) id: String,
    pub(crate) name: String,
    /// Text of the `Killing` event.
    pub(crate) message: String,
    /// The failed probe's own grace period, in seconds.
    pub(crate) grace: Option<i64>,
}

/// The next steps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Stop all that runs, and the sandbox, before anything else.
    pub(crate) kill_pod: bool,
    /// Make a sandbox with this attempt number.
    pub(crate) create_sandbox: Option<u32>,
    /// Containers to start, in this order.
    pub(crate) start: Vec<String>,
    pub(crate) kill: Vec<Kill>,
}

/// Computes the next steps of a pod that should run. `health` is asked about containers by id.
pub(crate) fn plan(pod: &Pod, view: &PodView, health: impl Fn(&str) -> Health) -> Plan {
    let mut plan = Plan::default();
    if let Some(attempt) = sandbox_needed(pod, view) {
        plan.kill_pod = view.sandboxes.iter().any(|s| s.state == SandboxState::Ready)
            || view.running().next().is_some();
        if wants_sandbox(pod, view, attempt) {
            plan.create_sandbox = Some(attempt);
        }
        return plan;
    }
    let all = members(pod);
    let initialised = all.iter().any(|m| m.role == Role::App && view.current(name(m)).is_some());
    let init: Vec<_> =
        all.iter().filter(|m| matches!(m.role, Role::Init | Role::Sidecar)).collect();
    match plan_init(pod, view, &init, initialised, &health, &mut plan) {
        Init::Waiting => {}
        Init::Failed => plan.kill_pod = true,
        Init::Done => plan_apps(pod, view, &all, &health, &mut plan),
    }
    for member in all.iter().filter(|m| m.role == Role::Ephemeral) {
        if view.latest(name(member)).is_none() {
            plan.start.push(name(member).to_owned());
        }
    }
    plan
}

fn name<'a>(member: &'a Member<'_>) -> &'a str {
    &member.container.name
}

/// The attempt number of the sandbox that is missing; `None` when the present one will do.
pub(crate) fn sandbox_needed(pod: &Pod, view: &PodView) -> Option<u32> {
    let Some(newest) = view.sandboxes.first() else { return Some(0) };
    let node_network = newest.namespaces.network == NamespaceMode::Node;
    let usable = newest.state == SandboxState::Ready
        && node_network == host_network(pod)
        && (node_network || !newest.ips.is_empty());
    (!usable).then_some(newest.metadata.attempt + 1)
}

/// Returns true if anything is left to run in a new sandbox.
fn wants_sandbox(pod: &Pod, view: &PodView, attempt: u32) -> bool {
    if attempt == 0 {
        return true;
    }
    let all = members(pod);
    let app_left = all
        .iter()
        .filter(|member| member.role == Role::App)
        .any(|member| wants_start(pod, member, view.latest(name(member))));
    let failed_init = all.iter().filter(|member| member.role == Role::Init).any(|member| {
        view.latest(name(member)).is_some_and(|status| {
            has_failed(status) && !should_restart(pod, &member.container, status)
        })
    });
    app_left && !failed_init
}

fn has_failed(status: &ContainerStatus) -> bool {
    status.state == ContainerState::Exited && status.exit_code != 0
}

fn is_running(status: &ContainerStatus) -> bool {
    matches!(status.state, ContainerState::Running | ContainerState::Unknown)
}

/// Returns true if a container that does not run has to be started.
fn wants_start(pod: &Pod, member: &Member<'_>, latest: Option<&ContainerStatus>) -> bool {
    match latest {
        None => true,
        Some(status) if is_running(status) => true,
        Some(status) => should_restart(pod, &member.container, status) || changed(member, status),
    }
}

fn changed(member: &Member<'_>, status: &ContainerStatus) -> bool {
    recorded_hash(status).is_some_and(|recorded| recorded != hash(&member.container))
}

/// Returns true if a container that was created, and does not run, is to be started again.
pub(crate) fn should_restart(pod: &Pod, container: &Container, status: &ContainerStatus) -> bool {
    if status.state != ContainerState::Exited {
        return true;
    }
    for rule in container.restart_policy_rules.iter().flatten() {
        let Some(codes) = &rule.exit_codes else { continue };
        let listed = codes.values.iter().flatten().any(|code| *code == status.exit_code);
        if listed == (codes.operator == "In") {
            // Of all containers at once, which is not there yet, it restarts at least this one.
            return matches!(rule.action.as_str(), "Restart" | "RestartAllContainers");
        }
    }
    let policy = container.restart_policy.as_deref().or(spec(pod).restart_policy.as_deref());
    match policy.unwrap_or("Always") {
        "Never" => false,
        "OnFailure" => status.exit_code != 0,
        _ => true,
    }
}

enum Init {
    /// An init container still has to finish, or a sidecar to start.
    Waiting,
    /// One failed for good.
    Failed,
    Done,
}

/// Init containers one after the other. A sidecar counts as done once it has started, and is kept
/// running from then on.
fn plan_init(
    pod: &Pod,
    view: &PodView,
    init: &[&Member<'_>],
    initialised: bool,
    health: &impl Fn(&str) -> Health,
    plan: &mut Plan,
) -> Init {
    for (index, member) in init.iter().enumerate() {
        let current = view.current(name(member));
        let later_began =
            initialised || init[index + 1..].iter().any(|m| view.current(name(m)).is_some());
        match (member.role, current) {
            (Role::Sidecar, Some(status)) if is_running(status) => {
                let kill = unhealthy(member, status, health(&status.id));
                let waiting = !health(&status.id).started;
                plan.kill.extend(kill);
                if waiting && !later_began {
                    return Init::Waiting;
                }
            }
            (Role::Sidecar, _) => {
                plan.start.push(name(member).to_owned());
                if !later_began {
                    return Init::Waiting;
                }
            }
            _ if later_began => {}
            (_, None) => {
                plan.start.push(name(member).to_owned());
                return Init::Waiting;
            }
            (_, Some(status)) if is_running(status) => return Init::Waiting,
            (_, Some(status)) if status.state == ContainerState::Exited && !has_failed(status) => {}
            (_, Some(status)) => {
                // A policy of Always means, for init containers, until they succeed.
                if !should_restart(pod, &member.container, status) {
                    return Init::Failed;
                }
                plan.start.push(name(member).to_owned());
                return Init::Waiting;
            }
        }
    }
    Init::Done
}

fn plan_apps(
    pod: &Pod,
    view: &PodView,
    all: &[Member<'_>],
    health: &impl Fn(&str) -> Health,
    plan: &mut Plan,
) {
    let mut left = false;
    for member in all.iter().filter(|member| member.role == Role::App) {
        match view.latest(name(member)) {
            Some(status) if is_running(status) => {
                left = true;
                if changed(member, status) {
                    let message =
                        format!("Container {} definition changed, will be restarted", name(member));
                    plan.kill.push(kill(status, message, None));
                } else {
                    plan.kill.extend(unhealthy(member, status, health(&status.id)));
                }
            }
            latest
                if wants_start(pod, member, latest)
                    || latest.is_some_and(|status| health(&status.id).outgrown) =>
            {
                left = true;
                plan.start.push(name(member).to_owned());
            }
            _ => {}
        }
    }
    if !left {
        plan.kill_pod = true;
        plan.start.clear();
        plan.kill.clear();
    }
}

fn kill(status: &ContainerStatus, message: String, grace: Option<i64>) -> Kill {
    let name = crate::view::container_name(status).to_owned();
    Kill { id: status.id.clone(), name, message, grace }
}

fn unhealthy(member: &Member<'_>, status: &ContainerStatus, health: Health) -> Option<Kill> {
    let container = &member.container;
    if health.outgrown && !health.liveness_failed && !health.startup_failed {
        let message = format!("Container {} resize requires restart", container.name);
        return Some(kill(status, message, None));
    }
    let (what, probe) = if health.startup_failed {
        ("startup", container.startup_probe.as_ref())
    } else if health.liveness_failed {
        ("liveness", container.liveness_probe.as_ref())
    } else {
        return None;
    };
    let message = format!("Container {} failed {what} probe, will be restarted", container.name);
    Some(kill(status, message, probe.and_then(|probe| probe.termination_grace_period_seconds)))
}

#[cfg(test)]
mod tests;

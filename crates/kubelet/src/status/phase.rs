//! The phase of a pod.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

use crate::pod::spec;
use rules::container::RestartPolicy;

/// The phase from the statuses of init and app containers, as upstream computes it. `terminal`
/// means that nothing will be started any more.
pub(crate) fn phase(
    pod: &Pod,
    init: &[ContainerStatus],
    apps: &[ContainerStatus],
    terminal: bool,
) -> &'static str {
    let find = |list: &'_ [ContainerStatus], name: &str| {
        list.iter().find(|status| status.name == name).cloned()
    };
    let spec = spec(pod);
    let (mut init_pending, mut init_failed) = (false, false);
    for container in spec.init_containers.iter().flatten() {
        let state = state_of(find(init, &container.name).as_ref());
        if container.is_sidecar() {
            init_pending |= matches!(state, State::Unknown | State::Waiting);
        } else {
            match state {
                State::Unknown | State::Running | State::Waiting => init_pending = true,
                State::Failed => init_failed = true,
                State::Restarting => init_failed = true,
                State::Succeeded => {}
            }
        }
    }
    let states: Vec<_> = spec
        .containers
        .iter()
        .map(|container| state_of(find(apps, &container.name).as_ref()))
        .collect();
    let count = |wanted: &[State]| states.iter().filter(|state| wanted.contains(state)).count();
    let unknown = count(&[State::Unknown]);
    let waiting = count(&[State::Waiting]);
    let running = count(&[State::Running]);
    let stopped = count(&[State::Failed, State::Succeeded, State::Restarting]);
    let succeeded = count(&[State::Succeeded]);
    let policy = spec.restart_policy.as_deref().unwrap_or("Always");
    if init_failed && policy == "Never" {
        return "Failed";
    }
    let any_began = running + stopped > 0;
    if ((init_pending || init_failed) && !any_began) || waiting > 0 {
        return if terminal && init_failed { "Failed" } else { "Pending" };
    }
    if running > 0 && unknown == 0 {
        return "Running";
    }
    if stopped > 0 && unknown == 0 {
        return match policy {
            _ if terminal && stopped == succeeded => "Succeeded",
            _ if terminal => "Failed",
            "Always" => "Running",
            _ if stopped == succeeded => "Succeeded",
            "Never" => "Failed",
            _ => "Running",
        };
    }
    "Pending"
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// No status, or one that says nothing.
    Unknown,
    Running,
    /// Never ran.
    Waiting,
    /// Waits to be started again.
    Restarting,
    Failed,
    Succeeded,
}

fn state_of(status: Option<&ContainerStatus>) -> State {
    let Some(status) = status else { return State::Unknown };
    let Some(state) = &status.state else { return State::Unknown };
    if state.running.is_some() {
        return State::Running;
    }
    if let Some(terminated) = &state.terminated {
        return if terminated.exit_code == 0 { State::Succeeded } else { State::Failed };
    }
    if state.waiting.is_none() {
        return State::Unknown;
    }
    match status.last_state.as_ref().and_then(|last| last.terminated.as_ref()) {
        Some(_) => State::Restarting,
        None => State::Waiting,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::pod;
    use serde_json::json;

    fn status(name: &str, state: &str) -> ContainerStatus {
        let state = match state {
            "running" => json!({"state": {"running": {}}}),
            "waiting" => json!({"state": {"waiting": {}}}),
            "looping" => json!({
                "state": {"waiting": {}}, "lastState": {"terminated": {"exitCode": 1}}}),
            code => json!({"state": {"terminated": {"exitCode": code.parse::<i32>().unwrap()}}}),
        };
        let mut all = json!({"name": name, "image": "", "imageID": "", "ready": false,
            "restartCount": 0});
        all.as_object_mut().unwrap().extend(state.as_object().unwrap().clone());
        serde_json::from_value(all).unwrap()
    }

    #[test]
    fn phases_of_app_containers() {
        let table: [(&str, [&str; 2], bool, &str); 10] = [
            ("Always", ["running", "running"], false, "Running"),
            ("Always", ["running", "waiting"], false, "Pending"),
            ("Always", ["running", "looping"], false, "Running"),
            ("Always", ["0", "1"], false, "Running"),
            ("Always", ["0", "1"], true, "Failed"),
            ("Always", ["0", "0"], true, "Succeeded"),
            ("OnFailure", ["0", "0"], false, "Succeeded"),
            ("OnFailure", ["0", "1"], false, "Running"),
            ("Never", ["0", "1"], false, "Failed"),
            ("Never", ["0", "running"], false, "Running"),
        ];
        for (policy, states, terminal, wanted) in table {
            let pod = pod(json!({
                "restartPolicy": policy, "containers": [{"name": "a"}, {"name": "b"}]}));
            let statuses = [status("a", states[0]), status("b", states[1])];
            assert_eq!(phase(&pod, &[], &statuses, terminal), wanted, "{policy} {states:?}");
        }
    }

    #[test]
    fn phases_while_initialising() {
        let table = [
            ("Always", "running", "waiting", "Pending"),
            ("Always", "1", "waiting", "Pending"),
            ("Never", "1", "waiting", "Failed"),
            ("Always", "0", "running", "Running"),
        ];
        for (policy, init, app, wanted) in table {
            let pod = pod(json!({"restartPolicy": policy,
                "initContainers": [{"name": "i"}], "containers": [{"name": "a"}]}));
            let got = phase(&pod, &[status("i", init)], &[status("a", app)], false);
            assert_eq!(got, wanted, "{policy} {init} {app}");
        }
    }
}

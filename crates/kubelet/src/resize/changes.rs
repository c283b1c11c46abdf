//! The differences between a pod's running containers and its allocation.

use std::collections::HashSet;

use k8s_openapi::api::core::v1::{Container, Pod};
use runtime::ContainerState;

use super::amounts::Amounts;
use crate::pod::{Role, members};
use crate::view::PodView;

/// A container whose limits are to change while it runs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Update {
    /// Of the instance that runs.
    pub(crate) id: String,
    pub(crate) container: Container,
    pub(crate) from: Amounts,
    pub(crate) to: Amounts,
}

/// The changes to make.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Changes {
    /// Ids of instances that have to be replaced.
    pub(crate) restart: HashSet<String>,
    pub(crate) update: Vec<Update>,
}

impl Changes {
    pub(crate) fn is_empty(&self) -> bool {
        self.restart.is_empty() && self.update.is_empty()
    }
}

/// Compares a pod, with its allocated resources, to what its containers were last given. One that
/// nobody has noted anything of was made by a kubelet that did not resize.
pub(crate) fn changes(
    pod: &Pod,
    view: &PodView,
    actuated: impl Fn(&str) -> Option<Amounts>,
) -> Changes {
    let mut changes = Changes::default();
    for member in members(pod) {
        let container = &member.container;
        let running = view
            .latest(&container.name)
            .filter(|status| status.state == ContainerState::Running)
            .filter(|_| matches!(member.role, Role::App | Role::Sidecar));
        let (Some(status), Some(from)) = (running, actuated(&container.name)) else { continue };
        let to = Amounts::of(container);
        if from.needs_restart(to, container) {
            changes.restart.insert(status.id.clone());
        } else if from != to {
            let (id, container) = (status.id.clone(), Container::clone(container));
            changes.update.push(Update { id, container, from, to });
        }
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{container, pod, sandbox};
    use serde_json::{Value, json};

    #[test]
    fn policies_decide_between_update_and_restart() {
        let policy = |cpu: &str, memory: &str| {
            json!([{"resourceName": "cpu", "restartPolicy": cpu},
                   {"resourceName": "memory", "restartPolicy": memory}])
        };
        let (stay, go) = ("NotRequired", "RestartContainer");
        let table: [(&str, Value, Value, &str); 7] = [
            ("a:running", json!(null), json!({"cpu": "1", "memory": "1Gi"}), ""),
            ("a:running", json!(null), json!({"cpu": "2", "memory": "1Gi"}), "update"),
            ("a:running", policy(go, stay), json!({"cpu": "2", "memory": "1Gi"}), "restart"),
            ("a:running", policy(stay, go), json!({"cpu": "2", "memory": "1Gi"}), "update"),
            ("a:running", policy(stay, go), json!({"cpu": "2", "memory": "2Gi"}), "restart"),
            ("a:exited=0", policy(go, go), json!({"cpu": "2", "memory": "2Gi"}), ""),
            ("a:running", json!(null), json!({"cpu": "1"}), "update"),
        ];
        let had = |_: &str| {
            let limits = json!({"resources": {"limits": {"cpu": "1", "memory": "1Gi"}}});
            let mut container = limits.clone();
            container["name"] = "a".into();
            Some(Amounts::of(&serde_json::from_value(container).unwrap()))
        };
        for (state, policy, limits, wanted) in table {
            let spec = json!({"containers": [
                {"name": "a", "resizePolicy": policy, "resources": {"limits": limits}}]});
            let view = PodView {
                sandboxes: vec![sandbox(1, runtime::SandboxState::Ready)],
                containers: vec![container(state, 0)],
            };
            let found = changes(&pod(spec.clone()), &view, had);
            let got = match (found.restart.len(), found.update.len()) {
                (0, 0) => "",
                (0, 1) => "update",
                (1, 0) => "restart",
                _ => "both",
            };
            assert_eq!(got, wanted, "{state} {spec}");
            assert!(changes(&pod(spec), &view, |_| None).is_empty(), "nothing is known");
        }
    }
}

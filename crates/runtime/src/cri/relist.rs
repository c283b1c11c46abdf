//! A runtime's inventory, and events from two of them: the generic pod lifecycle event generator
//! of upstream (`pkg/kubelet/pleg/generic.go`).

use std::collections::BTreeMap;

use tonic::Status;

use super::connection::{Calls, RuntimeClient};
use super::{convert, proto};
use crate::{ContainerEvent, ContainerEventKind, ContainerState, SandboxState};

/// One container, or a sandbox as the container it is to its events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) state: ContainerState,
    pub(super) sandbox_id: String,
    pub(super) pod_uid: String,
}

/// Everything by id.
pub(super) type Inventory = BTreeMap<String, Seen>;

/// Looks at everything.
pub(super) async fn look(calls: &Calls) -> Result<Inventory, Status> {
    let all = proto::ListPodSandboxRequest::default();
    let sandboxes = calls.runtime(RuntimeClient::list_pod_sandbox, all).await?;
    let all = proto::ListContainersRequest::default();
    let containers = calls.runtime(RuntimeClient::list_containers, all).await?;
    let mut seen = Inventory::new();
    for sandbox in sandboxes.items {
        let state = match convert::sandbox_state(sandbox.state) {
            SandboxState::Ready => ContainerState::Running,
            SandboxState::NotReady => ContainerState::Exited,
        };
        let pod_uid = sandbox.metadata.unwrap_or_default().uid;
        seen.insert(sandbox.id.clone(), Seen { state, sandbox_id: sandbox.id, pod_uid });
    }
    for container in containers.containers {
        // One that is listed after its sandbox was is for the next look.
        if let Some(sandbox) = seen.get(&container.pod_sandbox_id) {
            let pod_uid = sandbox.pod_uid.clone();
            let state = convert::container_state(container.state);
            let sandbox_id = container.pod_sandbox_id;
            seen.insert(container.id, Seen { state, sandbox_id, pod_uid });
        }
    }
    Ok(seen)
}

/// The events that lead from one inventory to the other.
pub(super) fn differences(before: &Inventory, after: &Inventory) -> Vec<ContainerEvent> {
    let event = |kind, id: &str, seen: &Seen| ContainerEvent {
        kind,
        container_id: id.to_owned(),
        sandbox_id: seen.sandbox_id.clone(),
        pod_uid: seen.pod_uid.clone(),
    };
    let mut events = Vec::new();
    for (id, now) in after {
        let was = before.get(id).map(|seen| seen.state);
        if was == Some(now.state) {
            continue;
        }
        let kind = match now.state {
            ContainerState::Created => ContainerEventKind::Created,
            ContainerState::Running => ContainerEventKind::Started,
            ContainerState::Exited | ContainerState::Unknown => ContainerEventKind::Stopped,
        };
        events.push(event(kind, id, now));
    }
    for (id, was) in before.iter().filter(|(id, _)| !after.contains_key(*id)) {
        if matches!(was.state, ContainerState::Running) {
            events.push(event(ContainerEventKind::Stopped, id, was));
        }
        events.push(event(ContainerEventKind::Deleted, id, was));
    }
    events
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_announced() {
        let seen = |state| Seen { state, sandbox_id: "s".to_owned(), pod_uid: "u".to_owned() };
        let inventory = |of: &[(&str, ContainerState)]| -> Inventory {
            of.iter().map(|(id, state)| ((*id).to_owned(), seen(*state))).collect()
        };
        use ContainerEventKind::{Created, Deleted, Started, Stopped};
        use ContainerState as S;
        let before = inventory(&[
            ("same", S::Running),
            ("ends", S::Running),
            ("gone", S::Exited),
            ("lost", S::Running),
        ]);
        let after = inventory(&[
            ("same", S::Running),
            ("ends", S::Exited),
            ("new", S::Created),
            ("runs", S::Running),
        ]);
        let found: Vec<_> = differences(&before, &after)
            .into_iter()
            .map(|event| (event.container_id, event.kind))
            .collect();
        let expected = [
            ("ends", Stopped),
            ("new", Created),
            ("runs", Started),
            ("gone", Deleted),
            ("lost", Stopped),
            ("lost", Deleted),
        ];
        assert_eq!(found, expected.map(|(id, kind)| (id.to_owned(), kind)));
        assert!(differences(&after, &after).is_empty());
    }
}

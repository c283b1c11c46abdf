//! Announces what happens to containers.
//!
//! A runtime that serves `GetContainerEvents` tells. One that does not (containerd before 1.7,
//! CRI-O unless it is configured) has no notification of any kind, so that it is looked at every
//! second, as upstream's kubelet does: the one place where this project polls.

use std::time::Duration;

use tokio::sync::broadcast;
use tokio::time::{Instant, sleep};
use tonic::{Code, Status, Streaming};

use super::connection::{Calls, RuntimeClient};
use super::convert;
use super::metrics::Metrics;
use super::proto::{self, ContainerEventType as Kind};
use super::relist::{Inventory, Seen, differences, look};
use crate::{ContainerEvent, ContainerEventKind, ContainerState};

/// How often a runtime without notifications is looked at: `genericPlegRelistPeriod`.
const RELIST_PERIOD: Duration = Duration::from_secs(1);

/// Never ends.
pub(super) async fn watch(
    calls: Calls,
    events: broadcast::Sender<ContainerEvent>,
    mut metrics: Metrics,
) {
    let announce = |event: ContainerEvent| {
        // It fails only without receivers.
        events.send(event).ok();
    };
    let mut known: Option<Inventory> = None;
    let mut notified = true;
    loop {
        let begun = Instant::now();
        let stream = if notified { Some(subscribe(&calls).await) } else { None };
        if let Some(stream) = &stream {
            metrics.subscribed(stream.is_ok(), begun.elapsed());
        }
        // After the subscription, so that nothing falls between the two.
        let listing = Instant::now();
        match look(&calls).await {
            Ok(seen) => {
                metrics.listed(listing);
                let before = known.get_or_insert_with(|| seen.clone());
                differences(before, &seen).into_iter().for_each(announce);
                known = Some(seen);
            }
            Err(status) => tracing::debug!(?status, "containers not listed"),
        }
        if let (Some(Ok(mut stream)), Some(known)) = (stream, known.as_mut()) {
            let ended = follow(&mut stream, known, announce).await;
            tracing::debug!(?ended, "container events ended");
            // One that serves them ends them only with an error.
            notified = ended.is_err_and(|status| status.code() != Code::Unimplemented);
        }
        sleep(RELIST_PERIOD.saturating_sub(begun.elapsed())).await;
    }
}

type Events = Streaming<proto::ContainerEventResponse>;

/// Without a deadline: it lasts as long as the runtime.
async fn subscribe(calls: &Calls) -> Result<Events, Status> {
    let events = RuntimeClient::get_container_events;
    calls.runtime_within(events, proto::GetEventsRequest {}, None).await
}

/// Announces until the runtime ends it.
async fn follow(
    stream: &mut Events,
    known: &mut Inventory,
    announce: impl Fn(ContainerEvent),
) -> Result<(), Status> {
    while let Some(event) = stream.message().await? {
        let Some(event) = read(event, known) else { continue };
        let state = match event.kind {
            ContainerEventKind::Created => Some(ContainerState::Created),
            ContainerEventKind::Started => Some(ContainerState::Running),
            ContainerEventKind::Stopped => Some(ContainerState::Exited),
            ContainerEventKind::Deleted => None,
        };
        let (id, sandbox_id) = (event.container_id.clone(), event.sandbox_id.clone());
        match state {
            Some(state) => {
                known.insert(id, Seen { state, sandbox_id, pod_uid: event.pod_uid.clone() });
            }
            None => drop(known.remove(&id)),
        }
        announce(event);
    }
    Ok(())
}

/// The event; its sandbox is as it was known where the runtime no longer has it.
fn read(event: proto::ContainerEventResponse, known: &Inventory) -> Option<ContainerEvent> {
    let kind = match Kind::try_from(event.container_event_type).ok()? {
        Kind::ContainerCreatedEvent => ContainerEventKind::Created,
        Kind::ContainerStartedEvent => ContainerEventKind::Started,
        Kind::ContainerStoppedEvent => ContainerEventKind::Stopped,
        Kind::ContainerDeletedEvent => ContainerEventKind::Deleted,
    };
    let (sandbox_id, pod_uid) = match event.pod_sandbox_status {
        Some(status) => {
            let (status, _) = convert::sandbox_status(status);
            (status.id, status.metadata.uid)
        }
        None => {
            let seen = known.get(&event.container_id)?;
            (seen.sandbox_id.clone(), seen.pod_uid.clone())
        }
    };
    Some(ContainerEvent { kind, container_id: event.container_id, sandbox_id, pod_uid })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_names_its_pod() {
        let mut known = Inventory::new();
        let event = |kind, sandbox: Option<&str>| proto::ContainerEventResponse {
            container_id: "c".to_owned(),
            container_event_type: kind,
            pod_sandbox_status: sandbox.map(|id| proto::PodSandboxStatus {
                id: id.to_owned(),
                metadata: Some(proto::PodSandboxMetadata {
                    uid: "u".to_owned(),
                    ..Default::default()
                }),
                ..Default::default()
            }),
            ..Default::default()
        };
        let read_as = |event, known: &Inventory| read(event, known).map(|e| (e.kind, e.pod_uid));
        let told = read_as(event(1, Some("s")), &known);
        assert_eq!(told, Some((ContainerEventKind::Started, "u".to_owned())));
        assert_eq!(read_as(event(3, None), &known), None);
        let seen = Seen {
            state: ContainerState::Exited,
            sandbox_id: "s".to_owned(),
            pod_uid: "v".to_owned(),
        };
        known.insert("c".to_owned(), seen);
        let told = read_as(event(3, None), &known);
        assert_eq!(told, Some((ContainerEventKind::Deleted, "v".to_owned())));
    }
}

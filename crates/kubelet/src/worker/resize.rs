//! Bringing a pod's containers to what was allocated to it.

use std::collections::HashSet;
use std::time::Duration;

use client::EventType;
use k8s_openapi::api::core::v1::{Pod, PodCondition};
use tokio::time::Instant;

use super::{Desired, State, Worker};
use crate::pod::uid;
use crate::resize::actuate::actuate;
use crate::resize::changes::{Changes, changes};
use crate::resize::mark::{IN_PROGRESS, Mark, PENDING, text};
use crate::status::Waiting;
use crate::view::{PodView, container_name};

/// Wait before limits that could not be set are tried again, as upstream.
const RETRY: Duration = Duration::from_secs(10);

/// The state of the resize in progress.
#[derive(Default)]
pub(super) struct Resizing {
    /// The `PodResizeInProgress` condition.
    mark: Option<Mark>,
    /// Generation of the last allocation that reached this worker.
    heard: Option<i64>,
    /// The limits of the whole pod may not be what they should be.
    pod_due: bool,
    /// Instances that were ended for their resources and have no successor yet.
    outgrown: HashSet<String>,
    retry_at: Option<Instant>,
}

impl Resizing {
    /// Goes on with what a former kubelet began.
    pub(super) fn adopt(&mut self, pod: &Pod) {
        self.mark = Mark::read(pod, IN_PROGRESS);
        self.pod_due = self.mark.is_some();
    }

    /// Returns true if this instance has ended, or is to end, to be restarted with other resources.
    pub(super) fn is_outgrown(&self, id: &str) -> bool {
        self.outgrown.contains(id)
    }

    /// The conditions to report.
    pub(super) fn conditions(&self, desired: &Desired, state: State) -> Vec<PodCondition> {
        if state == State::Terminated {
            return Vec::new();
        }
        let pending = desired.pending.as_ref().map(|mark| mark.condition(PENDING));
        let in_progress = self.mark.as_ref().map(|mark| mark.condition(IN_PROGRESS));
        pending.into_iter().chain(in_progress).collect()
    }
}

impl Worker {
    /// Looks what a resize still needs, and does what can be done without ending a container:
    /// those have to be gone before the others are changed.
    pub(super) async fn resize(&mut self, desired: &Desired, view: &PodView) -> Changes {
        let pod = &desired.pod;
        let generation = pod.metadata.generation.unwrap_or_default();
        let ledger = &self.context.ledger;
        let changes = changes(pod, view, |name| ledger.actuated(uid(pod), name));
        let resizing = &mut self.resizing;
        resizing.outgrown.retain(|id| {
            let status = view.containers.iter().find(|status| &status.id == id);
            status
                .and_then(|status| view.latest(container_name(status)))
                .is_some_and(|l| &l.id == id)
        });
        if resizing.heard != desired.allocated {
            resizing.heard = desired.allocated;
            resizing.retry_at = None;
            resizing.pod_due = true;
            resizing.mark =
                desired.allocated.map(|generation| Mark::after(None, "", "", generation));
        }
        resizing.pod_due |= !changes.is_empty();
        if !changes.is_empty() || !resizing.outgrown.is_empty() {
            resizing.mark.get_or_insert_with(|| Mark::after(None, "", "", generation));
        } else if !resizing.pod_due || view.sandbox().is_none() {
            self.complete(pod);
        }
        if changes.restart.is_empty() && self.resizing.pod_due {
            self.actuate(pod, view, &changes, generation).await;
        }
        changes
    }

    /// The pod has all that was allocated to it.
    fn complete(&mut self, pod: &Pod) {
        if let Some(mark) = self.resizing.mark.take() {
            let text = text("Pod resize completed", pod, mark.generation, "");
            self.context.recorder.event(pod, EventType::Normal, "ResizeCompleted", text);
        }
    }

    async fn actuate(&mut self, pod: &Pod, view: &PodView, changes: &Changes, generation: i64) {
        if let Some(at) = self.resizing.retry_at.filter(|at| *at > Instant::now()) {
            return self.wake_by(at);
        }
        // Until there is one again, nothing can be wrong with its limits.
        let Some(sandbox) = view.sandbox() else { return };
        match actuate(&self.context, pod, &sandbox.id, &changes.update).await {
            Ok(()) => {
                self.resizing.pod_due = false;
                // The next look shows what the runtime made of it.
                self.kick.notify_one();
            }
            Err(error) => {
                let message = error.to_string();
                let old = self.resizing.mark.as_ref();
                let generation = old.map_or(generation, |mark| mark.generation);
                let mark = Mark::after(old, "Error", &message, generation);
                if old != Some(&mark) {
                    let text = text("Pod resize error", pod, generation, &message);
                    self.context.recorder.event(pod, EventType::Warning, "ResizeError", text);
                }
                self.resizing.mark = Some(mark);
                self.resizing.retry_at = Some(Instant::now() + RETRY);
                self.wake_in(RETRY);
            }
        }
    }

    /// Notes that an instance is ended to make room for one with other resources. Until that one
    /// runs the container counts as waiting, whatever its restart policy.
    pub(super) fn outgrow(&mut self, id: &str, name: &str) {
        self.resizing.outgrown.insert(id.to_owned());
        let waiting = Waiting { reason: "ContainerCreating".to_owned(), message: String::new() };
        self.notes.lock().waiting.insert(name.to_owned(), waiting);
    }
}

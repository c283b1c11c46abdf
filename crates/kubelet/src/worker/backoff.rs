//! Restart back-off of containers.

use std::time::Duration;

use client::EventType;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use runtime::ContainerState;
use tokio::time::Instant;

use super::Worker;
use crate::pod::{full_name, member};
use crate::spec::labels::hash;
use crate::status::Waiting;
use crate::view::PodView;

impl Worker {
    /// Returns true if a container may be started now. If not, notes why, and when to look again.
    pub(super) fn may_start(&mut self, pod: &Pod, view: &PodView, name: &str) -> bool {
        let retry_at = self.notes.lock().retry_at.get(name).copied();
        if let Some(at) = retry_at.filter(|at| *at > Instant::now()) {
            self.wake_by(at);
            return false;
        }
        let Some(member) = member(pod, name) else { return false };
        let latest = view.latest(name);
        let ended = latest.filter(|status| status.state == ContainerState::Exited);
        let Some(ended) = ended else { return true };
        if self.resizing.is_outgrown(&ended.id) {
            return true;
        }
        let key = format!("{name}_{}", hash(&member.container));
        let event = ended.finished_at.unwrap_or(ended.created_at);
        let now = Timestamp::now();
        let Some(left) = self.crashes.remaining(&key, event, now) else {
            self.crashes.next(&key, event, now);
            return true;
        };
        let wait = self.crashes.wait(&key, event).unwrap_or_default();
        let message = format!(
            "back-off {} restarting failed container={name} pod={}",
            go_duration(wait),
            full_name(pod)
        );
        let waiting = Waiting { reason: "CrashLoopBackOff".to_owned(), message };
        let before = self.notes.lock().waiting.insert(name.to_owned(), waiting.clone());
        if before.as_ref() != Some(&waiting) {
            let about = crate::pod::container_reference(pod, member.role, name);
            let message =
                format!("Back-off restarting failed container {name} in pod {}", full_name(pod));
            self.context.recorder.event_about(about, EventType::Warning, "BackOff", message);
        }
        self.wake_in(left);
        false
    }
}

/// Whole seconds as Go prints them.
fn go_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match (seconds / 60, seconds % 60) {
        (0, seconds) => format!("{seconds}s"),
        (minutes, seconds) => format!("{minutes}m{seconds}s"),
    }
}

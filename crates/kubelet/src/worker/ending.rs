//! The end of a pod: its active deadline, and its termination.

use std::time::Duration;

use client::EventType;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;

use super::{Desired, RUNTIME_RETRY, State, Worker};
use crate::pod::{is_deleting, spec};
use crate::status::Verdict;
use crate::stop;
use crate::view::PodView;

impl Worker {
    /// `activeDeadlineSeconds`.
    pub(super) fn overdue(&mut self, pod: &Pod) -> Option<Verdict> {
        let allowed = u64::try_from(spec(pod).active_deadline_seconds?).ok()?;
        let began = crate::pod::status(pod).start_time.as_ref().unwrap_or(&self.since).0;
        let age = Duration::try_from(Timestamp::now().duration_since(began)).unwrap_or_default();
        match Duration::from_secs(allowed).checked_sub(age) {
            Some(left) if !left.is_zero() => {
                self.wake_in(left);
                None
            }
            _ => {
                let message = "Pod was active on the node longer than the specified deadline";
                let kind = EventType::Normal;
                self.context.recorder.event(pod, kind, "DeadlineExceeded", message);
                let reason = "DeadlineExceeded".to_owned();
                Some(Verdict { reason, message: message.to_owned() })
            }
        }
    }

    pub(super) fn begin_terminating(&mut self) {
        self.state = State::Terminating;
        self.prober.quiet();
        self.abort();
    }

    /// Stops what runs, within the grace period that the API gives, which may become shorter.
    pub(super) fn terminate(&mut self, desired: &Desired, view: &PodView) {
        let pod = &desired.pod;
        let sandbox_up = view.sandboxes.iter().any(|s| s.state == runtime::SandboxState::Ready);
        if view.running().next().is_none() && !sandbox_up {
            self.step.take_if(|job| job.is_done());
            if self.step.is_none() {
                self.state = State::Terminated;
            }
            return;
        }
        let mut grace =
            if is_deleting(pod) { stop::deletion_grace(pod) } else { stop::default_grace(pod) };
        if desired.gone {
            // Deleted by force; its processes still get a moment.
            grace = grace.max(Duration::from_secs(1));
        }
        let shorter = self.stopping.is_some_and(|given| grace < given);
        if self.step.is_some() && !shorter {
            return;
        }
        if let Some(job) = self.step.take() {
            job.abort();
        }
        if self.stopping.is_some() && !shorter {
            // The last attempt left something running.
            self.stopping = None;
            return self.wake_in(RUNTIME_RETRY);
        }
        self.stopping = Some(grace);
        let (context, pod, view) = (self.context.clone(), pod.clone(), view.clone());
        self.step(async move { stop::pod(&context, &pod, &view, grace).await });
    }
}

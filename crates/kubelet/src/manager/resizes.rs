//! Allocating resizes of running pods, as far as the node has room.

use std::sync::Arc;

use client::EventType;

use super::{Managed, PodManager};
use crate::pod::{full_name, is_deleting, is_finished};
use crate::resize::fit::{DEFERRED, INFEASIBLE, check, rank};
use crate::resize::mark::{Mark, text};

impl PodManager {
    /// Lines up a pod whose wishes differ from what it has.
    pub(super) fn ask(&mut self, id: &str) {
        if !self.pending.iter().any(|known| known == id) {
            self.pending.push(id.to_owned());
        }
    }

    /// Decides about the pods in the line. Called after everything that may have made room; but
    /// while not all pods are known, nobody can tell how much there is.
    pub(super) fn settle(&mut self) {
        if self.pending.is_empty() || !self.unseen.is_empty() {
            return;
        }
        let mut line = std::mem::take(&mut self.pending);
        line.sort_by_cached_key(|id| {
            self.workers.get(id).map(|managed| rank(&managed.wanted, &managed.worker.borrow().pod))
        });
        line.retain(|id| self.workers.get(id).is_some_and(|managed| !self.decide(id, managed)));
        self.pending = line;
    }

    /// Decides about one pod; whether that is final.
    fn decide(&self, id: &str, managed: &Managed) -> bool {
        let (wanted, context) = (&managed.wanted, &self.context);
        let desired = managed.worker.borrow().clone();
        if desired.gone || desired.rejected.is_some() || is_deleting(wanted) || is_finished(wanted)
        {
            return true;
        }
        let generation = wanted.metadata.generation.unwrap_or_default();
        if Arc::ptr_eq(&context.ledger.apply(wanted), wanted) {
            managed.worker.send_modify(|desired| desired.pending = None);
            return true;
        }
        let node = context.node_object();
        let allocatable = context.allocatable();
        let max_pods = context.config.max_pods;
        let fits = check(wanted, node.as_deref(), &self.others(id), &allocatable, max_pods);
        let Err((reason, message)) = fits else {
            if let Err(error) = context.ledger.allocate(wanted) {
                tracing::warn!(pod = full_name(wanted), %error, "resources not checkpointed");
                return false;
            }
            let text = text("Pod resize started", wanted, generation, "");
            context.recorder.event(&**wanted, EventType::Normal, "ResizeStarted", text);
            managed.worker.send_modify(|desired| {
                desired.pod = wanted.clone();
                desired.pending = None;
                desired.allocated = Some(generation);
            });
            return true;
        };
        let old = desired.pending.as_ref();
        let mark = Mark::after(old, reason, &message, generation);
        if old.is_none_or(|old| old.reason != reason || old.generation != generation) {
            let event = if reason == DEFERRED { "ResizeDeferred" } else { "ResizeInfeasible" };
            let text = text(&format!("Pod resize {reason}"), wanted, generation, &message);
            context.recorder.event(&**wanted, EventType::Warning, event, text);
        }
        if old != Some(&mark) {
            managed.worker.send_modify(|desired| desired.pending = Some(mark));
        }
        reason == INFEASIBLE
    }
}

//! Writing the status around the removal of finalizers.

use client::EventType::{Normal, Warning};
use client::ObjectKey;
use futures::future::join_all;
use k8s_openapi::api::batch::v1::{Job, JobStatus};
use kube::api::PostParams;

use super::account::{self, Account};
use super::conditions::{self, COMPLETE};
use super::sync::SyncContext;
use super::{Controller, finalizer, index};
use crate::Error;
use crate::common::meta;

impl Controller {
    /// Counts what has ended and ends the Job if it is to. `dirty` says that the status has
    /// changes to write anyway.
    pub(super) async fn track(&self, sync: &mut SyncContext, dirty: bool) -> Result<(), Error> {
        let mut account = account::note(sync);
        account.dirty |= dirty;
        let mut dirty = self.release(sync, &mut account).await?;
        let ends = !account.full && finish(sync);
        dirty |= ends;
        if dirty {
            self.write_status(sync).await?;
        }
        if ends {
            self.tell_end(sync);
        }
        Ok(())
    }

    /// Writes which pods are to be counted, lets them go, and counts them. Says whether the count
    /// is still to be written.
    async fn release(&self, sync: &mut SyncContext, account: &mut Account) -> Result<bool, Error> {
        let key = ObjectKey::of(&sync.job);
        if account.dirty {
            self.write_status(sync).await?;
            self.backoffs.set(&key, sync.backoff);
        }
        self.removals.expect(&key, account.release.iter().map(|pod| meta::uid(&**pod).to_owned()));
        let results = join_all(account.release.iter().map(|pod| async {
            let result = finalizer::remove_strictly(&self.context, pod).await;
            if result.is_err() {
                // No event will tell of the removal.
                self.removals.settle(&key, meta::uid(&**pod));
            }
            match result {
                Err(error) if error.api().is_some_and(client::helpers::is_not_found) => Ok(()),
                other => other,
            }
        }))
        .await;
        let mut failure = None;
        for (pod, result) in account.release.iter().zip(results) {
            match result {
                Ok(()) => {
                    account.held.remove(meta::uid(&**pod));
                }
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        let status = sync.job.status.get_or_insert_default();
        let dirty = account::count_released(status, &account.held);
        if let Some(failure) = failure {
            if dirty {
                self.write_status(sync).await?;
            }
            return Err(failure);
        }
        Ok(dirty)
    }

    /// Replaces the status on the server; a Job that has changed meanwhile is a conflict, and
    /// looked at again.
    async fn write_status(&self, sync: &mut SyncContext) -> Result<(), Error> {
        let job = &mut sync.job;
        let api = self.context.api::<Job>(meta::namespace(job));
        *job =
            api.replace_subresource("status", meta::name(job), &PostParams::default(), job).await?;
        self.written.note(job);
        let (before, now) = (sync.told, counted(job));
        let indexed = index::is_indexed(&sync.spec);
        self.context.metrics().jobs.pods(indexed, now.0 - before.0, now.1 - before.1);
        sync.told = now;
        Ok(())
    }

    fn tell_end(&self, sync: &SyncContext) {
        let (job, events) = (&sync.job, &self.context.events);
        let Some(end) = &sync.finish else { return };
        let (indexed, complete) = (index::is_indexed(&sync.spec), end.type_ == COMPLETE);
        let reason = end.reason.as_deref().unwrap_or_default();
        self.context.metrics().jobs.finished(indexed, complete, reason);
        if complete {
            let succeeded = job.status.as_ref().and_then(|status| status.succeeded).unwrap_or(0);
            if sync.spec.completions.is_some_and(|wanted| succeeded > wanted) {
                let text = "Too many succeeded pods running after completion count reached";
                events.event(job, Warning, "TooManySucceededPods", text);
            }
            events.event(job, Normal, "Completed", "Job completed");
        } else {
            events.event(job, Warning, reason, end.message.as_deref().unwrap_or_default());
        }
    }
}

/// Succeeded and failed pods in the status.
pub(super) fn counted(job: &Job) -> (i32, i32) {
    let status = job.status.as_ref();
    let count = |of: fn(&JobStatus) -> Option<i32>| status.and_then(of).unwrap_or(0);
    (count(|status| status.succeeded), count(|status| status.failed))
}

/// Ends the Job, unless pods are still to be counted or to go. Says whether it did.
fn finish(sync: &mut SyncContext) -> bool {
    let Some(end) = &sync.finish else { return false };
    let status: &mut JobStatus = sync.job.status.get_or_insert_default();
    if account::uncounted(status) > 0 || sync.terminating > 0 {
        return false;
    }
    if end.type_ == COMPLETE {
        status.completion_time = end.last_transition_time.clone();
    }
    conditions::set(status, end.clone());
    true
}

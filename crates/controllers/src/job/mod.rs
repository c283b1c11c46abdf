//! Runs pods until enough of them have succeeded, or too many have failed.

mod account;
mod backoff;
pub(crate) mod conditions;
mod events;
mod failure_policy;
mod finalizer;
mod finish;
mod index;
mod intervals;
mod manage;
mod orphans;
mod step;
mod success_policy;
mod sync;
#[cfg(test)]
mod testing;
mod track;

use std::sync::Arc;
use std::time::{Duration, Instant};

use client::EventType::{Normal, Warning};
use client::informer::Informer;
use client::{ObjectKey, Store, WorkQueue};
use k8s_openapi::api::batch::v1::{Job, JobCondition};
use k8s_openapi::api::core::v1::Pod;

use crate::common::expectations::Expectations;
use crate::common::written::Written;
use crate::common::{claim, meta};
use crate::{Context, Outcome};
use conditions::{SUCCESS_CRITERIA_MET, SUSPENDED, holds};
use manage::Done;
use orphans::Orphan;
use rules::selector::Selector;
use sync::SyncContext;

const WORKERS: usize = 5;
/// Waits after a failed write; upstream's `DefaultJobApiBackOff` and `MaxJobApiBackOff`, but that
/// the first is shorter, because most failures are conflicts, which are soon over.
const FIRST_RETRY: Duration = Duration::from_millis(20);
const LAST_RETRY: Duration = Duration::from_secs(60);

struct Controller {
    context: Context,
    queue: WorkQueue<ObjectKey>,
    orphans: WorkQueue<Orphan>,
    expectations: Expectations,
    removals: finalizer::Removals,
    backoffs: backoff::Backoffs,
    written: Written,
    jobs: Store<Job>,
    pods: Store<Pod>,
}

pub(crate) async fn run(context: Context) {
    let jobs: Informer<Job> = context.informers.informer();
    let pods: Informer<Pod> = context.informers.informer();
    claim::index(pods.store());
    let controller = Arc::new(Controller {
        context: context.clone(),
        queue: context.named("job", WorkQueue::with_backoff(FIRST_RETRY, LAST_RETRY)),
        orphans: context.queue("job_orphan_pod"),
        expectations: Expectations::default(),
        removals: finalizer::Removals::default(),
        backoffs: backoff::Backoffs::default(),
        written: Written::default(),
        jobs: jobs.store().clone(),
        pods: pods.store().clone(),
    });
    jobs.wait_synced().await;
    pods.wait_synced().await;
    let handler = controller.clone();
    context.subscribe(&jobs, move |event| handler.job_event(&event));
    let handler = controller.clone();
    context.subscribe(&pods, move |event| handler.pod_event(&event));
    let (queue, orphans) = (controller.queue.clone(), controller.orphans.clone());
    let for_orphans = controller.clone();
    let release = move |orphan| {
        let controller = for_orphans.clone();
        async move { controller.sync_orphan(orphan).await }
    };
    let work = move |key| {
        let controller = controller.clone();
        async move { controller.sync(key).await }
    };
    futures::join!(context.work(&queue, WORKERS, work), context.work(&orphans, WORKERS, release));
}

/// Returns true if `spec.managedBy` names another controller.
fn is_foreign(job: &Job) -> bool {
    let manager = job.spec.as_ref().and_then(|spec| spec.managed_by.as_deref());
    manager.is_some_and(|manager| manager != "kubernetes.io/job-controller")
}

impl Controller {
    async fn sync(&self, key: ObjectKey) -> Outcome {
        let Some(job) = self.jobs.get(&key) else {
            self.expectations.forget(&key);
            self.removals.forget(&key);
            self.written.forget(&key);
            self.backoffs.forget(&key);
            return Ok(None);
        };
        if is_foreign(&job) {
            return Ok(None);
        }
        if conditions::finished(&job) {
            self.backoffs.forget(&key);
            return Ok(None);
        }
        if !self.written.seen(&*job) {
            return Ok(None);
        }
        let mode = job.spec.as_ref().and_then(|spec| spec.completion_mode.as_deref());
        if mode.is_some_and(|mode| mode != "Indexed" && mode != "NonIndexed") {
            let text = "Skipped Job sync because completion mode is unknown";
            self.context.events.event(&*job, Warning, "UnknownCompletionMode", text);
            return Ok(None);
        }
        let (begun, mut action) = (Instant::now(), "reconciling");
        let outcome = self.reconcile(&key, &job, &mut action).await;
        let indexed = mode == Some("Indexed");
        self.context.metrics().jobs.synced(indexed, outcome.is_ok(), action, begun);
        outcome
    }

    async fn reconcile(&self, key: &ObjectKey, job: &Job, action: &mut &'static str) -> Outcome {
        // Before the pods are looked at: one that appears in between must not satisfy it.
        let may_manage = self.expectations.satisfied(key);
        let selector = job.spec.as_ref().and_then(|spec| spec.selector.as_ref());
        let selector = Selector::new(selector);
        let pods = claim::claim_with(
            &self.context,
            job,
            &self.pods,
            |pod| selector.matches(pod),
            Some(finalizer::FINALIZER),
        )
        .await?;
        let removed = self.removals.pending(key);
        let backoff = self.backoffs.get(key);
        let job = job.clone();
        let mut sync = SyncContext::new(job, pods, removed, backoff, client::helpers::now());
        let deadline = finish::deadline(&sync).flatten().filter(|_| sync.finish.is_none());
        let (done, dirty) = self.act(&mut sync, may_manage).await;
        *action = done.action.unwrap_or(*action);
        self.track(&mut sync, dirty).await?;
        match done.error {
            Some(error) => Err(error),
            None => Ok(done.wait.into_iter().chain(deadline).min()),
        }
    }

    /// Makes and deletes pods, and updates the status with what that changes at once. Says
    /// whether it did.
    async fn act(&self, sync: &mut SyncContext, may_manage: bool) -> (Done, bool) {
        let active = sync::count(&sync.active);
        let mut dirty = false;
        let done = if sync.finish.is_some() {
            let (deleted, error) = self.delete_active(sync).await;
            if deleted != active || !may_manage {
                // There may be pods left, or some that the cache does not show.
                sync.finish = None;
            }
            Done { active: active - deleted, error, ..Done::default() }
        } else {
            let manages = may_manage && !meta::deleting(&sync.job);
            let done =
                if manages { self.manage(sync).await } else { Done { active, ..Done::default() } };
            if is_complete(sync, done.active) {
                let text = "Reached expected number of succeeded pods";
                let met = holds(SUCCESS_CRITERIA_MET, "CompletionsReached", text, &sync.now);
                sync.finish = Some(met);
            } else if manages {
                dirty = self.note_suspension(sync);
            }
            done
        };
        let (ready, terminating) = (Some(sync.ready), Some(sync.terminating));
        let status = sync.job.status.get_or_insert_default();
        dirty |= done.active != status.active.unwrap_or(0)
            || ready != status.ready
            || terminating != status.terminating;
        status.active = Some(done.active).filter(|active| *active > 0);
        (status.ready, status.terminating) = (ready, terminating);
        (done, dirty)
    }

    fn note_suspension(&self, sync: &mut SyncContext) -> bool {
        let (suspended, now) = (sync::suspended(&sync.spec), sync.now.clone());
        let (reason, text, event) = if suspended {
            ("JobSuspended", "Job suspended", "Suspended")
        } else {
            ("JobResumed", "Job resumed", "Resumed")
        };
        let status = if suspended { "True" } else { "False" };
        let condition =
            JobCondition { status: status.into(), ..holds(SUSPENDED, reason, text, &now) };
        let all = sync.job.status.get_or_insert_default();
        let changed = conditions::set(all, condition);
        if changed {
            if !suspended {
                // The deadline is about the time it is active.
                all.start_time = Some(now);
            }
            self.context.events.event(&sync.job, Normal, event, text);
        }
        changed
    }
}

/// Returns true if enough pods have succeeded and none is left.
fn is_complete(sync: &SyncContext, active: i32) -> bool {
    let wanted = sync.spec.completions.unwrap_or(1);
    active == 0 && sync.succeeded >= wanted
}

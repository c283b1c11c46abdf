//! Starts Jobs by the clock.

mod missed;
mod start;
mod status;

use std::sync::Arc;

use client::EventType::{Normal, Warning};
use client::helpers::controller_of;
use client::informer::Informer;
use client::{Event, ObjectKey, Store, WorkQueue};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use kube::api::PostParams;

use crate::common::written::Written;
use crate::common::{claim, meta};
use crate::{Context, Error, Outcome};
use rules::cron::{self, CronError, Schedule};

const WORKERS: usize = 5;

struct Controller {
    context: Context,
    queue: WorkQueue<ObjectKey>,
    written: Written,
    crons: Store<CronJob>,
    jobs: Store<Job>,
}

pub(crate) async fn run(context: Context) {
    let crons: Informer<CronJob> = context.informers.informer();
    let jobs: Informer<Job> = context.informers.informer();
    claim::index(jobs.store());
    let controller = Arc::new(Controller {
        context: context.clone(),
        queue: context.queue("cronjob"),
        written: Written::default(),
        crons: crons.store().clone(),
        jobs: jobs.store().clone(),
    });
    crons.wait_synced().await;
    jobs.wait_synced().await;
    let handler = controller.clone();
    context.subscribe(&crons, move |event| handler.cron_event(&event));
    let handler = controller.clone();
    context.subscribe(&jobs, move |event| handler.job_event(&event));
    let queue = controller.queue.clone();
    let work = move |key| {
        let controller = controller.clone();
        async move { controller.sync(key).await }
    };
    context.work(&queue, WORKERS, work).await;
}

/// The schedule in its time zone: the one the spec names, else that of this machine.
fn schedule_of(cron: &CronJob) -> Result<Schedule, CronError> {
    let spec = &cron.spec;
    let local = match &spec.time_zone {
        Some(name) => cron::zone(name)?,
        None => TimeZone::system(),
    };
    Schedule::parse(&spec.schedule, local)
}

impl Controller {
    fn cron_event(&self, event: &Event<CronJob>) {
        let key = ObjectKey::of(&**event.object());
        if let Event::Modified { old, new } = event {
            let same =
                old.spec.schedule == new.spec.schedule && old.spec.time_zone == new.spec.time_zone;
            if !same {
                // A start that the new schedule would have had in the past is not made up for.
                match schedule_of(new) {
                    Ok(schedule) => {
                        let wait = missed::until_next(new, &schedule, Timestamp::now());
                        if let Some(wait) = wait {
                            self.queue.add_after(key, wait);
                        }
                    }
                    Err(_) => {
                        let schedule = &new.spec.schedule;
                        let text = format!("unparseable schedule for cronjob: {schedule}");
                        let reason = "UnParseableCronJobSchedule";
                        self.context.events.event(&**new, Warning, reason, text);
                    }
                }
                return;
            }
        }
        self.queue.add(key);
    }

    fn job_event(&self, event: &Event<Job>) {
        match event {
            Event::Modified { old, new } => {
                if controller_of(&**old) != controller_of(&**new) {
                    self.enqueue_owner(old);
                } else if !status::matters(old, new) {
                    return;
                }
                self.enqueue_owner(new);
            }
            _ => self.enqueue_owner(event.object()),
        }
    }

    fn enqueue_owner(&self, job: &Job) {
        let Some(owner) = controller_of(job).filter(|owner| owner.kind == "CronJob") else {
            return;
        };
        let key = ObjectKey::new(meta::namespace(job), &*owner.name);
        if self.crons.get(&key).is_some_and(|cron| meta::uid(&*cron) == owner.uid) {
            self.queue.add(key);
        }
    }

    async fn sync(&self, key: ObjectKey) -> Outcome {
        let Some(cron) = self.crons.get(&key) else {
            self.written.forget(&key);
            return Ok(None);
        };
        if !self.written.seen(&*cron) {
            return Ok(None);
        }
        let jobs = claim::controlled_by(&self.jobs, meta::uid(&*cron));
        let mut cron = (*cron).clone();
        let mut changed = self.clean_up(&mut cron, &jobs).await;
        let outcome = match self.review(&mut cron, &jobs).await {
            Ok(reviewed) => {
                changed |= reviewed;
                self.keep_time(&mut cron, &mut changed).await
            }
            Err(error) => Err(error),
        };
        if changed {
            let api = self.context.api::<CronJob>(&key.namespace);
            let params = PostParams::default();
            let written = api.replace_subresource("status", &key.name, &params, &cron).await?;
            self.written.note(&written);
        }
        outcome
    }

    /// Makes the start that is due, if any, and says when the next will be.
    async fn keep_time(&self, cron: &mut CronJob, changed: &mut bool) -> Outcome {
        let spec = cron.spec.clone();
        let warn = |reason: &str, text: String| {
            self.context.events.event(cron, Warning, reason, text);
        };
        if meta::deleting(cron) {
            return Ok(None);
        }
        let named = spec.time_zone.as_deref();
        if let Some((name, Err(error))) = named.map(|name| (name, cron::zone(name))) {
            warn("UnknownTimeZone", format!("invalid timeZone: {name:?}: {error}"));
            return Ok(None);
        }
        if spec.suspend == Some(true) {
            return Ok(None);
        }
        let text = &spec.schedule;
        if text.contains("TZ") {
            warn(
                "UnsupportedSchedule",
                format!(
                    "CRON_TZ or TZ used in schedule {text:?} is not officially supported, see \
                     https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for \
                     more details"
                ),
            );
        }
        let schedule = match schedule_of(cron) {
            Ok(schedule) => schedule,
            Err(error) => {
                warn("UnparseableSchedule", format!("unparseable schedule: {text:?} : {error}"));
                return Ok(None);
            }
        };
        let now = Timestamp::now();
        let standing = match missed::standing(cron, &schedule, now, true) {
            Ok(standing) => standing,
            Err(error) => {
                warn("InvalidSchedule", format!("invalid schedule: {text} : {error}"));
                return Ok(None);
            }
        };
        if standing.due.is_some() && standing.too_many() {
            let text = "too many missed start times. Set or decrease \
                        .spec.startingDeadlineSeconds or check clock skew";
            warn("TooManyMissedTimes", text.into());
        }
        if let Some(due) = standing.due
            && self.may_start(cron, due, now, changed).await?
        {
            *changed |= self.start(cron, due).await?;
        }
        Ok(missed::until_next(cron, &schedule, now))
    }

    /// Returns true if the concurrency policy allows the start that is due. Jobs that it replaces
    /// are deleted first.
    async fn may_start(
        &self,
        cron: &mut CronJob,
        due: Timestamp,
        now: Timestamp,
        changed: &mut bool,
    ) -> Result<bool, Error> {
        let spec = cron.spec.clone();
        let events = &self.context.events;
        let late = |seconds: i64| apimachinery::time::after(due, seconds) < now;
        if spec.starting_deadline_seconds.is_some_and(late) {
            let at = due.strftime("%a, %d %b %Y %H:%M:%S +0000");
            let text = format!("Missed scheduled time to start a job: {at}");
            events.event(cron, Warning, "MissSchedule", text);
            return Ok(false);
        }
        let name = start::job_name(cron, due);
        let last = cron.status.as_ref().and_then(|status| status.last_schedule_time.as_ref());
        let running = status::active(cron);
        if running.iter().any(|job| job.name.as_ref() == Some(&name))
            || last.is_some_and(|last| last.0 == due)
        {
            return Ok(false);
        }
        match spec.concurrency_policy.as_deref() {
            Some("Forbid") if !running.is_empty() => {
                let text = "Not starting job because prior execution is running and concurrency \
                            policy is Forbid";
                events.event(cron, Normal, "JobAlreadyActive", text);
                return Ok(false);
            }
            Some("Replace") => {
                let running = running.to_vec();
                for job in running {
                    let name = job.name.unwrap_or_default();
                    let api = self.context.api::<Job>(meta::namespace(cron));
                    let job = match api.get(&name).await {
                        Ok(job) => job,
                        Err(error) => {
                            let text = format!("Get job: {}", crate::context::message(&error));
                            events.event(cron, Warning, "FailedGet", text);
                            return Err(error.into());
                        }
                    };
                    if !self.delete(cron, &job).await {
                        return Err(Error::other(format!("could not replace job {name}")));
                    }
                    *changed = true;
                }
            }
            _ => {}
        }
        Ok(true)
    }
}

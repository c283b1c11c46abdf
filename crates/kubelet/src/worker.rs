//! One task per pod: it looks at what the pod wants and what the runtime has, and takes the next
//! step. Every wake-up does the same, so a lost one is repaired by the next.
//!
//! ```text
//!            deleted, finished, failed as a whole
//! Syncing ────────────────────────────────────────▶ Terminating ──▶ Terminated ──▶ (gone)
//!    │ ▲                                            stop all that     clean up, report;
//!    └─┘ start, restart, kill                       runs              leave with the API object
//! ```
//! There is no way back: a pod that has begun to terminate never starts a container again.

mod advance;
mod backoff;
mod cleanup;
mod ending;
mod job;
mod resize;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use client::EventType;
use client::helpers::now;
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use parking_lot::Mutex;
use runtime::ContainerState;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::backoff::Backoff;
use crate::context::Context;
use crate::plan::{Health, Plan, plan};
use crate::pod::{full_name, is_deleting, is_finished, member, uid};
use crate::probes::Prober;
use crate::resize::mark::Mark;
use crate::start::pod_ip;
use crate::status::{Inputs, Verdict, Waiting, generate, rejected};
use crate::stop;
use crate::view::{PodView, container_name};
use job::Job;

/// Wait before the runtime is asked again after it failed.
const RUNTIME_RETRY: Duration = Duration::from_secs(2);
/// How long volumes may take to be brought up to date within one pass.
const REFRESH: Duration = Duration::from_secs(15);
/// Wait before it is tried again where nothing tells that it may be.
const REFRESH_RETRY: Duration = Duration::from_secs(30);

/// While a step is under way, a status that only tells how far it is waits for so long: most steps have
/// ended by then, and each status that is written costs the whole cluster some work.
const HOLD: Duration = Duration::from_secs(1);

/// The pod manager's order to a worker.
#[derive(Clone, Debug)]
pub(crate) struct Desired {
    /// With the resources that were allocated to it.
    pub(crate) pod: Arc<Pod>,
    /// The API has it no more.
    pub(crate) gone: bool,
    /// The node cannot take it.
    pub(crate) rejected: Option<Verdict>,
    /// Why it was not allocated the resources that it wants by now.
    pub(crate) pending: Option<Mark>,
    /// Generation of the last resize that was allocated.
    pub(crate) allocated: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The pod should run.
    Syncing,
    /// It should not, and something of it still does.
    Terminating,
    /// Nothing of it runs.
    Terminated,
}

/// Notes of a pass for the next one, and reports of the worker's tasks.
#[derive(Default)]
struct Notes {
    waiting: HashMap<String, Waiting>,
    /// Containers whose `postStart` hook has not ended: they do not count as started.
    hooking: HashSet<String>,
    /// Not before this time may a container be started again.
    retry_at: HashMap<String, Instant>,
    /// Not before this time may the pod's set-up be tried again, and how often it failed.
    setup_retry_at: Option<Instant>,
    setup_failures: u32,
    /// It failed for want of a volume, which may be there as soon as something changes.
    setup_wants_volumes: bool,
}

/// A pod worker.
pub(crate) struct Worker {
    context: Arc<Context>,
    desired: watch::Receiver<Desired>,
    kick: Arc<Notify>,
    state: State,
    since: Time,
    notes: Arc<Mutex<Notes>>,
    crashes: Backoff,
    prober: Prober,
    resizing: resize::Resizing,
    /// The task that sets up and starts, or stops everything; at most one.
    step: Option<Job>,
    /// The grace period that the present stopping step was given.
    stopping: Option<Duration>,
    /// Tasks that kill single containers, by container id.
    killing: HashMap<String, Job>,
    verdict: Option<Verdict>,
    wake_at: Option<Instant>,
    /// Since when a status is held back.
    held: Option<Instant>,
    /// The node's resources are given back.
    cleaned: bool,
    /// The runtime has nothing of the pod any more.
    removed: bool,
    /// When the pod was first seen, until it runs.
    starting: Option<Instant>,
}

/// However it ends, nothing of it goes on.
impl Drop for Worker {
    fn drop(&mut self) {
        self.abort();
        self.context.kicks.unregister(uid(&self.desired.borrow().pod));
    }
}

impl Worker {
    /// Runs a worker until its pod is gone, or until `cancel` leaves everything as it is.
    pub(crate) async fn run(
        context: Arc<Context>,
        desired: watch::Receiver<Desired>,
        cancel: CancellationToken,
    ) {
        let pod = desired.borrow().pod.clone();
        let id = uid(&pod).to_owned();
        let kick = context.kicks.register(&id);
        context.objects.register(&pod);
        let mut worker = Self {
            context: context.clone(),
            desired,
            kick,
            state: if is_finished(&pod) { State::Terminating } else { State::Syncing },
            since: now(),
            notes: Arc::default(),
            crashes: Backoff::default(),
            prober: Prober::default(),
            resizing: resize::Resizing::default(),
            step: None,
            stopping: None,
            killing: HashMap::new(),
            verdict: None,
            wake_at: None,
            held: None,
            cleaned: false,
            removed: false,
            starting: (crate::pod::status(&pod).phase.as_deref() != Some("Running"))
                .then(Instant::now),
        };
        worker.adopt(&pod);
        worker.resizing.adopt(&pod);
        let span = tracing::info_span!("pod", pod = full_name(&pod), uid = id);
        cancel.run_until_cancelled(worker.work().instrument(span)).await;
    }

    /// Containers that were ready under a former kubelet stay so until a probe says otherwise.
    fn adopt(&self, pod: &Pod) {
        let status = crate::pod::status(pod);
        let lists = [&status.init_container_statuses, &status.container_statuses];
        for status in lists.into_iter().flat_map(|list| list.iter().flatten()) {
            let id = status.container_id.as_deref().and_then(|id| id.rsplit("//").next());
            if let Some(id) = id {
                self.prober.results.adopt(id, status.started == Some(true), status.ready);
            }
        }
    }

    fn abort(&mut self) {
        self.notes.lock().hooking.clear();
        for job in self.step.take().into_iter().chain(self.killing.drain().map(|(_, job)| job)) {
            job.abort();
        }
    }

    async fn work(&mut self) {
        let metrics = &self.context.clone().metrics;
        let pod = self.desired.borrow().pod.clone();
        let containers = crate::pod::spec(&pod).containers.len();
        metrics.containers_per_pod.observe(containers as f64);
        let mut operation = "create";
        loop {
            self.wake_at = None;
            let begun = Instant::now();
            let desired = self.desired.borrow_and_update().clone();
            // Before the look: what a step does after it would be done again by the next.
            self.step.take_if(|job| job.is_done());
            self.killing.retain(|_, job| !job.is_done());
            match PodView::read(&*self.context.runtime, uid(&desired.pod)).await {
                Ok(view) => self.pass(&desired, &view).await,
                Err(error) => {
                    tracing::warn!(pod = full_name(&desired.pod), %error, "runtime does not answer");
                    self.wake_in(RUNTIME_RETRY);
                }
            }
            if matches!(self.state, State::Terminated) {
                operation = "terminated";
            }
            metrics.passes.with([operation]).observe(begun.elapsed().as_secs_f64());
            if self.removed {
                return;
            }
            operation = "sync";
            let wake_at = self.wake_at;
            let deadline = async move {
                match wake_at {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.kick.notified() => {}
                changed = self.desired.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    operation = "update";
                    if self.state != State::Terminated {
                        let pod = self.desired.borrow().pod.clone();
                        self.context.objects.register(&pod);
                    }
                }
                () = deadline => {}
            }
        }
    }

    fn wake_in(&mut self, delay: Duration) {
        self.wake_by(Instant::now() + delay);
    }

    fn wake_by(&mut self, at: Instant) {
        self.wake_at = Some(self.wake_at.map_or(at, |known| known.min(at)));
    }

    /// One look at the world and the next step.
    async fn pass(&mut self, desired: &Desired, view: &PodView) {
        let pod = &desired.pod;
        self.probe(pod, view);
        if self.verdict.is_none() {
            self.verdict = desired.rejected.clone().or_else(|| self.overdue(pod));
        }
        let must_end = is_deleting(pod) || desired.gone || self.verdict.is_some();
        if self.state == State::Syncing && must_end {
            self.begin_terminating();
        }
        if self.state == State::Syncing {
            self.sync(desired, view).await;
        }
        if self.state == State::Terminating {
            self.terminate(desired, view);
        }
        if self.state == State::Terminated {
            self.clean_up(desired, view).await;
        }
        self.report(desired, view);
    }

    /// Keeps the probes to the containers that run.
    fn probe(&mut self, pod: &Arc<Pod>, view: &PodView) {
        let running: Vec<_> =
            view.containers.iter().filter(|c| c.state == ContainerState::Running).collect();
        self.prober.stop_except(|id| running.iter().any(|status| status.id == id));
        let (State::Syncing, Some(sandbox)) = (self.state, view.sandbox()) else { return };
        let ip = pod_ip(&self.context, pod, sandbox);
        let hooking = self.notes.lock().hooking.clone();
        for status in running.into_iter().filter(|c| !hooking.contains(container_name(c))) {
            if let Some(member) = member(pod, container_name(status)) {
                self.prober.start(&self.context, pod, &member, status, &ip);
            }
        }
    }

    async fn sync(&mut self, desired: &Desired, view: &PodView) {
        let pod = &desired.pod;
        self.refresh_volumes(pod, view).await;
        self.collect_garbage(pod, view).await;
        let changes = self.resize(desired, view).await;
        if self.step.is_some() {
            return;
        }
        let results = self.prober.results.clone();
        let has_startup_probe = |id: &str| {
            let status = view.containers.iter().find(|status| status.id == id);
            status
                .and_then(|status| member(pod, container_name(status)))
                .is_some_and(|member| member.container.startup_probe.is_some())
        };
        let mut plan = plan(pod, view, |id| Health {
            started: !has_startup_probe(id) || results.has_started(id),
            startup_failed: results.startup_failed(id),
            liveness_failed: results.liveness_failed(id),
            outgrown: changes.restart.contains(id) || self.resizing.is_outgrown(id),
        });
        if plan.kill_pod && plan.create_sandbox.is_none() {
            // Nothing is left to run.
            return self.begin_terminating();
        }
        if plan.kill_pod {
            let (context, pod, view) = (self.context.clone(), pod.clone(), view.clone());
            return self.step(async move {
                stop::pod(&context, &pod, &view, stop::default_grace(&pod)).await;
            });
        }
        if plan.create_sandbox.is_some_and(|attempt| attempt > 0) {
            let message = "Pod sandbox changed, it will be killed and re-created.";
            self.context.recorder.event(&**pod, EventType::Normal, "SandboxChanged", message);
        }
        for kill in plan.kill.iter().filter(|kill| changes.restart.contains(&kill.id)) {
            self.outgrow(&kill.id, &kill.name);
        }
        self.kill(pod, view, &plan);
        plan.start.retain(|name| self.may_start(pod, view, name));
        if plan.create_sandbox.is_some() || !plan.start.is_empty() {
            let news = self.context.kicks.take_news(uid(pod));
            let retry_at = {
                let notes = self.notes.lock();
                notes.setup_retry_at.filter(|_| !(news && notes.setup_wants_volumes))
            };
            if let Some(at) = retry_at.filter(|at| *at > Instant::now()) {
                return self.wake_by(at);
            }
            let (context, notes) = (self.context.clone(), self.notes.clone());
            let (pod, view) = (pod.clone(), view.clone());
            self.step(async move { advance::advance(&context, &notes, &pod, plan, view).await });
        }
    }

    /// Runs the one step that may take long, and looks again when it is done.
    fn step(&mut self, work: impl Future<Output = ()> + Send + 'static) {
        self.step = Some(Job::start("pod-step", self.kick.clone(), work));
    }

    fn kill(&mut self, pod: &Arc<Pod>, view: &PodView, plan: &Plan) {
        for kill in &plan.kill {
            let Some(status) = view.containers.iter().find(|status| status.id == kill.id) else {
                continue;
            };
            if self.killing.contains_key(&kill.id) {
                continue;
            }
            let grace = match kill.grace {
                Some(seconds) => Duration::from_secs(seconds.max(0) as u64),
                None => stop::default_grace(pod),
            };
            let (context, pod, status) = (self.context.clone(), pod.clone(), status.clone());
            let (message, name) = (kill.message.clone(), kill.name.clone());
            let job = Job::start("pod-kill", self.kick.clone(), async move {
                let member = member(&pod, &name);
                stop::container(&context, &pod, member.as_ref(), &status, grace, &message).await;
            });
            self.killing.insert(kill.id.clone(), job);
        }
    }

    /// Brings volumes made of API objects up to date while containers run.
    async fn refresh_volumes(&mut self, pod: &Arc<Pod>, view: &PodView) {
        if self.step.is_some() || view.running().next().is_none() {
            return;
        }
        let Some(sandbox) = view.sandbox() else { return };
        let facts = self.context.facts(pod, sandbox);
        let refresh = crate::volumes::refresh(&self.context, pod, &facts);
        let Ok(done) = tokio::time::timeout(REFRESH, refresh).await else {
            return self.wake_in(REFRESH_RETRY);
        };
        if let Some(at) = done.refresh_at {
            let left = Duration::try_from(at.duration_since(Timestamp::now()));
            self.wake_in(left.unwrap_or_default().max(Duration::from_secs(1)));
        }
        for error in &done.errors {
            tracing::debug!(pod = full_name(pod), %error, "a volume is not refreshed");
        }
        if done.errors.iter().any(crate::volumes::Error::is_silent) {
            self.wake_in(REFRESH_RETRY);
        }
    }

    /// Tells the API how the pod is.
    fn report(&mut self, desired: &Desired, view: &PodView) {
        if desired.gone {
            return;
        }
        let status = self.status(desired, view);
        if status.phase.as_deref() == Some("Running")
            && let Some(seen) = self.starting.take()
        {
            self.context.metrics.starts.observe(seen.elapsed().as_secs_f64());
        }
        if self.holds(uid(&desired.pod), &status) {
            return;
        }
        self.context.status.set(&desired.pod, status, self.cleaned);
    }

    /// Returns true if a status is to wait, and sees to it that it does not for long.
    fn holds(&mut self, uid: &str, status: &PodStatus) -> bool {
        let told = self.context.status.get(uid);
        let under_way = self.state == State::Syncing && self.step.is_some();
        if !under_way || !told.is_some_and(|told| is_in_between(&told, status)) {
            self.held = None;
            return false;
        }
        let due = *self.held.get_or_insert_with(Instant::now) + HOLD;
        if due <= Instant::now() {
            self.held = None;
            return false;
        }
        self.wake_by(due);
        true
    }

    fn status(&self, desired: &Desired, view: &PodView) -> PodStatus {
        let notes = self.notes.lock();
        let inputs = Inputs {
            view,
            waiting: &notes.waiting,
            hooking: &notes.hooking,
            probes: &self.prober.results,
            terminal: self.state == State::Terminated,
            verdict: self.verdict.as_ref(),
            resize: self.resizing.conditions(desired, self.state),
            host_ip: &self.context.config.node_ip.to_string(),
            start_time: self.since.clone(),
            now: now(),
            runtime_name: "coxswain",
        };
        match &desired.rejected {
            Some(verdict) => rejected(&desired.pod, verdict, &self.since),
            None => generate(&desired.pod, &inputs),
        }
    }
}

/// Returns true if nobody acts by what a status tells beyond the one before: the phase is the same, and
/// what is ready.
fn is_in_between(told: &PodStatus, status: &PodStatus) -> bool {
    fn ready(status: &PodStatus) -> impl Iterator<Item = (&str, bool)> {
        let lists = [&status.init_container_statuses, &status.container_statuses];
        lists.into_iter().flatten().flatten().map(|one| (&*one.name, one.ready))
    }
    told.phase == status.phase && ready(told).eq(ready(status))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn phase_and_readiness_are_told_at_once() {
        let status = |phase: &str, state: &str, ready: bool| -> PodStatus {
            serde_json::from_value(json!({"phase": phase, "containerStatuses": [{"name": "c",
                "image": "", "imageID": "", "restartCount": 0, "ready": ready,
                "state": {"waiting": {"reason": state}}}]}))
            .unwrap()
        };
        let told = status("Pending", "ContainerCreating", false);
        for (new, in_between) in [
            (status("Pending", "PodInitializing", false), true),
            (status("Running", "ContainerCreating", false), false),
            (status("Pending", "ContainerCreating", true), false),
            (PodStatus { phase: Some("Pending".to_owned()), ..PodStatus::default() }, false),
        ] {
            assert_eq!(is_in_between(&told, &new), in_between, "{new:?}");
        }
    }
}

//! The loop: changes in, decisions out.

use std::sync::Arc;

use client::informer::Event;
use client::{EventRecorder, InformerFactory, ObjectKey};
use futures::{FutureExt, StreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use telemetry::metrics::Registry;
use tokio::sync::mpsc;
use tokio::task::{unconstrained, yield_now};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::change::{self, Change};
use crate::cluster::Cluster;
use crate::framework::{Cycle, FitError, PluginSet, SUCCESS, schedule, status as outcome};
use crate::metrics::{Attempt, Metrics};
use crate::plugins::volume_binding;
use crate::pod::{PodInfo, is_gated, is_ours, node_name, nominated_node};
use crate::preemption::{Candidate, Outcome, evict, preempt};
use crate::queue::Queue;
use crate::storage::Plan;
use status::{Failure, Nomination};
use volumes::{Pending, Written};

mod binding;
mod status;
mod volumes;

/// Configuration of a scheduler.
pub struct Config {
    /// Binds pods and reports failures, as `system:kube-scheduler`.
    pub client: Client,
    /// Where nodes, pods and what else matters are read.
    pub informers: InformerFactory,
    /// Where the scheduler tells of its work.
    pub metrics: Registry,
    /// Ends the scheduler.
    pub cancel: CancellationToken,
}

/// The message of a task that has written a decision.
enum Done {
    Bound(Arc<PodInfo>, kube::Result<()>),
    Evicted(ObjectKey, kube::Result<()>),
    Volumes(Pending, kube::Result<Written>),
}

/// The result of a scheduling cycle.
enum Verdict {
    Node(String, Plan),
    Nowhere { message: String, by: PluginSet, nomination: Nomination },
    Preempt { message: String, by: PluginSet, candidate: Candidate },
}

struct Scheduler {
    client: Client,
    events: EventRecorder,
    cluster: Cluster,
    queue: Queue,
    metrics: Arc<Metrics>,
    volumes: volumes::Waiting,
    /// The node that was looked at last: the next pod begins after it.
    reached: String,
    done: mpsc::UnboundedSender<Done>,
}

/// Runs the scheduler until it is cancelled.
pub async fn run(config: Config) {
    let Config { client, informers, metrics, cancel } = config;
    let metrics = Metrics::of(&metrics);
    tracing::info!("the scheduler starts");
    let events = EventRecorder::new(client.clone(), "default-scheduler", "", cancel.clone());
    let (done, mut results) = mpsc::unbounded_channel();
    let Some(mut changes) = cancel.run_until_cancelled(change::follow(&informers)).await else {
        return;
    };
    let mut scheduler = Scheduler {
        client,
        events,
        cluster: Cluster::default(),
        queue: Queue::new(metrics.clone()),
        metrics,
        volumes: volumes::Waiting::default(),
        reached: String::new(),
        done,
    };
    loop {
        // Everything that has happened comes before the next decision.
        while let Some(Some(change)) = unconstrained(changes.next()).now_or_never() {
            scheduler.change(change);
        }
        while let Ok(done) = results.try_recv() {
            scheduler.done(done);
        }
        scheduler.queue.advance(Instant::now());
        scheduler.metrics.sizes.set_pending(scheduler.queue.counts());
        scheduler.metrics.sizes.set_cache(scheduler.cluster.cache.sizes());
        if let Some(pod) = scheduler.queue.pop() {
            scheduler.decide(pod);
            // Lets the tasks that write decisions begin, and sees whether to end.
            yield_now().await;
            if cancel.is_cancelled() {
                return;
            }
            continue;
        }
        let moment = [scheduler.queue.next_moment(), scheduler.volumes.next_moment()];
        let moment = moment.into_iter().flatten().min();
        tokio::select! {
            Some(change) = changes.next() => scheduler.change(change),
            Some(done) = results.recv() => scheduler.done(done),
            () = sleep_until(moment.unwrap_or_else(Instant::now)), if moment.is_some() => {
                scheduler.check_volumes();
            }
            () = cancel.cancelled() => return,
        }
    }
}

impl Scheduler {
    fn change(&mut self, change: Change) {
        let mut news = true;
        if let Change::Pod(Event::Deleted(pod)) = &change {
            // A pod that was over is deleted once more.
            news = self.cluster.cache.holds(&ObjectKey::of(&**pod));
            self.pod_goes(pod);
        }
        self.cluster.apply(&change);
        match &change {
            Change::Pod(Event::Added(pod)) => self.pod_changed(None, pod),
            Change::Pod(Event::Modified { old, new }) => self.pod_changed(Some(old), new),
            Change::Claim(_) | Change::Volume(_) => self.check_volumes(),
            _ => {}
        }
        if news {
            self.queue.changed(&change);
        }
        if matches!(change, Change::Pod(_)) {
            self.check_evictions();
        }
    }

    fn pod_goes(&mut self, pod: &Pod) {
        let key = ObjectKey::of(pod);
        self.queue.remove(&key);
        if let Some(pending) = self.volumes.remove(&key) {
            self.cluster.storage.forget(&pending.plan);
        }
        if self.cluster.cache.assumes(&key, pod.metadata.uid.as_deref().unwrap_or_default()) {
            self.queue.room_up_to(i32::MAX);
        }
        self.withdraw(pod);
    }

    /// Ends a nomination, if there is one; others may take the room.
    fn withdraw(&mut self, pod: &Pod) {
        let key = ObjectKey::of(pod);
        if self.cluster.nominations.of(&key).is_some() {
            self.cluster.nominations.remove(&key);
            self.queue.room_up_to(pod.spec.as_ref().and_then(|s| s.priority).unwrap_or(0));
        }
    }

    fn pod_changed(&mut self, old: Option<&Arc<Pod>>, pod: &Arc<Pod>) {
        let key = ObjectKey::of(&**pod);
        if node_name(pod).is_some() {
            self.cluster.nominations.remove(&key);
            self.queue.remove(&key);
            return;
        }
        let cleared = old.is_some_and(|old| nominated_node(old).is_some());
        if nominated_node(pod).is_none() && cleared {
            self.withdraw(pod);
        }
        if !is_ours(pod) {
            self.queue.remove(&key);
            return;
        }
        if is_gated(pod) {
            self.queue.gate(&key);
            return;
        }
        // A pod that is assumed somewhere is being bound.
        if !self.cluster.cache.holds(&key) {
            let info = Arc::new(PodInfo::new(pod.clone()));
            let known = self.cluster.nominations.of(&key).map(str::to_owned);
            if let Some(node) = nominated_node(pod).map(str::to_owned).or(known) {
                self.cluster.nominations.set(info.clone(), &node);
            }
            self.queue.add(info);
        }
    }

    fn decide(&mut self, pod: Arc<PodInfo>) {
        let _cycle = tracing::info_span!("schedule", pod = %pod.key).entered();
        let (verdict, reached) = judge(&pod, &self.cluster, &self.reached, &self.metrics);
        self.reached = reached;
        if !matches!(verdict, Verdict::Node(..)) {
            self.attempted(&pod, Attempt::Unschedulable);
        }
        match verdict {
            Verdict::Node(node, plan) => self.place(pod, node, plan),
            Verdict::Nowhere { message, by, nomination } => {
                if matches!(nomination, Nomination::Clear) {
                    self.cluster.nominations.remove(&pod.key);
                }
                self.report(&pod, Failure { reason: "Unschedulable", message, nomination });
                self.queue.unschedulable(pod, by, false);
            }
            Verdict::Preempt { message, by, candidate } => {
                let nomination = Nomination::Set(candidate.node.clone());
                self.report(&pod, Failure { reason: "Unschedulable", message, nomination });
                self.make_room(pod, by, candidate);
            }
        }
    }

    /// Tells that an attempt has ended.
    fn attempted(&self, pod: &PodInfo, attempt: Attempt) {
        if let Some(past) = self.queue.past(&pod.key) {
            self.metrics.attempted(attempt, past.last.elapsed());
        }
    }

    fn place(&mut self, pod: Arc<PodInfo>, node: String, plan: Plan) {
        self.cluster.nominations.remove(&pod.key);
        self.cluster.cache.assume(pod.clone(), &node);
        if plan.is_empty() {
            self.bind(pod, node);
            return;
        }
        self.cluster.storage.assume(&plan, &node);
        let pending = Pending { pod, node, plan };
        let (client, done) = (self.client.clone(), self.done.clone());
        let writes = volumes::writes(&pending, &self.cluster.storage);
        telemetry::task::spawn("bind-volumes", async move {
            let written = volumes::write(&client, &pending, writes).await;
            // Nobody listens any more when the scheduler has ended.
            let _ = done.send(Done::Volumes(pending, written));
        });
    }

    fn bind(&self, pod: Arc<PodInfo>, node: String) {
        let (client, events, done) = (self.client.clone(), self.events.clone(), self.done.clone());
        let (metrics, past) = (self.metrics.clone(), self.queue.past(&pod.key));
        telemetry::task::spawn("bind", async move {
            let begun = Instant::now();
            let result = binding::bind(&client, &events, &pod, &node).await;
            let status = if result.is_ok() { SUCCESS } else { "Error" };
            metrics.point("Bind", status, begun.elapsed());
            if let Some(past) = past.filter(|_| result.is_ok()) {
                metrics.attempted(Attempt::Scheduled, past.last.elapsed());
                metrics.bound(past.attempts, past.first.elapsed());
            }
            let _ = done.send(Done::Bound(pod, result));
        });
    }

    fn make_room(&mut self, pod: Arc<PodInfo>, by: PluginSet, candidate: Candidate) {
        self.metrics.victims.observe(candidate.victims.len() as f64);
        let node = &candidate.node;
        let others = self.cluster.nominations.others(node, &pod);
        let yielding: Vec<Arc<PodInfo>> =
            others.filter(|other| other.priority() < pod.priority()).cloned().collect();
        for other in &yielding {
            self.cluster.nominations.remove(&other.key);
        }
        self.cluster.nominations.set(pod.clone(), node);
        self.cluster.evictions.begin(pod.key.clone(), candidate.victims.clone());
        self.queue.unschedulable(pod.clone(), by, true);
        let (client, events, done) = (self.client.clone(), self.events.clone(), self.done.clone());
        telemetry::task::spawn("preempt", async move {
            for other in yielding {
                status::clear_nomination(&client, &other.key).await;
            }
            let result = evict::evict(&client, &events, &pod, &candidate).await;
            let _ = done.send(Done::Evicted(pod.key.clone(), result));
        });
    }

    fn done(&mut self, done: Done) {
        match done {
            // The pod's next event tells the rest.
            Done::Bound(_, Ok(())) => {}
            Done::Bound(pod, Err(error)) => {
                let message = format!("running Bind plugin \"DefaultBinder\": {error}");
                self.failed(pod, message, client::helpers::is_not_found(&error));
            }
            Done::Evicted(key, Ok(())) => {
                self.cluster.evictions.written(&key);
                self.check_evictions();
            }
            Done::Evicted(key, Err(error)) => {
                tracing::warn!(pod = %key, %error, "preemption failed");
                self.cluster.evictions.failed(&key);
                self.queue.preempted(&key, false);
            }
            Done::Volumes(pending, _) if !self.assumes(&pending.pod) => {
                self.cluster.storage.forget(&pending.plan);
            }
            Done::Volumes(pending, Ok(written)) => {
                self.volumes.add(pending, written);
                self.check_volumes();
            }
            Done::Volumes(pending, Err(error)) => self.volumes_failed(pending, &error.to_string()),
        }
    }

    /// Lets pods be tried for which all room has been made.
    fn check_evictions(&mut self) {
        for preemptor in self.cluster.evictions.done(&self.cluster.cache) {
            self.queue.preempted(&preemptor, true);
        }
    }

    /// Goes on with pods whose volumes are bound now, or will not be.
    fn check_volumes(&mut self) {
        for (pending, outcome) in self.volumes.settled(&self.cluster, Instant::now()) {
            match outcome {
                Ok(()) => {
                    self.cluster.storage.forget(&pending.plan);
                    self.bind(pending.pod, pending.node);
                }
                Err(error) => self.volumes_failed(pending, &error.to_string()),
            }
        }
    }

    fn volumes_failed(&mut self, pending: Pending, reason: &str) {
        self.cluster.storage.forget(&pending.plan);
        let message =
            format!("running PreBind plugin \"VolumeBinding\": binding volumes: {reason}");
        self.failed(pending.pod, message, false);
    }

    /// Returns true if a decision still stands. The pod may be gone, or replaced by one of its
    /// name.
    fn assumes(&self, pod: &PodInfo) -> bool {
        self.cluster.cache.assumes(&pod.key, pod.uid())
    }

    /// A decision could not be carried out, because the pod is `gone` or otherwise.
    fn failed(&mut self, pod: Arc<PodInfo>, message: String, gone: bool) {
        if !self.assumes(&pod) {
            return;
        }
        self.attempted(&pod, Attempt::Error);
        self.cluster.cache.pod_gone(&pod.key);
        self.queue.room_up_to(i32::MAX);
        if gone {
            self.queue.remove(&pod.key);
            return;
        }
        tracing::warn!(pod = %pod.key, message, "decision not carried out");
        let nomination = Nomination::Keep;
        self.report(&pod, Failure { reason: "SchedulerError", message, nomination });
        self.queue.failed(pod);
    }

    /// Tells the user why the pod waits.
    fn report(&self, pod: &Arc<PodInfo>, failure: Failure) {
        status::report(&self.client, &self.events, pod, failure);
    }
}

/// Where a pod goes, or what to do if nowhere; and the node that was looked at last.
fn judge(pod: &PodInfo, cluster: &Cluster, after: &str, metrics: &Metrics) -> (Verdict, String) {
    let mut cycle = Cycle::new(pod, cluster);
    let begun = Instant::now();
    let found = schedule(&mut cycle, after);
    metrics.decided(begun.elapsed());
    let verdict = match found {
        Ok(node) => {
            let plan = volume_binding::plan(&cycle, node).unwrap_or_default();
            Verdict::Node(node.name().to_owned(), plan)
        }
        Err(error) => {
            if error.nodes > 0 {
                metrics.preemptions.inc();
            }
            let begun = Instant::now();
            let verdict = nowhere(&mut cycle, &error);
            let found = matches!(verdict, Verdict::Preempt { .. });
            metrics.point("PostFilter", outcome(found), begun.elapsed());
            verdict
        }
    };
    for (point, status, took) in cycle.points.drain(..) {
        metrics.point(point, status, took);
    }
    (verdict, cycle.reached.unwrap_or(after).to_owned())
}

fn nowhere<'a>(cycle: &mut Cycle<'a>, error: &FitError<'a>) -> Verdict {
    let by = error.plugins();
    let nowhere = |text: Option<&str>, nomination| Verdict::Nowhere {
        message: error.message(text),
        by,
        nomination,
    };
    if error.nodes == 0 {
        return nowhere(None, Nomination::Clear);
    }
    match preempt(cycle, error) {
        Outcome::Candidate(candidate) => {
            Verdict::Preempt { message: error.message(None), by, candidate }
        }
        Outcome::Hopeless(text) => nowhere(Some(&text), Nomination::Clear),
        Outcome::NotEligible(text) => nowhere(Some(text), Nomination::Keep),
    }
}

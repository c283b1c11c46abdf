//! From the API's pods and the runtime's events to pod workers.

mod orphans;
mod resizes;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use client::{Event, EventType};
use k8s_openapi::api::core::v1::Pod;
use telemetry::task;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::admission;
use crate::context::Context;
use crate::pod::{full_name, is_deleting, is_finished, status, uid};
use crate::resize::ledger::Ledger;
use crate::resize::mark::{Mark, PENDING};
use crate::status::Verdict;
use crate::worker::{Desired, Worker};

/// A pod and its worker.
struct Managed {
    /// As the API has it.
    wanted: Arc<Pod>,
    worker: watch::Sender<Desired>,
}

/// The workers of all pods on the node.
pub(crate) struct PodManager {
    context: Arc<Context>,
    cancel: CancellationToken,
    workers: HashMap<String, Managed>,
    tasks: JoinSet<String>,
    /// Uids of pods that were there at the start and have no worker yet.
    unseen: HashSet<String>,
    /// Uids of pods that want other resources than they have, in the order in which they are
    /// asked about.
    pending: Vec<String>,
}

impl PodManager {
    pub(crate) fn new(context: Arc<Context>, cancel: CancellationToken) -> Self {
        Self {
            context,
            cancel,
            workers: HashMap::new(),
            tasks: JoinSet::new(),
            unseen: HashSet::new(),
            pending: Vec::new(),
        }
    }

    /// Runs until cancelled, then waits for the workers, which leave their containers running.
    pub(crate) async fn run(mut self) {
        let cancel = self.cancel.clone();
        cancel.run_until_cancelled(self.follow()).await;
        while self.tasks.join_next().await.is_some() {}
    }

    async fn follow(&mut self) {
        let mut runtime = self.context.runtime.events();
        let informer = self.context.pods.clone();
        // No pod is started before the list of the node's pods is known.
        informer.wait_synced().await;
        let mut events = informer.subscribe();
        let known: HashSet<String> =
            informer.store().list().iter().map(|pod| uid(pod).to_owned()).collect();
        self.unseen = known.clone();
        telemetry::task::spawn("orphans", orphans::remove(self.context.clone(), known));
        let mut nodes = self.context.node.subscribe();
        loop {
            tokio::select! {
                event = events.recv() => match event {
                    Some(event) => self.observe(event),
                    None => return,
                },
                event = runtime.recv() => match event {
                    Ok(event) => self.context.kicks.kick(&event.pod_uid),
                    Err(RecvError::Lagged(_)) => self.context.kicks.kick_all(),
                    Err(RecvError::Closed) => return,
                },
                Some(done) = self.tasks.join_next() => {
                    // Panics end in the task.
                    if let Ok(uid) = done {
                        self.workers.remove(&uid);
                    }
                }
                // Its resources may have become more.
                Some(_) = nodes.recv() => {}
            }
            self.settle();
        }
    }

    fn observe(&mut self, event: Event<Pod>) {
        match event {
            Event::Added(pod) | Event::Modified { new: pod, .. } => self.update(pod),
            Event::Deleted(pod) => {
                self.unseen.remove(uid(&pod));
                if let Some(managed) = self.workers.get(uid(&pod)) {
                    let pod = self.context.ledger.apply(&pod);
                    managed.worker.send_modify(|desired| {
                        desired.pod = pod;
                        desired.gone = true;
                    });
                }
            }
        }
    }

    fn update(&mut self, pod: Arc<Pod>) {
        let id = uid(&pod).to_owned();
        self.unseen.remove(&id);
        let allocated = self.context.ledger.apply(&pod);
        let satisfied = Arc::ptr_eq(&allocated, &pod);
        if !satisfied {
            self.ask(&id);
        }
        if let Some(managed) = self.workers.get_mut(&id) {
            managed.wanted = pod;
            managed.worker.send_modify(|desired| {
                desired.pod = allocated;
                desired.pending.take_if(|_| satisfied);
            });
            return;
        }
        let rejected = self.admit(&allocated);
        let desired = Desired {
            pending: Mark::read(&pod, PENDING).filter(|_| !satisfied),
            allocated: None,
            pod: allocated,
            gone: false,
            rejected,
        };
        let (worker, receiver) = watch::channel(desired);
        self.workers.insert(id.clone(), Managed { wanted: pod, worker });
        let (context, cancel) = (self.context.clone(), self.cancel.clone());
        let seen = std::time::Instant::now();
        let starts = self.context.metrics.worker_starts.clone();
        let run = move |cancel| Worker::run(context.clone(), receiver.clone(), cancel);
        self.tasks.spawn(async move {
            starts.observe(seen.elapsed().as_secs_f64());
            task::until_done("pod-worker", cancel, run).await;
            id
        });
    }

    /// Checks a pod that this node has not begun to run.
    fn admit(&self, pod: &Pod) -> Option<Verdict> {
        if is_finished(pod) || is_deleting(pod) {
            return None;
        }
        if status(pod).start_time.is_some() {
            self.note(pod, Ledger::adopt);
            return None;
        }
        let others = self.others(uid(pod));
        let context = &self.context;
        let node = context.node_object();
        let verdict = admission::refusal(pod, &context.sysctls, &context.config.own_ports);
        let verdict = verdict.or_else(|| {
            admission::check(
                pod,
                node.as_deref(),
                &others,
                &context.allocatable(),
                context.config.max_pods,
            )
        });
        let Some(mut verdict) = verdict else {
            self.note(pod, Ledger::allocate);
            return None;
        };
        context.metrics.rejections.with([&verdict.reason]).inc();
        verdict.message = format!("Pod was rejected: {}", verdict.message);
        context.recorder.event(pod, EventType::Warning, &verdict.reason, &verdict.message);
        Some(verdict)
    }

    /// The pods besides this one that have a part of the node. One that the API has no more has
    /// none, whatever is still to be cleaned up: the scheduler has given it to others.
    fn others(&self, id: &str) -> Vec<Arc<Pod>> {
        let has_part = |desired: &Desired| {
            !desired.gone && desired.rejected.is_none() && !is_finished(&desired.pod)
        };
        let all = self.workers.iter().filter(|(other, _)| *other != id);
        all.map(|(_, managed)| managed.worker.borrow().clone())
            .filter(has_part)
            .map(|desired| desired.pod)
            .collect()
    }

    /// Notes what an admitted pod has from now on, unless it is known to have something.
    fn note(&self, pod: &Pod, what: fn(&Ledger, &Pod) -> std::io::Result<()>) {
        let ledger = &self.context.ledger;
        if !ledger.knows(pod)
            && let Err(error) = what(ledger, pod)
        {
            tracing::warn!(pod = full_name(pod), %error, "resources not checkpointed");
        }
    }
}

//! From the API's pods and the runtime's events to pod workers.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use client::{Event, EventType};
use k8s_openapi::api::core::v1::Pod;
use runtime::{ContainerFilter, SandboxFilter};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::admission;
use crate::context::Context;
use crate::pod::{is_deleting, is_finished, status, uid};
use crate::spec::labels::POD_UID;
use crate::status::Verdict;
use crate::stop;
use crate::view::PodView;
use crate::worker::{Desired, Worker};

/// The workers of all pods on the node.
pub(crate) struct PodManager {
    context: Arc<Context>,
    cancel: CancellationToken,
    workers: HashMap<String, watch::Sender<Desired>>,
    tasks: JoinSet<String>,
}

impl PodManager {
    pub(crate) fn new(context: Arc<Context>, cancel: CancellationToken) -> Self {
        Self { context, cancel, workers: HashMap::new(), tasks: JoinSet::new() }
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
        // What this node must not start yet, because it does not know what it has.
        informer.wait_synced().await;
        let mut events = informer.subscribe();
        let known: HashSet<String> =
            informer.store().list().iter().map(|pod| uid(pod).to_owned()).collect();
        tokio::spawn(remove_orphans(self.context.clone(), known));
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
                    if let Ok(uid) = done {
                        self.workers.remove(&uid);
                    }
                }
            }
        }
    }

    fn observe(&mut self, event: Event<Pod>) {
        match event {
            Event::Added(pod) | Event::Modified { new: pod, .. } => self.update(pod),
            Event::Deleted(pod) => {
                if let Some(worker) = self.workers.get(uid(&pod)) {
                    worker.send_modify(|desired| {
                        desired.pod = pod;
                        desired.gone = true;
                    });
                }
            }
        }
    }

    fn update(&mut self, pod: Arc<Pod>) {
        let id = uid(&pod).to_owned();
        if let Some(worker) = self.workers.get(&id) {
            worker.send_modify(|desired| desired.pod = pod);
            return;
        }
        let rejected = self.admit(&pod);
        let (sender, receiver) = watch::channel(Desired { pod, gone: false, rejected });
        self.workers.insert(id.clone(), sender);
        let (context, cancel) = (self.context.clone(), self.cancel.clone());
        self.tasks.spawn(async move {
            Worker::run(context, receiver, cancel).await;
            id
        });
    }

    /// Checks a pod that this node has not begun to run.
    fn admit(&self, pod: &Pod) -> Option<Verdict> {
        if status(pod).start_time.is_some() || is_finished(pod) || is_deleting(pod) {
            return None;
        }
        let others: Vec<_> = self
            .workers
            .values()
            .map(|worker| worker.borrow().clone())
            .filter(|desired| desired.rejected.is_none() && !is_finished(&desired.pod))
            .map(|desired| desired.pod)
            .collect();
        let context = &self.context;
        let node = context.node_object();
        let verdict = admission::check(
            pod,
            node.as_deref(),
            &others,
            &context.allocatable(),
            context.config.max_pods,
        )?;
        context.recorder.event(pod, EventType::Warning, &verdict.reason, &verdict.message);
        Some(verdict)
    }
}

/// Stops and removes what the runtime has of pods that the API does not know, and the directories
/// that such pods left.
async fn remove_orphans(context: Arc<Context>, known: HashSet<String>) {
    let mut found = HashSet::new();
    let labels = |labels: &runtime::Labels| labels.get(POD_UID).cloned();
    match context.runtime.list_pod_sandboxes(SandboxFilter::default()).await {
        Ok(sandboxes) => found.extend(sandboxes.iter().filter_map(|s| labels(&s.labels))),
        Err(error) => return tracing::warn!(%error, "orphaned pods not looked for"),
    }
    match context.runtime.list_containers(ContainerFilter::default()).await {
        Ok(containers) => found.extend(containers.iter().filter_map(|c| labels(&c.labels))),
        Err(error) => return tracing::warn!(%error, "orphaned pods not looked for"),
    }
    for dir in [context.dirs.pods(), context.dirs.volatile()] {
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
        found.extend(entries.filter_map(|entry| entry.file_name().into_string().ok()));
    }
    for id in found.difference(&known) {
        if let Err(error) = remove_orphan(&context, id).await {
            tracing::warn!(uid = id, error, "orphaned pod not removed");
        }
    }
}

async fn remove_orphan(context: &Arc<Context>, id: &str) -> Result<(), String> {
    let text = |error: runtime::Error| error.to_string();
    let view = PodView::read(&*context.runtime, id).await.map_err(text)?;
    let mut pod = Pod::default();
    pod.metadata.uid = Some(id.to_owned());
    if let Some(sandbox) = view.sandboxes.first() {
        pod.metadata.name = Some(sandbox.metadata.name.clone());
        pod.metadata.namespace = Some(sandbox.metadata.namespace.clone());
    }
    stop::pod(context, &pod, &view, stop::orphan_grace(&view)).await;
    for sandbox in &view.sandboxes {
        context.runtime.remove_pod_sandbox(&sandbox.id).await.map_err(text)?;
    }
    for container in &view.containers {
        context.runtime.remove_container(&container.id).await.map_err(text)?;
    }
    crate::volumes::tear_down(context, id).map_err(|error| error.to_string())?;
    let _ = std::fs::remove_dir_all(context.dirs.pod(id));
    if pod.metadata.name.is_some() {
        let _ = std::fs::remove_dir_all(context.dirs.pod_logs(&pod));
    }
    Ok(())
}

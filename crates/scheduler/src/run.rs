//! The loop: events in, decisions out.

use std::sync::Arc;

use client::informer::Event;
use client::{EventRecorder, EventType, InformerFactory, ObjectKey};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::cache::Cache;
use crate::framework::{self, FitError};
use crate::pod::{self, PodInfo};
use crate::queue::Queue;

/// What a scheduler is made with.
pub struct Config {
    /// Binds pods and reports failures, as `system:kube-scheduler`.
    pub client: Client,
    /// Where nodes and pods are read.
    pub informers: InformerFactory,
    /// Ends the scheduler.
    pub cancel: CancellationToken,
}

/// What became of a binding.
struct Bound {
    pod: PodInfo,
    done: Result<(), kube::Error>,
}

struct Scheduler {
    client: Client,
    events: EventRecorder,
    cache: Cache,
    queue: Queue,
    bound: mpsc::UnboundedSender<Bound>,
}

/// Runs the scheduler until it is cancelled.
pub async fn run(config: Config) {
    let pods = config.informers.informer::<Pod>();
    let nodes = config.informers.informer::<Node>();
    let (bound, mut bindings) = mpsc::unbounded_channel();
    let mut scheduler = Scheduler {
        events: EventRecorder::new(
            config.client.clone(),
            "default-scheduler",
            "",
            config.cancel.clone(),
        ),
        client: config.client,
        cache: Cache::default(),
        queue: Queue::default(),
        bound,
    };
    tokio::select! {
        () = async { pods.wait_synced().await; nodes.wait_synced().await } => {}
        () = config.cancel.cancelled() => return,
    }
    let (mut pod_events, mut node_events) = (pods.subscribe(), nodes.subscribe());
    loop {
        // Everything that has happened comes before the next decision.
        while let Ok(event) = node_events.try_recv() {
            scheduler.node_event(event);
        }
        while let Ok(event) = pod_events.try_recv() {
            scheduler.pod_event(event);
        }
        while let Ok(bound) = bindings.try_recv() {
            scheduler.binding_done(bound);
        }
        scheduler.queue.advance(Instant::now());
        if let Some(pod) = scheduler.queue.pop() {
            scheduler.decide(pod);
            continue;
        }
        let moment = scheduler.queue.next_moment();
        tokio::select! {
            Some(event) = node_events.recv() => scheduler.node_event(event),
            Some(event) = pod_events.recv() => scheduler.pod_event(event),
            Some(bound) = bindings.recv() => scheduler.binding_done(bound),
            () = sleep_until(moment.unwrap_or_else(Instant::now)), if moment.is_some() => {}
            () = config.cancel.cancelled() => return,
        }
    }
}

impl Scheduler {
    fn node_event(&mut self, event: Event<Node>) {
        let helps = match &event {
            Event::Added(_) => true,
            Event::Modified { old, new } => matters(old, new),
            Event::Deleted(_) => false,
        };
        match event {
            Event::Added(node) | Event::Modified { new: node, .. } => self.cache.node_changed(node),
            Event::Deleted(node) => {
                self.cache.node_gone(node.metadata.name.as_deref().unwrap_or_default());
            }
        }
        if helps {
            self.queue.cluster_changed();
        }
    }

    fn pod_event(&mut self, event: Event<Pod>) {
        match event {
            Event::Deleted(pod) => {
                let key = ObjectKey::of(&*pod);
                self.queue.remove(&key);
                self.cache.pod_gone(&key);
                self.queue.cluster_changed();
            }
            Event::Added(pod) | Event::Modified { new: pod, .. } => {
                let key = ObjectKey::of(&*pod);
                self.cache.pod_changed(&pod);
                if pod::is_ours(&pod) && !pod::is_gated(&pod) {
                    // A pod that is assumed somewhere is being bound.
                    if !self.cache.holds(&key) {
                        self.queue.add(PodInfo::new(pod));
                    }
                } else {
                    self.queue.remove(&key);
                    if pod::is_over(&pod) {
                        self.queue.cluster_changed();
                    }
                }
            }
        }
    }

    fn decide(&mut self, pod: PodInfo) {
        match framework::schedule(&pod, &self.cache) {
            Ok(node) => {
                self.cache.assume(pod.clone(), &node);
                self.bind(pod, node);
            }
            Err(error) => self.report(pod, &error),
        }
    }

    fn bind(&self, pod: PodInfo, node: String) {
        let (client, events, bound) =
            (self.client.clone(), self.events.clone(), self.bound.clone());
        tokio::spawn(async move {
            let done = write_binding(&client, &pod, &node).await;
            if done.is_ok() {
                let message = format!(
                    "Successfully assigned {}/{} to {node}",
                    pod.key.namespace, pod.key.name
                );
                events.event(&*pod.pod, EventType::Normal, "Scheduled", message);
            }
            // Nobody listens any more when the scheduler has ended.
            let _ = bound.send(Bound { pod, done });
        });
    }

    fn binding_done(&mut self, bound: Bound) {
        let Bound { pod, done } = bound;
        let Err(error) = done else {
            self.queue.remove(&pod.key);
            return;
        };
        self.cache.pod_gone(&pod.key);
        if client::helpers::is_not_found(&error) {
            self.queue.remove(&pod.key);
            return;
        }
        tracing::warn!(pod = %pod.key.name, %error, "binding failed");
        self.queue.failed(pod);
        self.queue.cluster_changed();
    }

    /// Tells the user why the pod waits.
    fn report(&mut self, pod: PodInfo, error: &FitError) {
        let message = error.message();
        self.events.event(&*pod.pod, EventType::Warning, "FailedScheduling", message.clone());
        let (client, key) = (self.client.clone(), pod.key.clone());
        if condition_message(&pod.pod) != Some(&message) {
            tokio::spawn(async move {
                if let Err(error) = write_condition(&client, &key, &message).await {
                    tracing::debug!(pod = %key.name, %error, "condition not written");
                }
            });
        }
        self.queue.unschedulable(pod);
    }
}

/// Whether a node's change could make room for a pod.
fn matters(old: &Node, new: &Node) -> bool {
    let allocatable = |n: &Node| n.status.as_ref().and_then(|s| s.allocatable.clone());
    old.spec != new.spec
        || old.metadata.labels != new.metadata.labels
        || allocatable(old) != allocatable(new)
}

fn condition_message(pod: &Arc<Pod>) -> Option<&String> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|c| c.type_ == "PodScheduled")?.message.as_ref()
}

async fn write_binding(client: &Client, pod: &PodInfo, node: &str) -> Result<(), kube::Error> {
    let binding = json!({
        "apiVersion": "v1", "kind": "Binding",
        "metadata": {"name": pod.key.name, "namespace": pod.key.namespace, "uid": pod.uid()},
        "target": {"apiVersion": "v1", "kind": "Node", "name": node},
    });
    let api: Api<Pod> = Api::namespaced(client.clone(), &pod.key.namespace);
    let _: serde_json::Value =
        api.create_subresource("binding", &pod.key.name, &PostParams::default(), &binding).await?;
    Ok(())
}

async fn write_condition(
    client: &Client,
    key: &ObjectKey,
    message: &str,
) -> Result<(), kube::Error> {
    let patch = json!({"status": {"conditions": [{
        "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message,
        "lastProbeTime": null, "lastTransitionTime": client::helpers::now(),
    }]}});
    let api: Api<Pod> = Api::namespaced(client.clone(), &key.namespace);
    api.patch_status(&key.name, &PatchParams::default(), &Patch::Strategic(patch)).await?;
    Ok(())
}

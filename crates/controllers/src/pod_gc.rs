//! Removes pods nobody will remove: those of nodes that no longer exist, those deleted before
//! they had a node, and the oldest of too many finished ones.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use client::informer::Informer;
use client::{Event, ObjectKey, Store, WorkQueue};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::DeleteParams;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::common::{meta, pod};
use crate::{Context, Error, Outcome};

/// Time a node may be missing before its pods go (upstream's `quarantineTime`).
const QUARANTINE: Duration = Duration::from_secs(40);
/// Finished pods that are kept (upstream's `TerminatedPodGCThreshold`).
const FINISHED: usize = 12_500;
const BY_END: &str = "finished";

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Task {
    Pod(ObjectKey),
    Finished,
}

struct Controller {
    context: Context,
    queue: WorkQueue<Task>,
    nodes: Store<Node>,
    pods: Store<Pod>,
    missing: Mutex<HashMap<String, Instant>>,
}

pub(crate) async fn run(context: Context) {
    let nodes: Informer<Node> = context.informers.informer();
    let pods: Informer<Pod> = context.informers.informer();
    pod::index_by_node(pods.store());
    pods.store().add_index(BY_END, |pod| vec![pod::is_terminal(pod).to_string()]);
    nodes.wait_synced().await;
    pods.wait_synced().await;
    let controller = Arc::new(Controller {
        context: context.clone(),
        queue: context.queue("orphaned_pods_nodes"),
        nodes: nodes.store().clone(),
        pods: pods.store().clone(),
        missing: Mutex::default(),
    });
    let handler = controller.clone();
    context.subscribe(&nodes, move |event| handler.node_event(&event));
    let handler = controller.clone();
    context.subscribe(&pods, move |event| handler.pod_event(&event));
    let queue = controller.queue.clone();
    let work = move |task| {
        let controller = controller.clone();
        async move {
            match task {
                Task::Pod(key) => controller.sync(key).await,
                Task::Finished => controller.clear_finished().await,
            }
        }
    };
    context.work(&queue, 2, work).await;
}

impl Controller {
    fn node_event(&self, event: &Event<Node>) {
        let name = meta::name(&**event.object());
        if matches!(event, Event::Deleted(_)) {
            for member in pod::on_node(&self.pods, name) {
                self.queue.add(Task::Pod(ObjectKey::of(&*member)));
            }
        } else {
            self.missing.lock().remove(name);
        }
    }

    fn pod_event(&self, event: &Event<Pod>) {
        let pod = event.object();
        if matches!(event, Event::Deleted(_)) {
            return;
        }
        let before = match event {
            Event::Modified { old, .. } => Some(old),
            _ => None,
        };
        if pod::is_terminal(pod) && before.is_none_or(|old| !pod::is_terminal(old)) {
            self.queue.add(Task::Finished);
        }
        let lost = match pod::node(pod) {
            Some(node) => self.nodes.get(&ObjectKey::cluster(node)).is_none(),
            None => meta::deleting(&**pod),
        };
        if lost {
            self.queue.add(Task::Pod(ObjectKey::of(&**pod)));
        }
    }

    async fn sync(&self, key: ObjectKey) -> Outcome {
        let Some(target) = self.pods.get(&key) else { return Ok(None) };
        let Some(node) = pod::node(&target) else {
            if meta::deleting(&*target) {
                let text = "PodGC: unscheduled terminating";
                self.remove(&target, text).await?;
            }
            return Ok(None);
        };
        if self.nodes.get(&ObjectKey::cluster(node)).is_some() {
            return Ok(None);
        }
        let since = *self.missing.lock().entry(node.to_owned()).or_insert_with(Instant::now);
        if let Some(left) = QUARANTINE.checked_sub(since.elapsed()).filter(|left| !left.is_zero()) {
            return Ok(Some(left));
        }
        // Our informer may lag: a node is gone only if the server says so.
        if self.context.all::<Node>().get_opt(node).await?.is_none() {
            self.remove(&target, "PodGC: node no longer exists").await?;
        }
        Ok(None)
    }

    async fn clear_finished(&self) -> Outcome {
        let mut finished = self.pods.by_index(BY_END, "true");
        let excess = finished.len().saturating_sub(FINISHED);
        if excess > 0 {
            finished.sort_by_key(|pod| (meta::created(&**pod), meta::name(&**pod).to_owned()));
            for target in finished.iter().take(excess) {
                self.force_delete(target).await?;
            }
        }
        Ok(None)
    }

    async fn remove(&self, target: &Pod, why: &str) -> Result<(), Error> {
        if !pod::is_terminal(target) {
            pod::mark_disrupted(&self.context, target, "DeletionByPodGC", why, true).await?;
        }
        self.force_delete(target).await
    }

    async fn force_delete(&self, target: &Pod) -> Result<(), Error> {
        let now = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
        let api = self.context.api::<Pod>(meta::namespace(target));
        match api.delete(meta::name(target), &now).await {
            Err(error) if !client::helpers::is_not_found(&error) => Err(error.into()),
            _ => Ok(()),
        }
    }
}

//! Watches over nodes: notices those that fall silent, and taints nodes by their conditions.
//!
//! A node is heard of whenever its lease or its status is renewed. Its deadline moves along; only
//! a node that misses it is written to.

mod health;
mod taints;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use client::EventType::Normal;
use client::informer::Informer;
use client::{Event, ObjectKey, Store, WorkQueue};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, Pod, Taint};
use kube::api::{Patch, PatchParams};
use parking_lot::Mutex;
use serde_json::json;
use tokio::time::Instant;

use crate::common::{meta, pod};
use crate::{Context, Error, Outcome, metrics};

/// Silence after which a node counts as lost (upstream's `NodeMonitorGracePeriod`).
const GRACE: Duration = Duration::from_secs(50);
/// The same for a node that never reported (upstream's `NodeStartupGracePeriod`).
const STARTUP_GRACE: Duration = Duration::from_secs(60);
const LEASES: &str = "kube-node-lease";

struct Controller {
    context: Context,
    queue: WorkQueue<String>,
    heard: Mutex<HashMap<String, Instant>>,
    nodes: Store<Node>,
    pods: Store<Pod>,
}

pub(crate) async fn run(context: Context) {
    let nodes: Informer<Node> = context.informers.informer();
    let pods: Informer<Pod> = context.informers.informer();
    let leases: Informer<Lease> = context.informers.informer();
    pod::index_by_node(pods.store());
    nodes.wait_synced().await;
    pods.wait_synced().await;
    leases.wait_synced().await;
    let controller = Arc::new(Controller {
        context: context.clone(),
        queue: context.queue("node_lifecycle_controller"),
        heard: Mutex::default(),
        nodes: nodes.store().clone(),
        pods: pods.store().clone(),
    });
    let handler = controller.clone();
    context.subscribe(&nodes, move |event| handler.node_event(&event));
    let handler = controller.clone();
    context.subscribe(&leases, move |event| handler.lease_event(&event));
    let queue = controller.queue.clone();
    let work = move |name| {
        let controller = controller.clone();
        async move { controller.sync(name).await }
    };
    context.work(&queue, 4, work).await;
}

impl Controller {
    fn hear(&self, node: &str) {
        self.heard.lock().insert(node.to_owned(), Instant::now());
    }

    fn node_event(&self, event: &Event<Node>) {
        let node = event.object();
        let name = meta::name(&**node);
        match event {
            Event::Added(_) => {
                self.hear(name);
                let text = format!("Node {name} event: Registered Node {name} in Controller");
                self.context.events.event(&**node, Normal, "RegisteredNode", text);
            }
            Event::Modified { old, new } => {
                if health::heartbeat(old) != health::heartbeat(new) {
                    self.hear(name);
                }
            }
            Event::Deleted(_) => {
                self.heard.lock().remove(name);
            }
        }
        self.queue.add(name.to_owned());
        // With the last healthy node gone, or the first one back, all others are judged anew.
        let healthy = |node: &Node| health::ready(node) == "True";
        if matches!(event, Event::Modified { old, new } if healthy(old) != healthy(new)) {
            for other in self.nodes.list() {
                self.queue.add(meta::name(&*other).to_owned());
            }
        }
    }

    fn lease_event(&self, event: &Event<Lease>) {
        let lease = event.object();
        if meta::namespace(&**lease) != LEASES || matches!(event, Event::Deleted(_)) {
            return;
        }
        let renewed = |lease: &Lease| lease.spec.as_ref().and_then(|spec| spec.renew_time.clone());
        match event {
            Event::Modified { old, new } if renewed(old) == renewed(new) => {}
            _ => self.hear(meta::name(&**lease)),
        }
    }

    async fn sync(&self, name: String) -> Outcome {
        let Some(node) = self.nodes.get(&ObjectKey::cluster(&*name)) else { return Ok(None) };
        let silent = self.heard.lock().get(&name).map_or(Duration::ZERO, Instant::elapsed);
        let grace = if health::reported(&node) { GRACE } else { STARTUP_GRACE };
        let mut node = (*node).clone();
        if silent >= grace && health::ready(&node) != "Unknown" {
            node = self.declare_lost(node).await?;
        }
        if health::ready(&node) != "True" && health::reported(&node) {
            self.mark_pods(&name).await?;
        }
        self.write_taints(&node).await?;
        Ok(Some(grace.checked_sub(silent).filter(|left| !left.is_zero()).unwrap_or(grace)))
    }

    async fn declare_lost(&self, mut node: Node) -> Result<Node, Error> {
        health::lose(&mut node, client::helpers::now());
        let name = meta::name(&node).to_owned();
        tracing::warn!(node = name, "nothing is heard of the node: it counts as lost");
        let text = format!("Node {name} status is now: NodeNotReady");
        self.context.events.event(&node, Normal, "NodeNotReady", text);
        let api = self.context.all::<Node>();
        Ok(api.replace_subresource("status", &name, &Default::default(), &node).await?)
    }

    /// Pods of a node that is not ready are not ready, whatever their kubelet last said.
    async fn mark_pods(&self, node: &str) -> Result<(), Error> {
        for member in pod::on_node(&self.pods, node) {
            if !pod::is_ready(&member) || pod::is_terminal(&member) {
                continue;
            }
            let patch = json!({"metadata": {"uid": meta::uid(&*member)}, "status": {"conditions": [{
                "type": "Ready", "status": "False", "lastTransitionTime": client::helpers::now(),
            }]}});
            let api = self.context.api::<Pod>(meta::namespace(&*member));
            let patch = Patch::Strategic(patch);
            match api.patch_status(meta::name(&*member), &PatchParams::default(), &patch).await {
                Err(error) if !client::helpers::is_not_found(&error) => return Err(error.into()),
                _ => {}
            }
        }
        Ok(())
    }

    async fn write_taints(&self, node: &Node) -> Result<(), Error> {
        // If no node is healthy it is likely us who are cut off: nothing is evicted then.
        let blind = self.nodes.list().iter().all(|node| health::ready(node) != "True");
        let Some(taints) = taints::wanted(node, !blind, client::helpers::now()) else {
            return Ok(());
        };
        let patch = json!({
            "metadata": {"resourceVersion": node.metadata.resource_version},
            "spec": {"taints": taints},
        });
        let api = self.context.all::<Node>();
        let evicts = |taints: &[Taint]| taints.iter().any(taints::evicts);
        let before = node.spec.as_ref().and_then(|spec| spec.taints.as_deref());
        let begins = evicts(&taints) && !evicts(before.unwrap_or_default());
        api.patch(meta::name(node), &PatchParams::default(), &Patch::Merge(patch)).await?;
        if begins {
            self.context.metrics().evictions.with([&metrics::zone(node)]).inc();
        }
        Ok(())
    }
}

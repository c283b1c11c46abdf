//! The Node object: registration, status, heartbeat.

mod lease;
mod register;
mod status;

pub(crate) use lease::DURATION as LEASE_SECONDS;
pub(crate) use status::MAX_IMAGES;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use client::helpers::{is_conflict, is_not_found};
use k8s_openapi::api::core::v1::{Node, NodeStatus};
use kube::Api;
use kube::api::{Patch, PatchParams};
use tokio_util::sync::CancellationToken;

use crate::context::Context;

/// The status is looked at this often, and written when it changed.
pub(crate) const LOOK: Duration = Duration::from_secs(10);
/// It is written at least this often, as upstream's `nodeStatusReportFrequency`.
pub(crate) const REPORT: Duration = Duration::from_secs(300);
/// Wait before registration is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// Registers the node, then keeps its status and lease until `cancel`.
pub(crate) async fn run(context: Arc<Context>, cancel: CancellationToken) {
    let work = async {
        while let Err(error) = register::register(&context).await {
            tracing::warn!(%error, "node not registered, will retry");
            tokio::time::sleep(RETRY).await;
        }
        tokio::join!(report(&context), lease::renew(&context), follow_pod_cidrs(&context));
    };
    cancel.run_until_cancelled(work).await;
}

/// Writes the node's status when it changes, and once in a while in any case.
async fn report(context: &Context) {
    let nodes = Api::<Node>::all(context.config.client.clone());
    let mut written: Option<(NodeStatus, tokio::time::Instant)> = None;
    let mut ticks = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = context.node_changed.notified() => {}
        }
        let known = context.node_object();
        let fresh = status::current(context, known.as_deref()).await;
        let due = match &written {
            None => true,
            Some((old, at)) => at.elapsed() >= REPORT || status::differs(old, &fresh),
        };
        // The API's object counts, not the last write: the node controller writes to it, too.
        let doubted = context.node_doubted.load(Ordering::Acquire);
        let due = due || doubted || known.as_deref().is_some_and(is_doubted);
        if !due {
            continue;
        }
        let patch = Patch::Strategic(serde_json::json!({ "status": fresh }));
        let name = &context.config.node_name;
        match nodes.patch_status(name, &PatchParams::default(), &patch).await {
            Ok(_) => {
                let was = written.as_ref().map(|(status, _)| is_ready(status));
                let ready = is_ready(&fresh);
                if was != Some(ready) {
                    tracing::info!(node = name, ready, "node state");
                }
                if written.is_none() {
                    ticks.reset();
                }
                written = Some((fresh, tokio::time::Instant::now()));
                context.node_doubted.store(false, Ordering::Release);
            }
            Err(error) if is_not_found(&error) => {
                // It was deleted, and a running kubelet creates it again.
                if let Err(error) = register::register(context).await {
                    tracing::warn!(%error, "node not registered, will retry");
                }
                ticks.reset_immediately();
                tokio::time::sleep(RETRY).await;
            }
            Err(error) if is_conflict(&error) => ticks.reset_immediately(),
            Err(error) => tracing::warn!(%error, "node status not written, will retry"),
        }
    }
}

fn is_ready(status: &NodeStatus) -> bool {
    let mut conditions = status.conditions.iter().flatten();
    conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// Returns true if the node controller has marked the node as lost.
fn is_doubted(node: &Node) -> bool {
    let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|c| c.type_ == "Ready" && c.status == "Unknown")
}

/// Passes the node's pod ranges to the runtime, once they are assigned.
async fn follow_pod_cidrs(context: &Context) {
    let mut events = context.node.subscribe();
    let mut told = Vec::new();
    while let Some(event) = events.recv().await {
        let node = event.object();
        if node.metadata.name.as_deref() != Some(&context.config.node_name) {
            continue;
        }
        let spec = node.spec.clone().unwrap_or_default();
        let texts = spec.pod_cidrs.unwrap_or_else(|| spec.pod_cidr.into_iter().collect());
        let cidrs: Vec<ipnet::IpNet> = texts.iter().filter_map(|text| text.parse().ok()).collect();
        if cidrs.is_empty() || cidrs == told {
            continue;
        }
        match context.runtime.update_pod_cidrs(cidrs.clone()).await {
            Ok(()) => {
                told = cidrs;
                context.node_changed.notify_one();
                context.kicks.kick_all();
            }
            Err(error) => tracing::warn!(%error, "pod addresses not accepted by the runtime"),
        }
    }
}

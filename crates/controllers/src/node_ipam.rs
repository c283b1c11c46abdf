//! Gives each node a range for the addresses of its pods: the lowest free one, in the order in
//! which the nodes came.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use client::Event;
use client::EventType::Normal;
use ipnet::Ipv4Net;
use k8s_openapi::api::core::v1::Node;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use tokio::sync::Mutex;

use crate::common::meta;
use crate::{Context, Outcome};

/// Prefix length of a node's range (upstream's `NodeCIDRMaskSize` for IPv4).
const NODE_PREFIX: u8 = 24;

/// Ranges by the uid of the node that has them; ahead of what the informer shows.
type Given = Arc<Mutex<BTreeMap<String, Ipv4Net>>>;

pub(crate) async fn run(context: Context) {
    let Some(cluster) = context.settings.cluster_cidr else {
        return context.cancel.cancelled().await;
    };
    let queue = context.queue("node_ipam");
    let enqueue = queue.clone();
    let nodes = context.on::<Node>(move |event| {
        let lacks = |node: &Node| own_range(node).is_none();
        match event {
            Event::Added(node) | Event::Modified { new: node, .. } if !lacks(&node) => {}
            // A node that goes may leave room for one that waits.
            _ => enqueue.add(()),
        }
    });
    nodes.wait_synced().await;
    let work = context.clone();
    let given = Given::default();
    context
        .work(&queue, 1, move |()| {
            let (context, given) = (work.clone(), given.clone());
            let nodes = nodes.store().list();
            async move { allocate(&context, nodes, cluster, &given).await }
        })
        .await;
}

fn own_range(node: &Node) -> Option<Ipv4Net> {
    node.spec.as_ref()?.pod_cidr.as_ref()?.parse().ok()
}

async fn allocate(
    context: &Context,
    mut nodes: Vec<Arc<Node>>,
    cluster: Ipv4Net,
    given: &Given,
) -> Outcome {
    let mut given = given.lock().await;
    let present: BTreeSet<&str> = nodes.iter().map(|node| meta::uid(&**node)).collect();
    given.retain(|uid, _| present.contains(uid.as_str()));
    for node in &nodes {
        if let Some(range) = own_range(node) {
            given.insert(meta::uid(&**node).to_owned(), range);
        }
    }
    nodes.sort_by_key(|node| (meta::created(&**node), meta::name(&**node).to_owned()));
    for node in nodes {
        if given.contains_key(meta::uid(&*node)) || meta::deleting(&*node) {
            continue;
        }
        let taken: Vec<Ipv4Net> = given.values().copied().collect();
        let Some(range) = lowest_free(cluster, &taken) else {
            let text = format!("Node {} status is now: CIDRNotAvailable", meta::name(&*node));
            context.events.event(&*node, Normal, "CIDRNotAvailable", text);
            return Ok(None);
        };
        let patch = json!({"metadata": {"uid": meta::uid(&*node)},
            "spec": {"podCIDR": range.to_string(), "podCIDRs": [range.to_string()]}});
        let patch = Patch::Merge(patch);
        match context.all::<Node>().patch(meta::name(&*node), &PatchParams::default(), &patch).await
        {
            Err(error) if !client::helpers::is_not_found(&error) => return Err(error.into()),
            _ => {
                given.insert(meta::uid(&*node).to_owned(), range);
            }
        }
    }
    Ok(None)
}

/// The first range of a node's size within `cluster` that overlaps none of `taken`.
fn lowest_free(cluster: Ipv4Net, taken: &[Ipv4Net]) -> Option<Ipv4Net> {
    let prefix = NODE_PREFIX.max(cluster.prefix_len());
    let (first, last) = (u32::from(cluster.network()), u32::from(cluster.broadcast()));
    let free = |range: &Ipv4Net| {
        !taken.iter().any(|t| t.contains(&range.network()) || range.contains(&t.network()))
    };
    let steps = (first..=last).step_by(1usize << (32 - u32::from(prefix)));
    steps.filter_map(|start| Ipv4Net::new(Ipv4Addr::from(start), prefix).ok()).find(free)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_filled_first() {
        let net = |text: &str| text.parse::<Ipv4Net>().unwrap();
        for (cluster, taken, expected) in [
            ("10.244.0.0/16", vec![], Some("10.244.0.0/24")),
            ("10.244.0.0/16", vec!["10.244.0.0/24", "10.244.2.0/24"], Some("10.244.1.0/24")),
            ("10.244.0.0/16", vec!["10.244.0.0/23"], Some("10.244.2.0/24")),
            ("10.1.0.0/23", vec!["10.1.0.0/24", "10.1.1.0/24"], None),
            ("10.1.0.0/25", vec![], Some("10.1.0.0/25")),
            ("10.1.0.0/24", vec!["10.1.0.64/26"], None),
        ] {
            let taken: Vec<_> = taken.into_iter().map(net).collect();
            assert_eq!(lowest_free(net(cluster), &taken), expected.map(net), "{cluster}");
        }
    }
}

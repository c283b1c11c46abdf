//! Routes to the pods of other nodes, for nodes that are next to each other.

use std::net::IpAddr;

use client::InformerFactory;
use ipnet::IpNet;
use k8s_openapi::api::core::v1::Node;
use runtime::embedded::Embedded;
use tokio_util::sync::CancellationToken;

/// Keeps the routes of node `own` as the nodes say, until cancelled.
pub(crate) async fn keep(
    runtime: Embedded,
    informers: InformerFactory,
    own: String,
    cancel: CancellationToken,
) {
    let nodes = informers.informer::<Node>();
    let mut events = nodes.subscribe();
    let mut in_force = Vec::new();
    while let Some(Some(_)) = cancel.run_until_cancelled(events.recv()).await {
        // Whatever has come by now is in the store already.
        while events.try_recv().is_ok() {}
        let Some(network) = runtime.pod_network() else { continue };
        let mut wanted: Vec<(IpNet, IpAddr)> = nodes
            .store()
            .list()
            .iter()
            .filter(|node| node.metadata.name.as_deref() != Some(&own))
            .filter_map(|node| route(node))
            .collect();
        wanted.sort();
        if wanted == in_force {
            continue;
        }
        let routes = wanted.clone();
        match tokio::task::spawn_blocking(move || network.set_node_routes(&routes)).await {
            Ok(Ok(())) => in_force = wanted,
            Ok(Err(error)) => tracing::error!(%error, "routes to other nodes"),
            Err(panic) => tracing::error!(%panic, "routes to other nodes"),
        }
    }
}

/// The pod range of a node and the way to it.
fn route(node: &Node) -> Option<(IpNet, IpAddr)> {
    let range = node.spec.as_ref()?.pod_cidr.as_ref()?.parse().ok()?;
    let addresses = node.status.as_ref()?.addresses.as_ref()?;
    let internal = addresses.iter().find(|a| a.type_ == "InternalIP")?;
    Some((range, internal.address.parse().ok()?))
}

//! Cases of sig-network.

mod affinity;
mod api_server;
mod dns;
mod endpoints;
mod host_ports;
mod kinds;
mod pods;
mod proxy;
mod services;
mod types;

use anyhow::Result;
use serde_json::{Value, json};

use crate::api::SERVICE;
use crate::case::Case;
use crate::test::Test;

pub(super) fn cases() -> Vec<Case> {
    [
        affinity::cases(),
        api_server::cases(),
        dns::cases(),
        endpoints::cases(),
        host_ports::cases(),
        kinds::cases(),
        pods::cases(),
        proxy::cases(),
        services::cases(),
        types::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Ready servers named `NAME-0` and on, with the label `app=NAME`; gives the pods.
async fn servers(test: &Test, name: &str, count: usize) -> Result<Vec<Value>> {
    let start = (0..count).map(|index| {
        let mut pod =
            test.pod(&format!("{name}-{index}"), json!({"containers": [test.server("s")]}));
        pod["metadata"]["labels"] = json!({"app": name});
        test.start(pod)
    });
    futures::future::try_join_all(start).await
}

/// A service for the pods of `servers`, with port 80 to their 8080; gives it.
async fn service(test: &Test, name: &str, extra: Value) -> Result<Value> {
    let mut spec = json!({"selector": {"app": name}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]});
    for (field, value) in extra.as_object().into_iter().flatten() {
        spec[field] = value.clone();
    }
    test.of(&SERVICE).create(json!({"metadata": {"name": name}, "spec": spec})).await
}

/// Asks a URL from a pod until each of the servers has answered, and nobody else did.
async fn reaches_all(test: &Test, from: &str, url: &str, servers: &[String]) -> Result<()> {
    let steps = vec![format!("get {url}"); servers.len() * 8];
    let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
    let mut wanted = servers.to_vec();
    wanted.sort();
    let expected = format!("answers of just {wanted:?}");
    let met = |said: &str| {
        let mut heard: Vec<&str> = said.lines().collect();
        heard.sort_unstable();
        heard.dedup();
        heard == wanted
    };
    test.exec_until(from, &steps, &expected, met).await.map(drop)
}

/// Waits until nothing answers any more.
async fn unreachable(test: &Test, from: &str, peer: &str) -> Result<()> {
    loop {
        if !test.exec(from, "", &[&format!("connect {peer}")]).await?.success {
            return Ok(());
        }
        let now = tokio::time::Instant::now();
        anyhow::ensure!(now < test.cluster.deadline(), "{peer} still answers");
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    }
}

/// The names of pods.
fn names(pods: &[Value]) -> Vec<String> {
    pods.iter().map(|pod| crate::test::name(pod).to_owned()).collect()
}

/// An address of a node.
async fn node_address(test: &Test) -> Result<String> {
    let node = test.cluster.all(&crate::api::NODE).get(&test.nodes()[0]).await?;
    let mut addresses = node["status"]["addresses"].as_array().into_iter().flatten();
    let internal = addresses.find(|address| address["type"] == "InternalIP");
    let internal = internal.and_then(|address| address["address"].as_str());
    internal.map(str::to_owned).ok_or_else(|| anyhow::anyhow!("the node has no InternalIP: {node}"))
}

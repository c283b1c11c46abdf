//! The whole proxy against a scripted API, in a network namespace. Needs root.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use client::InformerFactory;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use network::netns;
use network::nft::{Family, NftSocket};
use proxy::ProxyConfig;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

const TABLE: &str = "coxswain-run";
const PATIENCE: Duration = Duration::from_secs(20);

/// Lists one service with one endpoint; watches bring nothing.
async fn answer(
    request: Request<client::kube::client::Body>,
) -> Result<Response<UnsyncBoxBody<Bytes, std::io::Error>>, std::io::Error> {
    if request.uri().query().is_some_and(|query| query.contains("watch=true")) {
        return Ok(Response::new(Silent.boxed_unsync()));
    }
    let (kind, version, items) = match request.uri().path() {
        "/api/v1/services" => ("ServiceList", "v1", vec![service()]),
        "/api/v1/nodes" => ("NodeList", "v1", vec![]),
        "/apis/networking.k8s.io/v1/servicecidrs" => {
            ("ServiceCIDRList", "networking.k8s.io/v1", vec![])
        }
        _ => ("EndpointSliceList", "discovery.k8s.io/v1", vec![slice()]),
    };
    let list = json!({
        "kind": kind, "apiVersion": version, "metadata": {"resourceVersion": "1"}, "items": items
    });
    let body = Full::new(Bytes::from(list.to_string()));
    Ok(Response::new(body.map_err(|never| match never {}).boxed_unsync()))
}

/// The body of a watch that never brings anything.
struct Silent;

impl http_body::Body for Silent {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, std::io::Error>>> {
        std::task::Poll::Pending
    }
}

fn service() -> Value {
    json!({
        "metadata": {"namespace": "ns", "name": "web", "uid": "1", "resourceVersion": "1"},
        "spec": {"clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.7"],
                 "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]}
    })
}

fn slice() -> Value {
    json!({
        "metadata": {"namespace": "ns", "name": "web-1", "uid": "2", "resourceVersion": "1",
                     "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": [{"addresses": ["10.60.1.2"], "nodeName": "node"}]
    })
}

/// Waits until the map of cluster addresses has this many elements; `None` means no table.
async fn until(node: &Path, wanted: Option<usize>) {
    let reached = async {
        loop {
            let found = netns::run_in(Some(node), || {
                let mut nft = NftSocket::open()?;
                if !nft.has_table(Family::Ip, TABLE)? {
                    return Ok(None);
                }
                Ok(nft.elements(Family::Ip, TABLE, "service-ips").ok().map(|list| list.len()))
            });
            if found.unwrap() == wanted {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, reached).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_come_into_force_heal_and_go() {
    assert!(nix::unistd::geteuid().is_root(), "this test needs root");
    let dir = tempfile::tempdir().unwrap();
    let node = dir.path().join("node");
    netns::create(&node).unwrap();
    let api = client::transport::in_process(tower::service_fn(answer), ());
    let cancel = CancellationToken::new();
    let factory = InformerFactory::new(api, cancel.child_token());
    let metrics = telemetry::metrics::Registry::new();
    let status = proxy::Health::new(&metrics);
    assert!(!status.healthz().healthy);
    let config = ProxyConfig {
        node_name: "node".into(),
        cluster_id: "run".into(),
        cluster_cidr: "10.60.0.0/16".parse().unwrap(),
        own_ports: vec![10250],
        api_server: Some("192.0.2.1:6443".parse().unwrap()),
        node_netns: Some(node.clone()),
        metrics: metrics.clone(),
        status: status.clone(),
    };
    let token = cancel.clone();
    let running = tokio::spawn(async move { proxy::run(&factory, config, token).await });
    until(&node, Some(1)).await;
    let healthy = async {
        while !status.healthz().healthy {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), healthy).await.expect("rules are in force");
    let text = metrics.encode(telemetry::metrics::Format::Text);
    let failures = "kubeproxy_sync_proxy_rules_nftables_sync_failures_total{ip_family=\"IPv4\"} 0";
    assert!(text.lines().any(|line| line == failures), "{text}");
    assert!(
        !text.contains("kubeproxy_sync_proxy_rules_duration_seconds_count{ip_family=\"IPv4\"} 0")
    );

    let foreign = std::process::Command::new("nsenter")
        .arg(format!("--net={}", node.display()))
        .args(["nft", "delete", "table", "ip", TABLE])
        .status()
        .unwrap();
    assert!(foreign.success());
    until(&node, Some(1)).await;

    cancel.cancel();
    running.await.unwrap().unwrap();
    until(&node, None).await;
    netns::unpin(&node).unwrap();
}

//! Ports of nodes that pods take.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::case::{Case, pod_case};
use crate::test::{Test, expect_in, name};

pub(super) fn cases() -> Vec<Case> {
    vec![
        pod_case(
            "[sig-network] HostPort validates that there is no conflict between pods with same hostPort but \
             different hostIP and protocol [LinuxOnly] [Conformance]",
            no_conflict,
        ),
        pod_case(
            "[sig-scheduling] SchedulerPredicates [Serial] validates that there exists conflict between \
             pods with same hostPort and protocol but one using 0.0.0.0 hostIP [Conformance]",
            conflict,
        ),
    ]
}

async fn address(test: &Test, node: &str) -> Result<String> {
    let node = test.cluster.all(&crate::api::NODE).get(node).await?;
    let mut addresses = node["status"]["addresses"].as_array().into_iter().flatten();
    let internal =
        addresses.find(|address| address["type"] == "InternalIP").context("no InternalIP")?;
    Ok(internal["address"].as_str().context("no address")?.to_owned())
}

fn pod(test: &Test, name: &str, node: &str, port: Value) -> Value {
    let mut container = test.server("s");
    container["ports"] = json!([port]);
    let spec = json!({"nodeSelector": {"kubernetes.io/hostname": node}, "containers": [container]});
    test.pod(name, spec)
}

/// A port that hardly anybody else takes.
fn free_port() -> u16 {
    50_000 + rand::random::<u16>() % 4000
}

async fn no_conflict(test: Test) -> Result<()> {
    let node = test.nodes()[0].clone();
    let (ip, port) = (address(&test, &node).await?, free_port());
    for (name, host, protocol, inside) in [
        ("pod1", "127.0.0.1", "TCP", 8080),
        ("pod2", ip.as_str(), "TCP", 8080),
        ("pod3", ip.as_str(), "UDP", 8081),
    ] {
        let taken = json!({"containerPort": inside, "hostPort": port, "hostIP": host, "protocol": protocol});
        test.start(pod(&test, name, &node, taken)).await?;
    }
    let spec = json!({"hostNetwork": true, "nodeSelector": {"kubernetes.io/hostname": node},
        "containers": [test.pause("c")]});
    test.start(test.pod("client", spec)).await?;
    for (step, pod) in [
        (format!("get http://127.0.0.1:{port}/hostname"), "pod1"),
        (format!("get http://{ip}:{port}/hostname"), "pod2"),
        (format!("udp {ip}:{port} hostname"), "pod3"),
    ] {
        let met = |said: &str| said.trim() == pod;
        test.exec_until("client", &[&step], &format!("the answer of {pod}"), met).await?;
    }
    Ok(())
}

async fn conflict(test: Test) -> Result<()> {
    let node = test.nodes()[0].clone();
    let port = free_port();
    let first = json!({"containerPort": 8080, "hostPort": port, "hostIP": "0.0.0.0"});
    test.start(pod(&test, "first", &node, first)).await?;
    let ip = address(&test, &node).await?;
    let second = json!({"containerPort": 8080, "hostPort": port, "hostIP": ip});
    test.pods().create(pod(&test, "second", &node, second)).await?;
    let refused = |pod: &Value| {
        let placed = crate::test::condition(pod, "PodScheduled");
        placed["status"] == "False" && placed["reason"] == "Unschedulable"
    };
    let waiting = test.pods().wait("second", "not to be schedulable", refused).await?;
    let message = crate::test::condition(&waiting, "PodScheduled")["message"].to_string();
    expect_in("the message", &message, "didn't have free ports for the requested pod ports")?;
    // Another port is free, and the first pod's when it is gone.
    let other = json!({"containerPort": 8080, "hostPort": port + 1});
    let third = test.start(pod(&test, "third", &node, other)).await?;
    anyhow::ensure!(third["spec"]["nodeName"] == *node, "{} is on another node", name(&third));
    test.pods().delete("first").await?;
    test.ready("second").await.map(drop)
}

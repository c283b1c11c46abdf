//! Pods that reach each other.

use anyhow::{Context, Result};
use serde_json::json;

use crate::case::{Case, Need, pod_case};
use crate::test::{Test, expect_in};

pub(super) fn cases() -> Vec<Case> {
    let title = |who: &str, how: &str, tags: &str| {
        format!(
            "[sig-network] Networking Granular Checks: Pods should function for {who} communication: {how} \
             {tags}[NodeConformance] [Conformance]"
        )
    };
    let mut cases = Vec::new();
    for how in ["http", "udp"] {
        cases.push(pod_case(&title("intra-pod", how, ""), move |test| reach(test, false, how)));
        cases.push(pod_case(&title("node-pod", how, "[LinuxOnly] "), move |test| {
            reach(test, true, how)
        }));
    }
    cases.push(
        pod_case(
            "[sig-network] Networking should keep the source address between pods of two nodes",
            source_address,
        )
        .needs(Need::Nodes(2)),
    );
    cases
}

/// One server on each node, asked from a pod, or from a pod in the network of a node.
async fn reach(test: Test, from_node: bool, how: &str) -> Result<()> {
    let mut servers = Vec::new();
    for node in test.nodes() {
        let name = format!("server-{}", servers.len());
        let spec = json!({"nodeName": node, "containers": [test.server("s")]});
        servers.push(test.start(test.pod(&name, spec)).await?);
    }
    let node = &test.nodes()[0];
    let spec = json!({"nodeName": node, "hostNetwork": from_node, "containers": [test.pause("c")]});
    test.start(test.pod("client", spec)).await?;
    for server in &servers {
        let ip = server["status"]["podIP"].as_str().context("no address")?;
        let step = match how {
            "http" => format!("get http://{ip}:8080/hostname"),
            _ => format!("udp {ip}:8081 hostname"),
        };
        let name = crate::test::name(server);
        let met = |said: &str| said.trim() == name;
        test.exec_until("client", &[&step], &format!("the answer of {name}"), met).await?;
    }
    Ok(())
}

async fn source_address(test: Test) -> Result<()> {
    let spec = json!({"nodeName": test.nodes()[0], "containers": [test.pause("c")]});
    let client = test.start(test.pod("client", spec)).await?;
    let spec = json!({"nodeName": test.nodes()[1], "containers": [test.server("s")]});
    let server = test.start(test.pod("server", spec)).await?;
    let ip =
        |pod: &serde_json::Value| pod["status"]["podIP"].as_str().unwrap_or_default().to_owned();
    let step = format!("get http://{}:8080/clientip", ip(&server));
    let said = test.exec_ok("client", "c", &[&step]).await?;
    expect_in("the address that the server sees", &said, &ip(&client))
}

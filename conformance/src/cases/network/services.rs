//! Services and the pods behind them.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::{names, node_address, reaches_all, servers, service, unreachable};
use crate::api::{ENDPOINTS, Patch, SERVICE};
use crate::case::{Case, case, pod_case};
use crate::test::{Test, condition, expect_eq, expect_in, name};

pub(super) fn cases() -> Vec<Case> {
    let title = |rest: &str| format!("[sig-network] Services {rest} [Conformance]");
    vec![
        pod_case(&title("should serve a basic endpoint from pods"), basic),
        pod_case(&title("should serve multiport endpoints from pods"), multiport),
        pod_case(&title("should serve endpoints on same port and different protocols"), protocols),
        pod_case(&title("should be able to create a functioning NodePort service"), node_port),
        case(&title("should find a service from listing all namespaces"), everywhere),
        case(&title("should complete a service status lifecycle"), status),
        case(&title("should delete a collection of services"), collection),
        pod_case("[sig-network] Services should be able to up and down services", up_and_down),
        pod_case(
            "[sig-network] Services should send no traffic to pods that are not ready",
            not_ready,
        ),
        case(
            "[sig-network] Services should allocate addresses and ports once, and keep them",
            allocation,
        ),
        pod_case(
            "[sig-network] Service endpoints latency should not be very high [Conformance]",
            latency,
        ),
    ]
}

fn address(service: &Value) -> Result<String> {
    let ip = service["spec"]["clusterIP"].as_str().context("the service has no address")?;
    Ok(ip.to_owned())
}

/// Waits until the addresses of a service are those of just these pods.
async fn endpoints(test: &Test, service: &str, pods: &[Value]) -> Result<()> {
    let mut wanted: Vec<String> =
        pods.iter().map(|pod| pod["status"]["podIP"].to_string()).collect();
    wanted.sort();
    let expected = format!("to have the addresses {wanted:?}");
    let met = |object: &Value| {
        let addresses = object["subsets"].as_array().into_iter().flatten();
        let addresses =
            addresses.flat_map(|subset| subset["addresses"].as_array().into_iter().flatten());
        let mut found: Vec<String> = addresses.map(|address| address["ip"].to_string()).collect();
        found.sort();
        found.dedup();
        found == wanted
    };
    test.of(&ENDPOINTS).wait(service, &expected, met).await.map(drop)
}

async fn basic(test: Test) -> Result<()> {
    service(&test, "web", json!({})).await?;
    let pods = servers(&test, "web", 2).await?;
    endpoints(&test, "web", &pods).await?;
    let service = test.of(&SERVICE).get("web").await?;
    let client = test.client_pod().await?;
    let url = format!("http://{}/hostname", address(&service)?);
    reaches_all(&test, &client, &url, &names(&pods)).await?;
    test.pods().delete("web-0").await?;
    test.pods().wait_gone("web-0").await?;
    endpoints(&test, "web", &pods[1..]).await?;
    reaches_all(&test, &client, &url, &names(&pods[1..])).await?;
    test.pods().delete("web-1").await?;
    endpoints(&test, "web", &[]).await
}

async fn multiport(test: Test) -> Result<()> {
    let ports = json!([
        {"name": "portname1", "port": 80, "targetPort": "p1"},
        {"name": "portname2", "port": 81, "targetPort": "p2"},
    ]);
    let service = service(&test, "multi", json!({"ports": ports})).await?;
    for (index, port) in [100, 101].into_iter().enumerate() {
        let named = format!("p{}", index + 1);
        let mut container = test.server("s");
        container["args"] = json!(["netexec", format!("http={port}")]);
        container["readinessProbe"]["httpGet"]["port"] = port.into();
        container["ports"] = json!([{"name": named, "containerPort": port}]);
        let mut pod = test.pod(&format!("multi-{index}"), json!({"containers": [container]}));
        pod["metadata"]["labels"] = json!({"app": "multi"});
        test.start(pod).await?;
    }
    let client = test.client_pod().await?;
    let ip = address(&service)?;
    // Each pod has one of the ports only.
    for (port, pod) in [(80, "multi-0"), (81, "multi-1")] {
        let url = format!("http://{ip}:{port}/hostname");
        reaches_all(&test, &client, &url, &[pod.to_owned()]).await?;
    }
    Ok(())
}

async fn protocols(test: Test) -> Result<()> {
    let ports = json!([
        {"name": "tcp", "port": 80, "protocol": "TCP", "targetPort": 8080},
        {"name": "udp", "port": 80, "protocol": "UDP", "targetPort": 8081},
    ]);
    let service = service(&test, "both", json!({"ports": ports})).await?;
    servers(&test, "both", 1).await?;
    let client = test.client_pod().await?;
    let ip = address(&service)?;
    reaches_all(&test, &client, &format!("http://{ip}/hostname"), &["both-0".to_owned()]).await?;
    let udp = format!("udp {ip}:80 hostname");
    let met = |said: &str| said.trim() == "both-0";
    test.exec_until(&client, &[&udp], "both-0 by UDP", met).await.map(drop)
}

async fn node_port(test: Test) -> Result<()> {
    let service = service(&test, "np", json!({"type": "NodePort"})).await?;
    let port = service["spec"]["ports"][0]["nodePort"].as_u64().context("no node port")?;
    anyhow::ensure!((30_000..=32_767).contains(&port), "the node port is {port}");
    let pods = servers(&test, "np", 2).await?;
    let client = test.client_pod().await?;
    let url = format!("http://{}/hostname", address(&service)?);
    reaches_all(&test, &client, &url, &names(&pods)).await?;
    let node = node_address(&test).await?;
    reaches_all(&test, &client, &format!("http://{node}:{port}/hostname"), &names(&pods)).await
}

async fn everywhere(test: Test) -> Result<()> {
    service(&test, "listed", json!({})).await?;
    let all = test.cluster.all(&SERVICE).items("").await?;
    let own = |service: &Value| {
        name(service) == "listed" && service["metadata"]["namespace"] == *test.namespace
    };
    anyhow::ensure!(all.iter().any(own), "the service is not in the list of all namespaces");
    let main = |service: &Value| {
        name(service) == "kubernetes" && service["metadata"]["namespace"] == "default"
    };
    anyhow::ensure!(
        all.iter().any(main),
        "default/kubernetes is not in the list of all namespaces"
    );
    Ok(())
}

async fn status(test: Test) -> Result<()> {
    service(&test, "s", json!({"type": "LoadBalancer"})).await?;
    let services = test.of(&SERVICE);
    let body = json!({"metadata": {"annotations": {"patched": "true"}},
        "status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.1"}]}}});
    let patched = services.patch("s/status", Patch::Merge, body).await?;
    let ip = &patched["status"]["loadBalancer"]["ingress"][0]["ip"];
    expect_eq("the patched status", ip, &json!("203.0.113.1"))?;
    let told = json!([{"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "m",
        "lastTransitionTime": "2020-01-01T00:00:00Z"}]);
    services.change("s/status", |service| service["status"]["conditions"] = told.clone()).await?;
    let read = services.get("s/status").await?;
    expect_eq("the condition", &condition(&read, "StatusUpdate")["reason"], &json!("E2E"))?;
    services.delete("s").await.map(drop)
}

async fn collection(test: Test) -> Result<()> {
    for (one, label) in [("a", "go"), ("b", "go"), ("c", "stay")] {
        let object = json!({"metadata": {"name": one, "labels": {"l": label}}, "spec": {"ports": [{"port": 80}]}});
        test.of(&SERVICE).create(object).await?;
    }
    test.of(&SERVICE).delete_all("labelSelector=l=go").await?;
    let left = test.of(&SERVICE).items("").await?;
    expect_eq("what is left", &json!(left.iter().map(name).collect::<Vec<_>>()), &json!(["c"]))
}

async fn up_and_down(test: Test) -> Result<()> {
    let first = service(&test, "up", json!({})).await?;
    let pods = servers(&test, "up", 1).await?;
    let client = test.client_pod().await?;
    let ip = address(&first)?;
    let url = format!("http://{ip}/hostname");
    reaches_all(&test, &client, &url, &names(&pods)).await?;
    test.of(&SERVICE).delete("up").await?;
    unreachable(&test, &client, &format!("{ip}:80")).await
}

async fn not_ready(test: Test) -> Result<()> {
    let service = service(&test, "half", json!({})).await?;
    servers(&test, "half", 1).await?;
    let mut container = test.server("s");
    container["readinessProbe"] = json!({"httpGet": {"path": "/", "port": 9}, "periodSeconds": 1});
    let mut pod = test.pod("unready", json!({"containers": [container]}));
    pod["metadata"]["labels"] = json!({"app": "half"});
    test.pods().create(pod).await?;
    test.pods().wait("unready", "to run", |pod| pod["status"]["phase"] == "Running").await?;
    let told = |object: &Value| {
        let subset = &object["subsets"][0];
        subset["notReadyAddresses"].as_array().is_some_and(|list| list.len() == 1)
    };
    test.of(&ENDPOINTS).wait("half", "to list the unready pod apart", told).await?;
    let client = test.client_pod().await?;
    let url = format!("http://{}/hostname", address(&service)?);
    reaches_all(&test, &client, &url, &["half-0".to_owned()]).await
}

async fn allocation(test: Test) -> Result<()> {
    let first = service(&test, "first", json!({"type": "NodePort"})).await?;
    let ip = address(&first)?;
    let port = &first["spec"]["ports"][0]["nodePort"];
    let services = test.of(&SERVICE);
    for (name, field, value) in [
        ("same-ip", "clusterIP", json!(ip)),
        ("same-port", "ports", json!([{"port": 80, "nodePort": port}])),
    ] {
        let mut object = json!({"metadata": {"name": name}, "spec": {"type": "NodePort", "ports": [{"port": 80}]}});
        object["spec"][field] = value;
        let refusal = crate::api::expect_refusal(services.create(object).await, 422, "Invalid")?;
        expect_in("the refusal", refusal.message(), "already allocated")?;
    }
    let body = json!({"spec": {"clusterIP": "10.96.255.254"}});
    let moved = services.patch("first", Patch::Merge, body).await;
    crate::api::expect_refusal(moved, 422, "Invalid")?;
    // A released address can be allocated again.
    services.delete("first").await?;
    let object =
        json!({"metadata": {"name": "again"}, "spec": {"clusterIP": ip, "ports": [{"port": 80}]}});
    let again = services.create(object).await?;
    expect_eq("the address", &again["spec"]["clusterIP"], &json!(ip))
}

async fn latency(test: Test) -> Result<()> {
    let pods = servers(&test, "svc", 1).await?;
    let mut times = Vec::new();
    for round in 0..30 {
        let service_name = format!("latency-{round}");
        let object = json!({"metadata": {"name": service_name}, "spec": {
            "selector": {"app": "svc"}, "ports": [{"port": 80}]}});
        let begun = std::time::Instant::now();
        test.of(&SERVICE).create(object).await?;
        endpoints(&test, &service_name, &pods).await?;
        times.push(begun.elapsed());
    }
    times.sort();
    let (median, worst) = (times[times.len() / 2], times[times.len() - 1]);
    anyhow::ensure!(
        median.as_secs() < 20 && worst.as_secs() < 50,
        "median {median:?}, worst {worst:?}"
    );
    Ok(())
}

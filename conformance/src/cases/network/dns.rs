//! Names of services and pods.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::{servers, service};
use crate::api::{Patch, SERVICE};
use crate::case::{Case, pod_case};
use crate::test::{Test, expect_eq, expect_in};

pub(super) fn cases() -> Vec<Case> {
    let title = |rest: &str| format!("[sig-network] DNS should {rest} [Conformance]");
    vec![
        pod_case(&title("provide DNS for the cluster"), cluster),
        pod_case(&title("provide DNS for services"), services),
        pod_case(
            &title("resolve DNS of partial qualified names for services [LinuxOnly]"),
            partial,
        ),
        pod_case(&title("provide DNS for ExternalName services"), external),
        pod_case(&title("provide DNS for pods for Hostname"), |test| pod_name(test, false)),
        pod_case(&title("provide DNS for pods for Subdomain"), |test| pod_name(test, true)),
        pod_case(&title("provide /etc/hosts entries for the cluster"), hosts),
        pod_case(&title("support configurable pod DNS nameservers"), nameservers),
        pod_case("[sig-network] DNS should support configurable pod resolv.conf", resolv_conf),
    ]
}

async fn says(test: &Test, client: &str, name: &str, kind: &str, part: &str) -> Result<String> {
    let step = format!("dig {name} {kind}");
    let met = |said: &str| said.contains(part);
    test.exec_until(client, &[&step], &format!("{part} as {kind} of {name}"), met).await
}

async fn cluster(test: Test) -> Result<()> {
    let main = test.cluster.namespaced(&SERVICE, "default").get("kubernetes").await?;
    let ip = main["spec"]["clusterIP"].as_str().context("no address")?;
    let client = test.client_pod().await?;
    for name in
        ["kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local."]
    {
        says(&test, &client, name, "A", &format!("A {ip}")).await?;
    }
    let absent = test.exec(&client, "", &["dig absent.default.svc.cluster.local. A"]).await?;
    anyhow::ensure!(!absent.success, "a service that is not there has {}", absent.stdout);
    Ok(())
}

async fn services(test: Test) -> Result<()> {
    let plain = service(&test, "web", json!({})).await?;
    let headless = json!({"clusterIP": "None", "selector": {"app": "web"}});
    service(&test, "headless", headless).await?;
    let pods = servers(&test, "web", 2).await?;
    let client = test.client_pod().await?;
    let domain = format!("{}.svc.cluster.local.", test.namespace);
    let ip = plain["spec"]["clusterIP"].as_str().context("no address")?;
    says(&test, &client, &format!("web.{domain}"), "A", &format!("A {ip}")).await?;
    let port = says(&test, &client, &format!("_http._tcp.web.{domain}"), "SRV", "SRV ").await?;
    expect_in("the port of the record", &port, " 80 ")?;
    for pod in &pods {
        let ip = pod["status"]["podIP"].as_str().context("no address")?;
        says(&test, &client, &format!("headless.{domain}"), "A", &format!("A {ip}")).await?;
    }
    let reverse: Vec<&str> = ip.split('.').rev().collect();
    let name = format!("{}.in-addr.arpa.", reverse.join("."));
    says(&test, &client, &name, "PTR", &format!("web.{domain}")).await.map(drop)
}

async fn partial(test: Test) -> Result<()> {
    let made = service(&test, "web", json!({})).await?;
    let ip = made["spec"]["clusterIP"].as_str().context("no address")?;
    let client = test.client_pod().await?;
    let namespace = &test.namespace;
    for name in ["web".to_owned(), format!("web.{namespace}"), format!("web.{namespace}.svc")] {
        says(&test, &client, &name, "A", &format!("A {ip}")).await?;
    }
    Ok(())
}

async fn external(test: Test) -> Result<()> {
    let object = json!({"metadata": {"name": "s"}, "spec": {"type": "ExternalName", "externalName": "foo.example.com"}});
    test.of(&SERVICE).create(object).await?;
    let client = test.client_pod().await?;
    let name = format!("s.{}.svc.cluster.local.", test.namespace);
    says(&test, &client, &name, "CNAME", "CNAME foo.example.com.").await?;
    let body = json!({"spec": {"externalName": "bar.example.com"}});
    test.of(&SERVICE).patch("s", Patch::Merge, body).await?;
    says(&test, &client, &name, "CNAME", "CNAME bar.example.com.").await?;
    let body =
        json!({"spec": {"type": "ClusterIP", "externalName": null, "ports": [{"port": 80}]}});
    let changed = test.of(&SERVICE).patch("s", Patch::Merge, body).await?;
    let ip = changed["spec"]["clusterIP"].as_str().context("no address")?;
    says(&test, &client, &name, "A", &format!("A {ip}")).await.map(drop)
}

async fn pod_name(test: Test, subdomain: bool) -> Result<()> {
    let headless = json!({"clusterIP": "None", "selector": {"app": "named"}});
    service(&test, "sub", headless).await?;
    let spec = json!({"hostname": "querier", "subdomain": "sub", "containers": [test.server("s")]});
    let mut pod = test.pod("p", spec);
    pod["metadata"]["labels"] = json!({"app": "named"});
    let pod = test.start(pod).await?;
    let ip = pod["status"]["podIP"].as_str().context("no address")?;
    let domain = format!("sub.{}.svc.cluster.local.", test.namespace);
    let name = if subdomain { domain } else { format!("querier.{domain}") };
    says(&test, "p", &name, "A", &format!("A {ip}")).await.map(drop)
}

async fn hosts(test: Test) -> Result<()> {
    let spec = json!({"hostname": "querier", "subdomain": "sub"});
    let log = test.output(spec, &["cat /etc/hosts"]).await?;
    let pod = test.pods().items("").await?.pop().context("no pod")?;
    let ip = pod["status"]["podIP"].as_str().context("no address")?;
    let domain = format!("querier.sub.{}.svc.cluster.local", test.namespace);
    expect_in("/etc/hosts", &log, &format!("{ip}\t{domain}\tquerier\n"))?;
    expect_in("/etc/hosts", &log, "127.0.0.1\tlocalhost\n")
}

async fn nameservers(test: Test) -> Result<()> {
    let config = json!({"nameservers": ["1.1.1.1"], "searches": ["resolv.conf.local"]});
    let spec = json!({"dnsPolicy": "None", "dnsConfig": config});
    let log = test.output(spec, &["cat /etc/resolv.conf"]).await?;
    let lines: Vec<&str> = log.lines().filter(|line| !line.trim().is_empty()).collect();
    let expected = json!(["search resolv.conf.local", "nameserver 1.1.1.1"]);
    let mut sorted = lines.clone();
    sorted.sort_unstable_by_key(|line| !line.starts_with("search"));
    expect_eq("/etc/resolv.conf", &json!(sorted), &expected)
}

async fn resolv_conf(test: Test) -> Result<()> {
    let config =
        json!({"searches": ["more.example"], "options": [{"name": "ndots", "value": "2"}]});
    let log = test.output(json!({"dnsConfig": config}), &["cat /etc/resolv.conf"]).await?;
    expect_in("the searches", &log, &format!("{}.svc.cluster.local", test.namespace))?;
    expect_in("the searches", &log, "more.example")?;
    expect_in("the options", &log, "ndots:2")?;
    let pod: Value = test.pods().items("").await?.pop().context("no pod")?;
    expect_eq("the policy", &pod["spec"]["dnsPolicy"], &json!("ClusterFirst"))
}

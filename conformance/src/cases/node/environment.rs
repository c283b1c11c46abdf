//! Environment variables from objects and from the pod.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::api::{CONFIG_MAP, Kind, NODE, SECRET, SERVICE};
use crate::case::{Case, pod_case};
use crate::quantity;
use crate::test::{Test, expect_in};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (title, kind) in [("ConfigMap", CONFIG_MAP), ("Secrets", SECRET)] {
        let (one, prefixed, whole) = match title {
            "ConfigMap" => (
                "consumable via environment variable [NodeConformance]",
                "consumable as environment variable names with various prefixes",
                "consumable via the environment [NodeConformance]",
            ),
            _ => (
                "consumable from pods in env vars [NodeConformance]",
                "consumable as environment variable names variable names with various prefixes",
                "consumable via the environment [NodeConformance]",
            ),
        };
        let mut add =
            |rest: &str, run: fn(Test, Kind) -> futures::future::BoxFuture<'static, Result<()>>| {
                let kind = kind.clone();
                let title = format!("[sig-node] {title} should be {rest} [Conformance]");
                cases.push(pod_case(&title, move |test| run(test, kind.clone())));
            };
        add(one, |test, kind| Box::pin(one_key(test, kind)));
        add(prefixed, |test, kind| Box::pin(all_keys(test, kind, &["", "P_", "p-dash.dot_"])));
        add(whole, |test, kind| Box::pin(all_keys(test, kind, &[""])));
    }
    let downward = |rest: &str| {
        format!("[sig-node] Downward API should provide {rest} [NodeConformance] [Conformance]")
    };
    cases.extend([
        pod_case(&downward("pod name, namespace and IP address as env vars"), |test| {
            fields(
                test,
                &[("NAME", "metadata.name"), ("NS", "metadata.namespace"), ("IP", "status.podIP")],
            )
        }),
        pod_case(&downward("host IP as an env var"), |test| {
            fields(test, &[("HOST", "status.hostIP")])
        }),
        pod_case(&downward("hostIPs as an env var"), |test| {
            fields(test, &[("HOSTS", "status.hostIPs")])
        }),
        pod_case(&downward("pod UID as env vars"), |test| fields(test, &[("UID", "metadata.uid")])),
        pod_case(
            &downward("container's limits.cpu/memory and requests.cpu/memory as env vars"),
            resources,
        ),
        pod_case(&downward("default limits.cpu/memory from node allocatable"), allocatable),
        pod_case(
            "[sig-node] Pods should contain environment variables for services [NodeConformance] \
             [Conformance]",
            services,
        ),
        pod_case(
            "[sig-node] Pods should not start while a key of their environment is missing",
            missing_key,
        ),
    ]);
    cases
}

async fn make(test: &Test, kind: &Kind) -> Result<()> {
    let field = if *kind == SECRET { "stringData" } else { "data" };
    let data = json!({"data_1": "value-1", "data_2": "value-2"});
    test.of(kind).create(json!({"metadata": {"name": "o"}, field: data})).await.map(drop)
}

async fn one_key(test: Test, kind: Kind) -> Result<()> {
    make(&test, &kind).await?;
    let from = if kind == SECRET { "secretKeyRef" } else { "configMapKeyRef" };
    let env = json!([
        {"name": "GIVEN", "valueFrom": {from: {"name": "o", "key": "data_1"}}},
        {"name": "ABSENT", "valueFrom": {from: {"name": "o", "key": "no", "optional": true}}},
    ]);
    let log = test.output(json!({"containers": [{"env": env}]}), &["env"]).await?;
    expect_in("the environment", &log, "GIVEN=value-1\n")?;
    anyhow::ensure!(!log.contains("ABSENT="), "an optional key that is absent is set: {log}");
    Ok(())
}

async fn all_keys(test: Test, kind: Kind, prefixes: &[&str]) -> Result<()> {
    make(&test, &kind).await?;
    let from = if kind == SECRET { "secretRef" } else { "configMapRef" };
    let sources: Vec<Value> =
        prefixes.iter().map(|prefix| json!({"prefix": prefix, from: {"name": "o"}})).collect();
    let log = test.output(json!({"containers": [{"envFrom": sources}]}), &["env"]).await?;
    for prefix in prefixes {
        for number in ["1", "2"] {
            expect_in("the environment", &log, &format!("{prefix}data_{number}=value-{number}\n"))?;
        }
    }
    Ok(())
}

async fn fields(test: Test, fields: &[(&str, &str)]) -> Result<()> {
    let env: Vec<Value> = fields
        .iter()
        .map(|(name, path)| json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}))
        .collect();
    let log = test.output(json!({"containers": [{"env": env}]}), &["env"]).await?;
    let pod = test.pods().items("").await?.pop().context("the pod is gone")?;
    for (name, path) in fields {
        let pointer = format!("/{}", path.replace('.', "/"));
        let value = pod.pointer(&pointer).with_context(|| format!("the pod has no {path}"))?;
        let value = match value.as_array() {
            Some(list) => {
                let ips = list.iter().filter_map(|entry| entry["ip"].as_str());
                ips.collect::<Vec<_>>().join(",")
            }
            None => value.as_str().unwrap_or_default().to_owned(),
        };
        anyhow::ensure!(!value.is_empty(), "the pod's {path} is empty: {pod}");
        expect_in("the environment", &log, &format!("{name}={value}\n"))?;
    }
    Ok(())
}

fn resource_env() -> Value {
    let one = |name: &str, resource: &str, divisor: &str| {
        let from = json!({"containerName": "c", "resource": resource, "divisor": divisor});
        json!({"name": name, "valueFrom": {"resourceFieldRef": from}})
    };
    json!([
        one("CPU_LIMIT", "limits.cpu", "1"),
        one("CPU_MILLI", "limits.cpu", "1m"),
        one("MEMORY_LIMIT", "limits.memory", "1"),
        one("CPU_REQUEST", "requests.cpu", "1"),
        one("MEMORY_MEGA", "requests.memory", "1Mi"),
    ])
}

async fn resources(test: Test) -> Result<()> {
    let resources = json!({"requests": {"cpu": "250m", "memory": "32Mi"},
        "limits": {"cpu": "1250m", "memory": "64Mi"}});
    let spec =
        json!({"containers": [{"name": "c", "env": resource_env(), "resources": resources}]});
    let log = test.output(spec, &["env"]).await?;
    for line in [
        "CPU_LIMIT=2",
        "CPU_MILLI=1250",
        "MEMORY_LIMIT=67108864",
        "CPU_REQUEST=1",
        "MEMORY_MEGA=32",
    ] {
        expect_in("the environment", &log, &format!("{line}\n"))?;
    }
    Ok(())
}

async fn allocatable(test: Test) -> Result<()> {
    let log = test
        .output(json!({"containers": [{"name": "c", "env": resource_env()}]}), &["env"])
        .await?;
    let pod = test.pods().items("").await?.pop().context("the pod is gone")?;
    let node = pod["spec"]["nodeName"].as_str().context("the pod has no node")?;
    let node = test.cluster.all(&NODE).get(node).await?;
    let allocatable = &node["status"]["allocatable"];
    let cores = quantity::cores_up(&allocatable["cpu"])?;
    expect_in("the environment", &log, &format!("CPU_LIMIT={cores}\n"))?;
    let bytes = quantity::bytes(&allocatable["memory"])?;
    expect_in("the environment", &log, &format!("MEMORY_LIMIT={bytes}\n"))
}

async fn services(test: Test) -> Result<()> {
    let object = json!({"metadata": {"name": "foo-service"},
        "spec": {"ports": [{"name": "web", "port": 8765, "targetPort": 8080}]}});
    let service = test.of(&SERVICE).create(object).await?;
    let ip = service["spec"]["clusterIP"].as_str().context("the service has no address")?;
    // The kubelet learns of the service by itself; a pod that was too early is tried again.
    for _ in 0..10 {
        let log = test.output(json!({}), &["env"]).await?;
        if log.contains("FOO_SERVICE_SERVICE_HOST=") {
            for line in [
                format!("FOO_SERVICE_SERVICE_HOST={ip}"),
                "FOO_SERVICE_SERVICE_PORT=8765".to_owned(),
                "FOO_SERVICE_SERVICE_PORT_WEB=8765".to_owned(),
                format!("FOO_SERVICE_PORT=tcp://{ip}:8765"),
                format!("FOO_SERVICE_PORT_8765_TCP_ADDR={ip}"),
                "KUBERNETES_SERVICE_PORT_HTTPS=443".to_owned(),
            ] {
                expect_in("the environment", &log, &format!("{line}\n"))?;
            }
            let quiet = test.output(json!({"enableServiceLinks": false}), &["env"]).await?;
            anyhow::ensure!(
                !quiet.contains("FOO_SERVICE"),
                "service links in spite of false: {quiet}"
            );
            return expect_in("the environment", &quiet, "KUBERNETES_SERVICE_HOST=");
        }
    }
    anyhow::bail!("ten pods were started without variables for the service")
}

async fn missing_key(test: Test) -> Result<()> {
    let from = json!({"configMapKeyRef": {"name": "later", "key": "k"}});
    let container = json!({"args": ["do", "env"], "env": [{"name": "K", "valueFrom": from}]});
    test.pods().create(test.pod("p", json!({"containers": [container]}))).await?;
    let waits = |pod: &Value| {
        let waiting = &pod["status"]["containerStatuses"][0]["state"]["waiting"];
        waiting["reason"] == "CreateContainerConfigError"
    };
    test.pods().wait("p", "to wait for its configuration", waits).await?;
    test.of(&CONFIG_MAP).create(json!({"metadata": {"name": "later"}, "data": {"k": "v"}})).await?;
    test.finished("p").await?;
    expect_in("the environment", &test.log("p", "").await?, "K=v\n")
}

//! Services that change their type.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::{names, node_address, reaches_all, servers, service};
use crate::api::{Patch, SERVICE};
use crate::case::{Case, pod_case};
use crate::test::{Test, expect_eq, expect_in};

pub(super) fn cases() -> Vec<Case> {
    let title = |from: &str, to: &str| {
        format!(
            "[sig-network] Services should be able to change the type from {from} to {to} [Conformance]"
        )
    };
    let mut cases = Vec::new();
    for kind in ["ClusterIP", "NodePort"] {
        cases.push(pod_case(&title("ExternalName", kind), move |test| from_name(test, kind)));
        cases.push(pod_case(&title(kind, "ExternalName"), move |test| to_name(test, kind)));
    }
    cases
}

async fn from_name(test: Test, kind: &str) -> Result<()> {
    let object = json!({"metadata": {"name": "s"}, "spec": {"type": "ExternalName", "externalName": "example.com"}});
    let made = test.of(&SERVICE).create(object).await?;
    expect_eq("the address of a name", &made["spec"]["clusterIP"], &Value::Null)?;
    let body = json!({"spec": {"type": kind, "externalName": null, "selector": {"app": "s"},
        "ports": [{"port": 80, "targetPort": 8080}]}});
    let changed = test.of(&SERVICE).patch("s", Patch::Merge, body).await?;
    let ip = changed["spec"]["clusterIP"].as_str().context("no address")?;
    let pods = servers(&test, "s", 2).await?;
    let client = test.client_pod().await?;
    reaches_all(&test, &client, &format!("http://{ip}/hostname"), &names(&pods)).await?;
    if kind == "NodePort" {
        let port = changed["spec"]["ports"][0]["nodePort"].as_u64().context("no node port")?;
        let url = format!("http://{}:{port}/hostname", node_address(&test).await?);
        reaches_all(&test, &client, &url, &names(&pods)).await?;
    }
    Ok(())
}

async fn to_name(test: Test, kind: &str) -> Result<()> {
    service(&test, "s", json!({"type": kind})).await?;
    service(&test, "target", json!({})).await?;
    let name = format!("target.{}.svc.cluster.local", test.namespace);
    let change = |service: &mut Value| {
        service["spec"] = json!({"type": "ExternalName", "externalName": name});
    };
    let changed = test.of(&SERVICE).change("s", change).await?;
    for field in ["clusterIP", "clusterIPs", "ports"] {
        expect_eq(field, &changed["spec"][field], &Value::Null)?;
    }
    let client = test.client_pod().await?;
    let asked = format!("dig s.{}.svc.cluster.local CNAME", test.namespace);
    let met = |said: &str| said.contains(&name);
    let said = test.exec_until(&client, &[&asked], &format!("a CNAME of {name}"), met).await?;
    expect_in("the record", &said, "CNAME")
}

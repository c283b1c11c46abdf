//! Session affinity.

use anyhow::{Context, Result};
use serde_json::json;

use super::{names, node_address, reaches_all, servers, service};
use crate::api::{Patch, SERVICE};
use crate::case::{Case, pod_case};
use crate::test::Test;

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (kind, words) in
        [("ClusterIP", "service with type clusterIP"), ("NodePort", "NodePort service")]
    {
        for (what, switch) in
            [("have session affinity work", false), ("be able to switch session affinity", true)]
        {
            let title = format!(
                "[sig-network] Services should {what} for {words} [LinuxOnly] [Conformance]"
            );
            cases.push(pod_case(&title, move |test| affinity(test, kind, switch)));
        }
    }
    cases
}

/// Waits until many answers in a row come from one server.
async fn one_answers(test: &Test, from: &str, url: &str) -> Result<()> {
    let steps = vec![format!("get {url}"); 16];
    let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
    let met = |said: &str| {
        let mut heard: Vec<&str> = said.lines().collect();
        heard.dedup();
        heard.len() == 1
    };
    test.exec_until(from, &steps, "answers of one server alone", met).await.map(drop)
}

async fn affinity(test: Test, kind: &str, switch: bool) -> Result<()> {
    let sticky = json!({"type": kind, "sessionAffinity": "ClientIP"});
    let made = service(&test, "sticky", sticky).await?;
    let pods = servers(&test, "sticky", 3).await?;
    let client = test.client_pod().await?;
    let url = match kind {
        "NodePort" => {
            let port = made["spec"]["ports"][0]["nodePort"].as_u64().context("no node port")?;
            format!("http://{}:{port}/hostname", node_address(&test).await?)
        }
        _ => {
            format!("http://{}/hostname", made["spec"]["clusterIP"].as_str().context("no address")?)
        }
    };
    one_answers(&test, &client, &url).await?;
    if switch {
        let set = |affinity: &'static str| json!({"spec": {"sessionAffinity": affinity}});
        test.of(&SERVICE).patch("sticky", Patch::Merge, set("None")).await?;
        reaches_all(&test, &client, &url, &names(&pods)).await?;
        test.of(&SERVICE).patch("sticky", Patch::Merge, set("ClientIP")).await?;
        one_answers(&test, &client, &url).await?;
    }
    Ok(())
}

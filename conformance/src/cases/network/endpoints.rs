//! Endpoints and endpoint slices.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::{reaches_all, servers, service};
use crate::api::{ENDPOINT_SLICE, ENDPOINTS, Patch, SERVICE};
use crate::case::{Case, case, pod_case};
use crate::test::{Test, expect_eq, name};

pub(super) fn cases() -> Vec<Case> {
    let slice = |rest: &str| format!("[sig-network] EndpointSlice should {rest} [Conformance]");
    vec![
        pod_case(
            &slice("create Endpoints and EndpointSlices for Pods matching a Service"),
            matching,
        ),
        pod_case(
            "[sig-network] EndpointsController should create Endpoints for Pods matching a Service \
             [Conformance]",
            matching,
        ),
        case(
            &slice(
                "create and delete EndpointSlices for a Service with a selector that matches no pods",
            ),
            no_pods,
        ),
        case(
            "[sig-network] EndpointsController should create and delete Endpoints for a Service with a \
             selector that matches no pods [Conformance]",
            no_pods,
        ),
        pod_case(
            &slice(
                "support a Service with multiple endpoint IPs specified in multiple EndpointSlices",
            ),
            own_addresses,
        ),
        pod_case(
            &slice("support a Service with multiple ports specified in multiple EndpointSlices"),
            own_ports,
        ),
        case(
            "[sig-network] EndpointSliceMirroring should mirror a custom Endpoints resource through create \
             update and delete [Conformance]",
            mirrored,
        ),
    ]
}

fn of_service(name: &str) -> String {
    format!("labelSelector=kubernetes.io/service-name={name}")
}

async fn matching(test: Test) -> Result<()> {
    service(&test, "web", json!({})).await?;
    let pods = servers(&test, "web", 2).await?;
    let mut wanted: Vec<(String, String)> =
        pods.iter().map(|pod| (pod["status"]["podIP"].to_string(), name(pod).to_owned())).collect();
    wanted.sort();
    let slices = test.of(&ENDPOINT_SLICE);
    let met = |slices: &[&Value]| {
        let all =
            slices.iter().flat_map(|slice| slice["endpoints"].as_array().into_iter().flatten());
        let ready = all.filter(|one| one["conditions"]["ready"] == true);
        let mut found: Vec<(String, String)> = ready
            .map(|one| {
                let pod = one["targetRef"]["name"].as_str().unwrap_or_default();
                (one["addresses"][0].to_string(), pod.to_owned())
            })
            .collect();
        found.sort();
        found == wanted
    };
    let found = slices.wait_all(&of_service("web"), "slices with both pods", met).await?;
    expect_eq("the port", &found[0]["ports"][0]["port"], &json!(8080))?;
    expect_eq("the address type", &found[0]["addressType"], &json!("IPv4"))?;
    let managed = &found[0]["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"];
    expect_eq("the manager", managed, &json!("endpointslice-controller.k8s.io"))?;
    let both = |object: &Value| {
        let subset = &object["subsets"][0];
        subset["addresses"].as_array().is_some_and(|list| list.len() == 2)
            && subset["ports"][0]["port"] == 8080
    };
    test.of(&ENDPOINTS).wait("web", "to have both pods", both).await.map(drop)
}

async fn no_pods(test: Test) -> Result<()> {
    service(&test, "empty", json!({})).await?;
    let slices = test.of(&ENDPOINT_SLICE);
    let one = |slices: &[&Value]| {
        slices.len() == 1 && slices[0]["endpoints"].as_array().is_none_or(Vec::is_empty)
    };
    slices.wait_all(&of_service("empty"), "an empty slice", one).await?;
    let empty = |object: &Value| object["subsets"].as_array().is_none_or(Vec::is_empty);
    test.of(&ENDPOINTS).wait("empty", "to have no subset", empty).await?;
    test.of(&SERVICE).delete("empty").await?;
    slices.wait_all(&of_service("empty"), "no slice", |slices| slices.is_empty()).await?;
    test.of(&ENDPOINTS).wait_gone("empty").await
}

/// Pods that no service selects, and a service without selector.
async fn bare(test: &Test, ports: Value) -> Result<(Vec<Value>, String)> {
    let object = json!({"metadata": {"name": "bare"}, "spec": {"ports": ports}});
    let service = test.of(&SERVICE).create(object).await?;
    let pods = servers(test, "own", 2).await?;
    let ip = service["spec"]["clusterIP"].as_str().context("no address")?;
    Ok((pods, ip.to_owned()))
}

async fn slice(test: &Test, name: &str, pod: &Value, port: &str) -> Result<()> {
    let endpoint = json!({"addresses": [pod["status"]["podIP"]], "conditions": {"ready": true}});
    let object = json!({
        "metadata": {"name": name, "labels": {"kubernetes.io/service-name": "bare"}},
        "addressType": "IPv4", "endpoints": [endpoint],
        "ports": [{"name": port, "port": 8080, "protocol": "TCP"}],
    });
    test.of(&ENDPOINT_SLICE).create(object).await.map(drop)
}

async fn own_addresses(test: Test) -> Result<()> {
    let (pods, ip) = bare(&test, json!([{"name": "a", "port": 80}])).await?;
    for (index, pod) in pods.iter().enumerate() {
        slice(&test, &format!("slice-{index}"), pod, "a").await?;
    }
    let client = test.client_pod().await?;
    let url = format!("http://{ip}/hostname");
    reaches_all(&test, &client, &url, &["own-0".to_owned(), "own-1".to_owned()]).await?;
    test.of(&ENDPOINT_SLICE).delete("slice-0").await?;
    reaches_all(&test, &client, &url, &["own-1".to_owned()]).await
}

async fn own_ports(test: Test) -> Result<()> {
    let ports = json!([{"name": "a", "port": 80}, {"name": "b", "port": 81}]);
    let (pods, ip) = bare(&test, ports).await?;
    slice(&test, "slice-a", &pods[0], "a").await?;
    slice(&test, "slice-b", &pods[1], "b").await?;
    let client = test.client_pod().await?;
    for (port, pod) in [(80, "own-0"), (81, "own-1")] {
        reaches_all(&test, &client, &format!("http://{ip}:{port}/hostname"), &[pod.to_owned()])
            .await?;
    }
    Ok(())
}

async fn mirrored(test: Test) -> Result<()> {
    let object =
        json!({"metadata": {"name": "custom"}, "spec": {"ports": [{"name": "e", "port": 80}]}});
    test.of(&SERVICE).create(object).await?;
    let subset =
        |ip: &str| json!([{"addresses": [{"ip": ip}], "ports": [{"name": "e", "port": 80}]}]);
    let endpoints = test.of(&ENDPOINTS);
    endpoints
        .create(json!({"metadata": {"name": "custom"}, "subsets": subset("10.1.2.3")}))
        .await?;
    let slices = test.of(&ENDPOINT_SLICE);
    let has = |ip: &'static str| {
        move |slices: &[&Value]| {
            slices.len() == 1 && slices[0]["endpoints"][0]["addresses"] == json!([ip])
        }
    };
    let found = slices.wait_all(&of_service("custom"), "a mirror", has("10.1.2.3")).await?;
    let managed = &found[0]["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"];
    expect_eq("the manager", managed, &json!("endpointslicemirroring-controller.k8s.io"))?;
    endpoints.patch("custom", Patch::Merge, json!({"subsets": subset("10.2.3.4")})).await?;
    slices.wait_all(&of_service("custom"), "a mirror of the change", has("10.2.3.4")).await?;
    endpoints.delete("custom").await?;
    let none = |slices: &[&Value]| slices.is_empty();
    slices.wait_all(&of_service("custom"), "no mirror", none).await.map(drop)
}

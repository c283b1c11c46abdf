//! The API server as a service.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::api::{ENDPOINT_SLICE, ENDPOINTS, SERVICE};
use crate::case::{Case, case};
use crate::test::{Test, expect_eq};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(
            "[sig-network] API Server should provide secure master service [Conformance]",
            service,
        ),
        case(
            "[sig-network] API Server should have Endpoints and EndpointSlices pointing to API Server \
             [Conformance]",
            endpoints,
        ),
    ]
}

async fn service(test: Test) -> Result<()> {
    let service = test.cluster.namespaced(&SERVICE, "default").get("kubernetes").await?;
    let port = &service["spec"]["ports"][0];
    expect_eq("the port", &port["port"], &json!(443))?;
    expect_eq("its name", &port["name"], &json!("https"))?;
    expect_eq("the type", &service["spec"]["type"], &json!("ClusterIP"))
}

async fn endpoints(test: Test) -> Result<()> {
    let endpoints = test.cluster.namespaced(&ENDPOINTS, "default").get("kubernetes").await?;
    let subset = &endpoints["subsets"][0];
    let mut listed: Vec<Value> =
        subset["addresses"].as_array().into_iter().flatten().map(|a| a["ip"].clone()).collect();
    anyhow::ensure!(!listed.is_empty(), "no address in {endpoints}");
    let slices = test.cluster.namespaced(&ENDPOINT_SLICE, "default");
    let slices = slices.items("labelSelector=kubernetes.io/service-name=kubernetes").await?;
    let slice = slices.first().context("the API server has no endpoint slice")?;
    let mut sliced: Vec<Value> = slice["endpoints"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|endpoint| endpoint["addresses"].as_array())
        .flatten()
        .cloned()
        .collect();
    listed.sort_by_key(Value::to_string);
    sliced.sort_by_key(Value::to_string);
    expect_eq("the addresses in the slice", &json!(sliced), &json!(listed))?;
    expect_eq("the port in the slice", &slice["ports"][0]["port"], &subset["ports"][0]["port"])
}

//! Network kinds in the API.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::api::*;
use crate::case::{Case, case};
use crate::cases::lifecycle::{Life, life_case};
use crate::test::{Test, expect_eq};

pub(super) fn cases() -> Vec<Case> {
    let backend = json!({"service": {"name": "default-backend", "port": {"number": 80}}});
    let label = json!({"metadata": {"labels": {"changed": "yes"}}});
    let lives = [
        (
            "[sig-network] Ingress API should support creating Ingress API operations [Conformance]",
            Life {
                kind: INGRESS,
                object: json!({"spec": {"defaultBackend": backend, "rules": [{"host": "foo.bar.com", "http":
                    {"paths": [{"path": "/", "pathType": "ImplementationSpecific", "backend": backend}]}}]}}),
                change: json!({"spec": {"ingressClassName": "other"}}),
                status: Some(json!({"loadBalancer": {"ingress": [{"ip": "169.1.1.1"}]}})),
            },
        ),
        (
            "[sig-network] IngressClass API should support creating IngressClass API operations \
             [Conformance]",
            Life {
                kind: INGRESS_CLASS,
                object: json!({"spec": {"controller": "example.com/controller"}}),
                change: label.clone(),
                status: None,
            },
        ),
        (
            "[sig-network] EndpointSlice should support creating EndpointSlice API operations \
             [Conformance]",
            Life {
                kind: ENDPOINT_SLICE,
                object: json!({"addressType": "IPv4", "endpoints": [{"addresses": ["1.2.3.4"]}],
                    "ports": [{"name": "p", "port": 80, "protocol": "TCP"}]}),
                change: json!({"endpoints": [{"addresses": ["4.3.2.1"]}]}),
                status: None,
            },
        ),
        (
            "[sig-network] Endpoints should test the lifecycle of an Endpoint [Conformance]",
            Life {
                kind: ENDPOINTS,
                object: json!({"subsets": [{"addresses": [{"ip": "10.0.0.24"}],
                    "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]}]}),
                change: json!({"subsets": [{"addresses": [{"ip": "10.0.0.25"}],
                    "ports": [{"name": "http-test", "port": 8080, "protocol": "TCP"}]}]}),
                status: None,
            },
        ),
        (
            "[sig-network] Netpol API should support creating NetworkPolicy API operations",
            Life {
                kind: NETWORK_POLICY,
                object: json!({"spec": {"podSelector": {"matchLabels": {"a": "b"}},
                    "policyTypes": ["Ingress"], "ingress": [{"from": [{"podSelector": {}}]}]}}),
                change: json!({"spec": {"policyTypes": ["Ingress", "Egress"]}}),
                status: None,
            },
        ),
    ];
    let mut cases: Vec<Case> =
        lives.into_iter().map(|(title, life)| life_case(title, life)).collect();
    cases.push(case(
        "[sig-network] ServiceCIDR and IPAddress API should support ServiceCIDR API operations \
         [Conformance]",
        service_cidr,
    ));
    cases.push(case(
        "[sig-network] ServiceCIDR and IPAddress API should support IPAddress API operations [Conformance]",
        ip_address,
    ));
    cases
}

/// A range of documentation addresses, so that no service gets one of it for long.
async fn service_cidr(test: Test) -> Result<()> {
    let cidrs = test.cluster.all(&SERVICE_CIDR);
    let main = cidrs.get("kubernetes").await.context("the cluster's own range")?;
    anyhow::ensure!(
        main["spec"]["cidrs"].as_array().is_some_and(|list| !list.is_empty()),
        "{main}"
    );
    let name = test.unique("cidr");
    let range = format!("203.0.113.{}/30", u32::from(rand::random::<u8>() & 0xfc));
    cidrs.create(json!({"metadata": {"name": name}, "spec": {"cidrs": [range]}})).await?;
    let other = json!({"spec": {"cidrs": ["203.0.113.0/29"]}});
    expect_refusal(cidrs.patch(&name, Patch::Merge, other).await, 422, "Invalid")?;
    let label = json!({"metadata": {"labels": {"patched": "yes"}}});
    let patched = cidrs.patch(&name, Patch::Merge, label).await?;
    expect_eq("the label", &patched["metadata"]["labels"]["patched"], &json!("yes"))?;
    let told = json!({"status": {"conditions": [{"type": "StatusUpdate", "status": "True",
        "reason": "E2E", "message": "m", "lastTransitionTime": "2020-01-01T00:00:00Z"}]}});
    let patched = cidrs.patch(&format!("{name}/status"), Patch::Merge, told).await?;
    let found = crate::test::condition(&patched, "StatusUpdate");
    expect_eq("the condition", &found["reason"], &json!("E2E"))?;
    let listed = cidrs.items("labelSelector=patched=yes").await?;
    expect_eq("the ranges of the label", &json!(listed.len()), &json!(1))?;
    cidrs.delete_all("labelSelector=patched=yes").await?;
    cidrs.wait_gone(&name).await
}

async fn ip_address(test: Test) -> Result<()> {
    let addresses = test.cluster.all(&IP_ADDRESS);
    let name = format!("203.0.113.{}", rand::random::<u8>());
    let parent = json!({"resource": "services", "namespace": "default", "name": "never"});
    let label = test.unique("label");
    let object =
        json!({"metadata": {"name": name, "labels": {"ip": label}}, "spec": {"parentRef": parent}});
    let made = addresses.create(object).await?;
    expect_eq("the parent", &made["spec"]["parentRef"]["resource"], &json!("services"))?;
    let bad = json!({"metadata": {"name": "300.0.0.1"}, "spec": {"parentRef": parent}});
    expect_refusal(addresses.create(bad).await, 422, "Invalid")?;
    let listed = addresses.items(&format!("labelSelector=ip={label}")).await?;
    expect_eq("the addresses of the label", &json!(listed.len()), &json!(1))?;
    let set = |object: &mut Value| object["metadata"]["annotations"]["a"] = "b".into();
    let updated = addresses.change(&name, set).await?;
    expect_eq("the annotation", &updated["metadata"]["annotations"]["a"], &json!("b"))?;
    addresses.delete_all(&format!("labelSelector=ip={label}")).await?;
    addresses.wait_gone(&name).await
}

//! Kinds of sig-node in the API.

use anyhow::Result;
use serde_json::{Value, json};

use crate::api::*;
use crate::case::{Case, case};
use crate::cases::lifecycle::{Life, life_case};
use crate::test::{Test, expect_eq, name};

pub(super) fn cases() -> Vec<Case> {
    let label = json!({"metadata": {"labels": {"changed": "yes"}}});
    let template =
        json!({"template": {"spec": {"containers": [{"name": "c", "image": "never-run"}]}}});
    let claim = json!({"devices": {"requests": [{
        "name": "r", "exactly": {"deviceClassName": "e2e.example.com"}}]}});
    let lives = [
        (
            "PodTemplates should run the lifecycle of PodTemplates",
            POD_TEMPLATE,
            template.clone(),
            None,
        ),
        (
            "PodTemplates should delete a collection of pod templates",
            POD_TEMPLATE,
            template.clone(),
            None,
        ),
        ("PodTemplates should replace a pod template", POD_TEMPLATE, template, None),
        (
            "RuntimeClass should support RuntimeClasses API operations",
            RUNTIME_CLASS,
            json!({"handler": "e2e-fake-handler"}),
            None,
        ),
        (
            "ConfigMap should run through a ConfigMap lifecycle",
            CONFIG_MAP,
            json!({"data": {"valueName": "value"}}),
            Some(json!({"data": {"valueName": "other"}})),
        ),
        (
            "Secrets should patch a secret",
            SECRET,
            json!({"data": {"key": "dmFsdWU="}, "type": "Opaque"}),
            Some(json!({"data": {"key": "b3RoZXI="}})),
        ),
        (
            "Lease lease API should be available",
            LEASE,
            json!({"spec": {"holderIdentity": "holder", "leaseDurationSeconds": 30,
                "renewTime": "2020-01-01T00:00:00.000000Z", "leaseTransitions": 0}}),
            Some(json!({"spec": {"holderIdentity": "other", "leaseTransitions": 1}})),
        ),
        (
            "[DRA] CRUD Tests resource.k8s.io/v1 DeviceClass",
            DEVICE_CLASS,
            json!({"spec": {"selectors": [{"cel": {"expression": "device.driver == 'e2e.example.com'"}}]}}),
            None,
        ),
        (
            "[DRA] CRUD Tests resource.k8s.io/v1 ResourceClaim",
            RESOURCE_CLAIM,
            json!({"spec": claim}),
            None,
        ),
        (
            "[DRA] CRUD Tests resource.k8s.io/v1 ResourceClaimTemplate",
            RESOURCE_CLAIM_TEMPLATE,
            json!({"spec": {"spec": claim}}),
            None,
        ),
        (
            "[DRA] CRUD Tests resource.k8s.io/v1 ResourceSlice",
            RESOURCE_SLICE,
            json!({"spec": {"driver": "e2e.example.com", "nodeName": "nowhere",
                "pool": {"name": "p", "generation": 1, "resourceSliceCount": 1},
                "devices": [{"name": "d"}]}}),
            None,
        ),
    ];
    let mut cases: Vec<Case> = lives
        .into_iter()
        .map(|(title, kind, object, change)| {
            let change = change.unwrap_or_else(|| label.clone());
            let life = Life { kind, object, change, status: None };
            life_case(&format!("[sig-node] {title} [Conformance]"), life)
        })
        .collect();
    cases.extend([
        case("[sig-node] ConfigMap should fail to create ConfigMap with empty key [Conformance]", |test| {
            empty_key(test, CONFIG_MAP)
        }),
        case("[sig-node] Secrets should fail to create secret due to empty secret key [Conformance]", |test| {
            empty_key(test, SECRET)
        }),
        case(
            "[sig-node] ConfigMap should update ConfigMap successfully [NodeConformance] [Conformance]",
            update,
        ),
        case("[sig-node] Node Lifecycle should run through the lifecycle of a node [Conformance]", node_life),
    ]);
    cases
}

async fn empty_key(test: Test, kind: Kind) -> Result<()> {
    let object = json!({"metadata": {"name": "o"}, "data": {"": "dmFsdWU="}});
    let refusal = expect_refusal(test.of(&kind).create(object).await, 422, "Invalid")?;
    let field = &refusal.status["details"]["causes"][0]["field"];
    expect_eq("the field", field, &json!("data[]"))
}

async fn update(test: Test) -> Result<()> {
    let maps = test.of(&CONFIG_MAP);
    maps.create(json!({"metadata": {"name": "m"}, "data": {"data-1": "value-1"}})).await?;
    let replaced = maps.change("m", |map| map["data"] = json!({"data-2": "value-2"})).await?;
    expect_eq("the answer", &replaced["data"], &json!({"data-2": "value-2"}))?;
    expect_eq("the data read", &maps.get("m").await?["data"], &json!({"data-2": "value-2"}))
}

/// A node that no kubelet stands behind.
async fn node_life(test: Test) -> Result<()> {
    let nodes = test.cluster.all(&NODE);
    let node = test.unique("node");
    let query = format!("labelSelector=e2e={node}");
    let taint = json!({"key": "e2e.example.com/fake", "effect": "NoSchedule"});
    let object = json!({"metadata": {"name": node, "labels": {"e2e": node}},
        "spec": {"taints": [taint], "unschedulable": true}});
    let made = nodes.create(object).await?;
    expect_eq("the name", &json!(name(&made)), &json!(node))?;
    let patch = json!({"metadata": {"labels": {"patched": "yes"}}});
    let patched = nodes.patch(&node, Patch::Merge, patch).await?;
    expect_eq("the label", &patched["metadata"]["labels"]["patched"], &json!("yes"))?;
    let set = |node: &mut Value| node["metadata"]["labels"]["updated"] = "yes".into();
    let updated = nodes.change(&node, set).await?;
    expect_eq("the label", &updated["metadata"]["labels"]["updated"], &json!("yes"))?;
    let at = format!("{node}/status");
    let told = json!({"status": {"conditions": [{"type": "E2E", "status": "True",
        "reason": "Set", "message": "by a test"}]}});
    let patched = nodes.patch(&at, Patch::Strategic, told).await?;
    expect_eq("the condition", &crate::test::condition(&patched, "E2E")["status"], &json!("True"))?;
    let count = nodes.items(&query).await?.len();
    expect_eq("the nodes of the label", &json!(count), &json!(1))?;
    nodes.delete_all(&query).await?;
    nodes.wait_gone(&node).await
}

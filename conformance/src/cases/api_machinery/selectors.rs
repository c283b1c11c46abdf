//! Label and field selectors.

use anyhow::Result;
use serde_json::json;

use crate::api::{CONFIG_MAP, CORE_EVENT, NODE, POD, SECRET, expect_refusal};
use crate::case::{Case, case};
use crate::test::{Test, expect_eq, name};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case("[sig-api-machinery] Selectors should select by every label operator", labels),
        case("[sig-api-machinery] Selectors should select by the fields of pods", pod_fields),
        case(
            "[sig-api-machinery] Selectors should select by the fields of secrets and events",
            other_fields,
        ),
        case("[sig-api-machinery] Selectors should refuse what they do not know", refused),
        case("[sig-api-machinery] Selectors should hold for deletecollection", delete_selected),
    ]
}

async fn labels(test: Test) -> Result<()> {
    let maps = test.of(&CONFIG_MAP);
    for (name, labels) in [
        ("a", json!({"tier": "front", "env": "prod"})),
        ("b", json!({"tier": "back", "env": "prod"})),
        ("c", json!({"tier": "back", "set": "yes"})),
        ("d", json!({"set": "yes"})),
    ] {
        maps.create(json!({"metadata": {"name": name, "labels": labels}})).await?;
    }
    for (selector, expected) in [
        ("tier=back", &["b", "c"][..]),
        ("tier==front", &["a"]),
        ("tier!=back,set", &["d"]),
        ("tier in (front,back),env=prod", &["a", "b"]),
        ("tier notin (front),env", &["b"]),
        ("tier", &["a", "b", "c"]),
        ("!tier,set", &["d"]),
        ("env=prod,tier=nothing", &[]),
    ] {
        let items = maps.items(&format!("labelSelector={selector}")).await?;
        let names: Vec<&str> = items.iter().map(name).collect();
        expect_eq(&format!("what {selector} selects"), &json!(names), &json!(expected))?;
    }
    Ok(())
}

async fn pod_fields(test: Test) -> Result<()> {
    let pods = test.of(&POD);
    for (name, policy) in [("a", "Never"), ("b", "Always")] {
        let spec = json!({"schedulingGates": [{"name": "example.com/never"}],
            "restartPolicy": policy, "containers": [{}]});
        pods.create(test.pod(name, spec)).await?;
    }
    for (selector, expected) in [
        ("metadata.name=a", &["a"][..]),
        ("metadata.name!=a", &["b"]),
        ("spec.restartPolicy=Always", &["b"]),
        ("status.phase=Pending,spec.restartPolicy=Never", &["a"]),
        ("status.phase=Running", &[]),
        ("spec.nodeName=", &["a", "b"]),
        ("spec.schedulerName=default-scheduler", &["a", "b"]),
    ] {
        let items = pods.items(&format!("fieldSelector={selector}")).await?;
        let names: Vec<&str> = items.iter().map(name).collect();
        expect_eq(&format!("what {selector} selects"), &json!(names), &json!(expected))?;
    }
    let elsewhere = format!("fieldSelector=metadata.namespace={}", test.namespace);
    let items = test.cluster.all(&POD).items(&elsewhere).await?;
    expect_eq("what metadata.namespace selects", &json!(items.len()), &json!(2))
}

async fn other_fields(test: Test) -> Result<()> {
    let secrets = test.of(&SECRET);
    secrets.create(json!({"metadata": {"name": "a"}, "type": "example.com/one"})).await?;
    secrets.create(json!({"metadata": {"name": "b"}})).await?;
    for (selector, expected) in [("type=example.com/one", "a"), ("type=Opaque", "b")] {
        let items = secrets.items(&format!("fieldSelector={selector}")).await?;
        let names: Vec<&str> = items.iter().map(name).collect();
        expect_eq(&format!("what {selector} selects"), &json!(names), &json!([expected]))?;
    }
    let events = test.of(&CORE_EVENT);
    for (name, kind) in [("e1", "Pod"), ("e2", "Node")] {
        let object = json!({"kind": kind, "name": "x", "namespace": test.namespace.as_ref()});
        let event = json!({"metadata": {"name": name}, "involvedObject": object, "reason": "R"});
        events.create(event).await?;
    }
    let items = events.items("fieldSelector=involvedObject.kind=Node,reason=R").await?;
    expect_eq(
        "the selected events",
        &json!(items.iter().map(name).collect::<Vec<_>>()),
        &json!(["e2"]),
    )?;
    let nodes = test.cluster.all(&NODE);
    let all = nodes.items("").await?.len();
    let open = nodes.items("fieldSelector=spec.unschedulable=true").await?.len();
    let shut = nodes.items("fieldSelector=spec.unschedulable=false").await?.len();
    expect_eq("nodes by spec.unschedulable", &json!(open + shut), &json!(all))
}

async fn refused(test: Test) -> Result<()> {
    let maps = test.of(&CONFIG_MAP);
    for selector in ["a in b", "a==b==c", "-bad=x", "a=b c"] {
        let refused = maps.items(&format!("labelSelector={selector}")).await;
        expect_refusal(refused, 400, "BadRequest")?;
    }
    let refused = maps.items("fieldSelector=data.a=b").await;
    expect_refusal(refused, 400, "BadRequest").map(drop)
}

async fn delete_selected(test: Test) -> Result<()> {
    let maps = test.of(&CONFIG_MAP);
    for (name, label) in [("a", "go"), ("b", "stay"), ("c", "go")] {
        maps.create(json!({"metadata": {"name": name, "labels": {"l": label}}})).await?;
    }
    maps.delete_all("labelSelector=l=go").await?;
    let items = maps.items("labelSelector=l").await?;
    expect_eq("what is left", &json!(items.iter().map(name).collect::<Vec<_>>()), &json!(["b"]))?;
    maps.delete_all("fieldSelector=metadata.name=b").await?;
    let items = maps.items("labelSelector=l").await?;
    expect_eq("what is left at last", &json!(items), &json!([]))
}

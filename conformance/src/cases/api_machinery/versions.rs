//! One object in several versions, and subresources that change it.

use anyhow::Result;
use serde_json::{Value, json};

use crate::api::{CORE_EVENT, DEPLOYMENT, EVENT, HPA, Kind, Patch, Refusal};
use crate::case::{Case, case};
use crate::test::{Test, expect_eq};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case("[sig-api-machinery] Versions should show an event in both of its groups", events),
        case(
            "[sig-autoscaling] HorizontalPodAutoscaler should be served as v1 and v2",
            autoscalers,
        ),
        case("[sig-api-machinery] Scale should be read and written as autoscaling/v1", scale),
    ]
}

async fn events(test: Test) -> Result<()> {
    let regarding = json!({"kind": "Pod", "name": "p", "namespace": test.namespace.as_ref()});
    let object = json!({"metadata": {"name": "e"}, "involvedObject": regarding, "reason": "Tested",
        "message": "by a test", "type": "Normal"});
    test.of(&CORE_EVENT).create(object).await?;
    let new = test.of(&EVENT).get("e").await?;
    expect_eq("the version", &new["apiVersion"], &json!("events.k8s.io/v1"))?;
    expect_eq("note, once message", &new["note"], &json!("by a test"))?;
    expect_eq("regarding, once involvedObject", &new["regarding"]["name"], &json!("p"))?;
    test.of(&CORE_EVENT).patch("e", Patch::Merge, json!({"message": "changed"})).await?;
    let new = test.of(&EVENT).get("e").await?;
    expect_eq("the note", &new["note"], &json!("changed"))
}

async fn autoscalers(test: Test) -> Result<()> {
    let object = json!({"metadata": {"name": "h"}, "spec": {
        "minReplicas": 1, "maxReplicas": 3,
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"},
        "metrics": [{"type": "Resource", "resource": {
            "name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}}}],
    }});
    test.of(&HPA).create(object).await?;
    let v1 = Kind { version: "v1".into(), ..HPA };
    let old = test.of(&v1).get("h").await?;
    expect_eq("the old field", &old["spec"]["targetCPUUtilizationPercentage"], &json!(60))?;
    let body = json!({"spec": {"targetCPUUtilizationPercentage": 70}});
    test.of(&v1).patch("h", Patch::Merge, body).await?;
    let new = test.of(&HPA).get("h").await?;
    let target = &new["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"];
    expect_eq("the new field", target, &json!(70))
}

async fn scale(test: Test) -> Result<()> {
    let deployments = test.of(&DEPLOYMENT);
    let object = json!({"metadata": {"name": "d"}, "spec": {
        "paused": true, "replicas": 0, "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}},
            "spec": {"containers": [{"name": "c", "image": "never-run"}]}},
    }});
    let made = deployments.create(object).await?;
    let mut scale = deployments.get("d/scale").await?;
    expect_eq("the kind", &scale["kind"], &json!("Scale"))?;
    expect_eq("the version", &scale["apiVersion"], &json!("autoscaling/v1"))?;
    expect_eq("the selector", &scale["status"]["selector"], &json!("a=b"))?;
    expect_eq("the uid", &scale["metadata"]["uid"], &made["metadata"]["uid"])?;
    let scale_up = async {
        loop {
            scale["spec"]["replicas"] = 2.into();
            match deployments.replace_at("d/scale", &scale).await {
                Err(error) if Refusal::code_of(&error) == Some(409) => {
                    scale = deployments.get("d/scale").await?;
                }
                result => return result,
            }
        }
    };
    let scaled = scale_up.await?;
    expect_eq("the new replicas", &scaled["spec"]["replicas"], &json!(2))?;
    let read: Value = deployments.get("d").await?;
    expect_eq("the deployment's replicas", &read["spec"]["replicas"], &json!(2))
}

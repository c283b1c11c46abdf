//! A whole application.

use anyhow::Result;
use serde_json::json;

use super::kubectl::{ok, with_input};
use crate::case::{Case, pod_case};
use crate::test::Test;

pub(super) fn cases() -> Vec<Case> {
    vec![pod_case(
        "[sig-cli] Kubectl client Guestbook application should create and stop a working application \
         [Conformance]",
        guestbook,
    )]
}

/// Two tiers: the front asks the back by its name, and is asked through a service.
async fn guestbook(test: Test) -> Result<()> {
    let mut documents = Vec::new();
    for (name, replicas) in [("agnhost-primary", 1), ("frontend", 2)] {
        documents.push(json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
            "spec": {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": 8080}]}}));
        documents.push(
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
            "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}},
                "template": {"metadata": {"labels": {"app": name}}, "spec": {
                    "terminationGracePeriodSeconds": 1, "containers": [test.server("s")]}}}}),
        );
    }
    let list = json!({"apiVersion": "v1", "kind": "List", "items": documents}).to_string();
    with_input(&test, &["create", "-f", "-"], &list).await?;
    for name in ["agnhost-primary", "frontend"] {
        let deployment = format!("deployment/{name}");
        ok(&test, &["rollout", "status", &deployment, "--timeout=120s"]).await?;
    }
    let client = test.client_pod().await?;
    let inner = "http%3A%2F%2Fagnhost-primary%2Fecho%3Fmsg%3Dwritten";
    let step = format!("get http://frontend/dial?url={inner}");
    let met = |said: &str| said.trim() == "written";
    test.exec_until(&client, &[&step], "what the back tier echoes", met).await?;
    with_input(&test, &["delete", "-f", "-"], &list).await?;
    let query = "labelSelector=app in (agnhost-primary,frontend)";
    test.pods().wait_all(query, "no pod", |pods| pods.is_empty()).await.map(drop)
}

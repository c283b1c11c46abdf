//! Pod security standards.

use anyhow::Result;
use serde_json::{Value, json};

use crate::api::{NAMESPACE, Patch, expect_refusal};
use crate::case::{Case, case};
use crate::test::{Test, expect_in};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case("[sig-auth] PodSecurity should enforce the baseline standard", baseline),
        case("[sig-auth] PodSecurity should enforce the restricted standard", restricted),
        case("[sig-auth] PodSecurity should warn of what it does not enforce", warns),
    ]
}

async fn label(test: &Test, mode: &str, level: &str) -> Result<()> {
    let key = format!("pod-security.kubernetes.io/{mode}");
    let body = json!({"metadata": {"labels": {key: level}}});
    test.cluster.all(&NAMESPACE).patch(&test.namespace, Patch::Merge, body).await.map(drop)
}

fn gated(test: &Test, name: &str, mut spec: Value) -> Value {
    spec["schedulingGates"] = json!([{"name": "example.com/never"}]);
    if spec["containers"].is_null() {
        spec["containers"] = json!([{}]);
    }
    test.pod(name, spec)
}

async fn baseline(test: Test) -> Result<()> {
    label(&test, "enforce", "baseline").await?;
    for (spec, part) in [
        (json!({"hostNetwork": true}), "host namespaces (hostNetwork=true)"),
        (
            json!({"containers": [{"securityContext": {"privileged": true}}]}),
            "privileged (container",
        ),
        (
            json!({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}),
            "hostPath volumes (volume \"v\")",
        ),
        (
            json!({"containers": [{"securityContext": {"capabilities": {"add": ["NET_ADMIN"]}}}]}),
            "non-default capabilities",
        ),
    ] {
        let refused = test.pods().create(gated(&test, "bad", spec)).await;
        let refusal = expect_refusal(refused, 403, "Forbidden")?;
        expect_in("the refusal", refusal.message(), "violates PodSecurity \"baseline:latest\"")?;
        expect_in("the refusal", refusal.message(), part)?;
    }
    test.pods().create(gated(&test, "plain", json!({}))).await.map(drop)
}

fn strict() -> Value {
    json!({"securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{"securityContext": {"allowPrivilegeEscalation": false,
            "capabilities": {"drop": ["ALL"]}}}]})
}

async fn restricted(test: Test) -> Result<()> {
    label(&test, "enforce", "restricted").await?;
    let refused = test.pods().create(gated(&test, "plain", json!({}))).await;
    let refusal = expect_refusal(refused, 403, "Forbidden")?;
    for part in [
        "allowPrivilegeEscalation != false",
        "unrestricted capabilities",
        "runAsNonRoot != true",
        "seccompProfile",
    ] {
        expect_in("the refusal", refusal.message(), part)?;
    }
    test.pods().create(gated(&test, "strict", strict())).await.map(drop)
}

async fn warns(test: Test) -> Result<()> {
    label(&test, "warn", "restricted").await?;
    let mut pod = gated(&test, "warned", json!({}));
    pod["apiVersion"] = "v1".into();
    pod["kind"] = "Pod".into();
    let path = test.pods().path("");
    let answer = test.cluster.call(http::Method::POST, &path, Some(&pod)).await?.success()?;
    let warning = answer.header("warning").to_owned();
    expect_in("the warning", &warning, "would violate PodSecurity")
}

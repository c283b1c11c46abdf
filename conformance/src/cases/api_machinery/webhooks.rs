//! Configurations of admission webhooks, as far as no webhook is called.

use anyhow::Result;
use serde_json::{Value, json};

use crate::api::{Kind, MUTATING_WEBHOOK, Patch, VALIDATING_WEBHOOK, expect_refusal};
use crate::case::{Case, case};
use crate::test::{Test, expect_eq, expect_in};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (word, kind) in [("mutating", MUTATING_WEBHOOK), ("validating", VALIDATING_WEBHOOK)] {
        let title = |rest: String| {
            format!(
                "[sig-api-machinery] AdmissionWebhook [Privileged:ClusterAdmin] {rest} [Conformance]"
            )
        };
        let of = kind.clone();
        cases.push(case(
            &title(format!(
                "should be able to create and update {word} webhook configurations with match conditions"
            )),
            move |test| conditions(test, of.clone()),
        ));
        cases.push(case(
            &title(format!(
                "should reject {word} webhook configurations with invalid match conditions"
            )),
            move |test| invalid_conditions(test, kind.clone()),
        ));
    }
    cases
}

fn configuration(name: &str, conditions: Value) -> Value {
    json!({"metadata": {"name": name}, "webhooks": [{
        "name": "never.example.com",
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "failurePolicy": "Ignore",
        "clientConfig": {"url": "https://127.0.0.1:1/never"},
        "namespaceSelector": {"matchLabels": {"never": "matched"}},
        "matchConditions": conditions,
        "rules": [{"apiGroups": ["never.example.com"], "apiVersions": ["v1"],
            "operations": ["CREATE"], "resources": ["nothings"]}],
    }]})
}

async fn conditions(test: Test, kind: Kind) -> Result<()> {
    let (name, configurations) = (test.unique("webhook"), test.cluster.all(&kind));
    let first = json!([{"name": "expression-1", "expression": "object.metadata.namespace == 'production'"}]);
    let made = configurations.create(configuration(&name, first.clone())).await?;
    expect_eq("the conditions", &made["webhooks"][0]["matchConditions"], &first)?;
    let second = json!([
        {"name": "expression-1", "expression": "object.metadata.namespace == 'production'"},
        {"name": "expression-2", "expression": "object.metadata.namespace == 'staging'"},
    ]);
    let path = "/webhooks/0/matchConditions";
    let patch = json!([{"op": "replace", "path": path, "value": second}]);
    configurations.patch(&name, Patch::Json, patch).await?;
    let read = configurations.get(&name).await?;
    expect_eq("the conditions read", &read["webhooks"][0]["matchConditions"], &second)
}

async fn invalid_conditions(test: Test, kind: Kind) -> Result<()> {
    let (name, configurations) = (test.unique("webhook"), test.cluster.all(&kind));
    let wrong = json!([{"name": "invalid-expression-1", "expression": "... [] bad expression"}]);
    let refused = configurations.create(configuration(&name, wrong)).await;
    let refusal = expect_refusal(refused, 422, "Invalid")?;
    expect_in("the refusal", refusal.message(), "compilation failed")?;
    let field = &refusal.status["details"]["causes"][0]["field"];
    expect_eq("the field", field, &json!("webhooks[0].matchConditions[0].expression"))
}

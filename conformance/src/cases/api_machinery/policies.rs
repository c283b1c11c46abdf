//! Validating admission policies.

use anyhow::{Result, bail};
use serde_json::{Value, json};

use crate::api::{
    DEPLOYMENT, NAMESPACE, Patch, Refusal, VALIDATING_POLICY, VALIDATING_POLICY_BINDING,
};
use crate::case::{Case, case};
use crate::test::{Test, expect_in};

pub(super) fn cases() -> Vec<Case> {
    let title = |rest: &str| {
        format!(
            "[sig-api-machinery] ValidatingAdmissionPolicy [Privileged:ClusterAdmin] should {rest} \
             [Conformance]"
        )
    };
    vec![
        case(&title("validate against a Deployment"), |test| {
            validates(test, json!([]), "object.spec.replicas > 1")
        }),
        case(&title("allow expressions to refer variables."), |test| {
            let variables = json!([
                {"name": "replicas", "expression": "object.spec.replicas"},
                {"name": "oddReplicas", "expression": "variables.replicas % 2 == 1"},
            ]);
            validates(test, variables, "variables.replicas > 1 && variables.oddReplicas")
        }),
    ]
}

fn deployment(replicas: u32) -> Value {
    json!({"metadata": {"name": format!("d-{replicas}")}, "spec": {
        "paused": true, "replicas": replicas, "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}},
            "spec": {"containers": [{"name": "c", "image": "never-run"}]}},
    }})
}

/// Three replicas pass, one is refused, once the policy is in force.
async fn validates(test: Test, variables: Value, expression: &str) -> Result<()> {
    let name = test.unique("policy");
    let label = json!({"metadata": {"labels": {"policed": name}}});
    test.cluster.all(&NAMESPACE).patch(&test.namespace, Patch::Merge, label).await?;
    let policy = json!({"metadata": {"name": name}, "spec": {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": [{"apiGroups": ["apps"], "apiVersions": ["v1"],
            "operations": ["CREATE", "UPDATE"], "resources": ["deployments"]}]},
        "variables": variables,
        "validations": [{"expression": expression, "message": "wants more replicas"}],
    }});
    test.cluster.all(&VALIDATING_POLICY).create(policy).await?;
    let binding = json!({"metadata": {"name": name}, "spec": {
        "policyName": name, "validationActions": ["Deny"],
        "matchResources": {"namespaceSelector": {"matchLabels": {"policed": name}}},
    }});
    test.cluster.all(&VALIDATING_POLICY_BINDING).create(binding).await?;
    let deployments = test.of(&DEPLOYMENT);
    let until = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    // Nothing says when a policy is in force but its effect, seen by writes that leave nothing.
    let refusal = loop {
        match deployments.create_with("dryRun=All", deployment(1)).await {
            Err(error) => match error.downcast::<Refusal>() {
                Ok(refusal) => break refusal,
                Err(error) => return Err(error),
            },
            Ok(_) if tokio::time::Instant::now() > until => {
                bail!("expected the policy {expression:?} to refuse one replica within 20 s")
            }
            Ok(_) => tokio::time::sleep(std::time::Duration::from_millis(300)).await,
        }
    };
    expect_in("the refusal", refusal.message(), "wants more replicas")?;
    expect_in("the refusal", refusal.message(), &name)?;
    deployments.create(deployment(3)).await.map(drop)
}

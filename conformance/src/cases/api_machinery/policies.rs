//! Admission policies.

use anyhow::{Result, bail};
use serde_json::{Value, json};

use crate::api::{
    DEPLOYMENT, MUTATING_POLICY, MUTATING_POLICY_BINDING, NAMESPACE, Patch, Refusal,
    VALIDATING_POLICY, VALIDATING_POLICY_BINDING,
};
use crate::case::{Case, case};
use crate::test::{Test, expect_eq, expect_in};

pub(super) fn cases() -> Vec<Case> {
    let of = |kind: &str, rest: &str| {
        format!("[sig-api-machinery] {kind} [Privileged:ClusterAdmin] should {rest}")
    };
    let title = |rest: &str| of("ValidatingAdmissionPolicy", &format!("{rest} [Conformance]"));
    let mutates = |rest: &str| of("MutatingAdmissionPolicy", &format!("{rest} [Conformance]"));
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
        case(&of("ValidatingAdmissionPolicy", "type check validation expressions"), type_checks),
        case(&mutates("mutate a Deployment with annotations"), |test| {
            let annotations = "Object{metadata: Object.metadata{annotations: {'mutated': 'yes'}}}";
            changes(test, annotations, &["metadata", "annotations", "mutated"], json!("yes"))
        }),
        case(&mutates("mutate a Deployment"), |test| {
            let replicas = "Object{spec: Object.spec{replicas: 1337}}";
            changes(test, replicas, &["spec", "replicas"], json!(1337))
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

/// The status tells which expressions cannot be right for a Deployment.
async fn type_checks(test: Test) -> Result<()> {
    let policies = test.cluster.all(&VALIDATING_POLICY);
    let checked = async |validation: Value| -> Result<Value> {
        let name = test.unique("policy");
        let policy = json!({"metadata": {"name": name}, "spec": {
            "matchConstraints": {
                "namespaceSelector": {"matchLabels": {"policed": name}},
                "resourceRules": [{"apiGroups": ["apps"], "apiVersions": ["v1"],
                    "operations": ["CREATE", "UPDATE"], "resources": ["deployments"]}],
            },
            "validations": [validation],
        }});
        policies.create(policy).await?;
        let policy = policies
            .wait(&name, "to be type-checked", |policy| {
                policy["status"]["typeChecking"].is_object()
            })
            .await?;
        Ok(policy["status"]["typeChecking"]["expressionWarnings"].clone())
    };
    let right = checked(json!({"expression": "object.spec.replicas > 1"})).await?;
    expect_eq("the warnings of a right expression", &right, &Value::Null)?;
    let wrong = checked(json!({
        "expression": "object.spec.replicas > '1'",
        "messageExpression": "'wants replicas > 1, got ' + object.spec.replicas",
    }))
    .await?;
    for (at, field, part) in [
        (0, "expression", "found no matching overload for '_>_' applied to '(int, string)'"),
        (1, "messageExpression", "found no matching overload for '_+_' applied to '(string, int)'"),
    ] {
        let (warning, field) = (&wrong[at], json!(format!("spec.validations[0].{field}")));
        expect_eq("the field", &warning["fieldRef"], &field)?;
        expect_in("the warning", warning["warning"].as_str().unwrap_or_default(), part)?;
    }
    Ok(())
}

/// A Deployment gets a field, once the policy is in force.
async fn changes(test: Test, expression: &str, path: &[&str], wanted: Value) -> Result<()> {
    let name = test.unique("policy");
    let label = json!({"metadata": {"labels": {"policed": name}}});
    test.cluster.all(&NAMESPACE).patch(&test.namespace, Patch::Merge, label).await?;
    let policy = json!({"metadata": {"name": name}, "spec": {
        "matchConstraints": {"resourceRules": [{"apiGroups": ["apps"], "apiVersions": ["v1"],
            "operations": ["CREATE"], "resources": ["deployments"]}]},
        "reinvocationPolicy": "Never",
        "mutations": [{"patchType": "ApplyConfiguration",
            "applyConfiguration": {"expression": expression}}],
    }});
    test.cluster.all(&MUTATING_POLICY).create(policy).await?;
    let binding = json!({"metadata": {"name": name}, "spec": {
        "policyName": name,
        "matchResources": {"namespaceSelector": {"matchLabels": {"policed": name}}},
    }});
    test.cluster.all(&MUTATING_POLICY_BINDING).create(binding).await?;
    let deployments = test.of(&DEPLOYMENT);
    let until = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    // Nothing says when a policy is in force but its effect, seen by writes that leave nothing.
    loop {
        let created = deployments.create_with("dryRun=All", deployment(3)).await?;
        let found = path.iter().fold(&created, |value, step| &value[*step]);
        if *found == wanted {
            break;
        }
        if tokio::time::Instant::now() > until {
            bail!("expected {expression:?} to set {path:?} within 20 s, but it is {found}")
        }
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    }
    deployments.create(deployment(3)).await.map(drop)
}

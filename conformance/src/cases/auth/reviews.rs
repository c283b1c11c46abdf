//! Questions about who may do what.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::api::{
    LOCAL_SUBJECT_ACCESS_REVIEW, SELF_SUBJECT_ACCESS_REVIEW, SELF_SUBJECT_REVIEW,
    SELF_SUBJECT_RULES_REVIEW, SUBJECT_ACCESS_REVIEW,
};
use crate::case::{Case, case};
use crate::test::{Test, expect_eq};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(
            "[sig-auth] SubjectReview should support SubjectReview API operations [Conformance]",
            subjects,
        ),
        case("[sig-auth] SelfSubjectReview should support SelfSubjectReview API operations", own),
        case("[sig-auth] SelfSubjectRulesReview should list what the asker may do", rules),
    ]
}

async fn allowed(test: &Test, user: &str, attributes: Value) -> Result<[Value; 2]> {
    let spec = json!({"user": user, "resourceAttributes": attributes});
    let wide = test.cluster.all(&SUBJECT_ACCESS_REVIEW).create(json!({"spec": spec})).await?;
    let local = json!({"metadata": {"namespace": test.namespace.as_ref()}, "spec": spec});
    let local = test.of(&LOCAL_SUBJECT_ACCESS_REVIEW).create(local).await?;
    Ok([wide["status"]["allowed"].clone(), local["status"]["allowed"].clone()])
}

async fn subjects(test: Test) -> Result<()> {
    let account = format!("system:serviceaccount:{}:default", test.namespace);
    let list =
        json!({"namespace": test.namespace.as_ref(), "verb": "list", "resource": "configmaps"});
    let before = allowed(&test, &account, list.clone()).await?;
    expect_eq("what nobody allowed", &json!(before), &json!([false, false]))?;
    let rules = json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}]);
    super::rbac::grant(&test, "lister", rules, "ServiceAccount", "default").await?;
    super::rbac::until_allowed(&test, &account, &list).await?;
    let after = allowed(&test, &account, list).await?;
    expect_eq("what the role allows", &json!(after), &json!([true, true]))?;
    let delete =
        json!({"namespace": test.namespace.as_ref(), "verb": "delete", "resource": "configmaps"});
    let other = allowed(&test, &account, delete).await?;
    expect_eq("what it does not", &json!(other), &json!([false, false]))
}

async fn own(test: Test) -> Result<()> {
    let user = test.cluster.impersonate("somebody", &["some-group"])?;
    let told = user.all(&SELF_SUBJECT_REVIEW).create(json!({})).await?;
    let info = &told["status"]["userInfo"];
    expect_eq("the user", &info["username"], &json!("somebody"))?;
    let groups = info["groups"].as_array().context("no groups")?;
    for group in ["some-group", "system:authenticated"] {
        anyhow::ensure!(groups.contains(&json!(group)), "{group} is not among {groups:?}");
    }
    let attributes = json!({"verb": "delete", "resource": "nodes"});
    let question = json!({"spec": {"resourceAttributes": attributes}});
    let told = user.all(&SELF_SUBJECT_ACCESS_REVIEW).create(question.clone()).await?;
    expect_eq("whether somebody may delete nodes", &told["status"]["allowed"], &json!(false))?;
    let told = test.cluster.all(&SELF_SUBJECT_ACCESS_REVIEW).create(question).await?;
    expect_eq("whether the administrator may", &told["status"]["allowed"], &json!(true))
}

async fn rules(test: Test) -> Result<()> {
    let rule =
        json!([{"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "watch"]}]);
    super::rbac::grant(&test, "watcher", rule, "User", "ruled").await?;
    let get = json!({"namespace": test.namespace.as_ref(), "verb": "get", "group": "apps",
        "resource": "deployments"});
    super::rbac::until_allowed(&test, "ruled", &get).await?;
    let user = test.cluster.impersonate("ruled", &[])?;
    let question = json!({"spec": {"namespace": test.namespace.as_ref()}});
    let told = user.all(&SELF_SUBJECT_RULES_REVIEW).create(question).await?;
    let rules = told["status"]["resourceRules"].as_array().context("no rules")?;
    let found = rules.iter().find(|rule| rule["resources"] == json!(["deployments"]));
    let found = found.with_context(|| format!("no rule for deployments in {rules:?}"))?;
    expect_eq("the verbs", &found["verbs"], &json!(["get", "watch"]))
}

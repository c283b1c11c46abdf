//! Roles and their bindings.

use anyhow::Result;
use serde_json::{Value, json};

use crate::api::{
    CLUSTER_ROLE, CLUSTER_ROLE_BINDING, CONFIG_MAP, ROLE, ROLE_BINDING, SECRET,
    SUBJECT_ACCESS_REVIEW, expect_refusal,
};
use crate::case::{Case, case};
use crate::test::{Test, expect_eq, expect_in};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case("[sig-auth] RBAC should allow what a role allows and nothing else", roles),
        case("[sig-auth] RBAC should refuse to grant what the granter does not have", escalation),
        case("[sig-auth] RBAC should add up labelled cluster roles", aggregation),
        case("[sig-auth] RBAC should allow single objects by name", names),
        case("[sig-auth] Impersonation should be refused to those who may not", impersonation),
    ]
}

/// Grants rules in the case's namespace to a subject.
pub(super) async fn grant(
    test: &Test,
    role: &str,
    rules: Value,
    subject: &str,
    name: &str,
) -> Result<()> {
    test.of(&ROLE).create(json!({"metadata": {"name": role}, "rules": rules})).await?;
    let subject = match subject {
        "ServiceAccount" => {
            json!({"kind": subject, "name": name, "namespace": test.namespace.as_ref()})
        }
        _ => json!({"kind": subject, "name": name, "apiGroup": "rbac.authorization.k8s.io"}),
    };
    let role_ref = json!({"kind": "Role", "name": role, "apiGroup": "rbac.authorization.k8s.io"});
    let binding = json!({"metadata": {"name": role}, "subjects": [subject], "roleRef": role_ref});
    test.of(&ROLE_BINDING).create(binding).await.map(drop)
}

/// Waits until the authorizer has heard of a grant: it has nothing to watch.
pub(super) async fn until_allowed(test: &Test, user: &str, attributes: &Value) -> Result<()> {
    let spec = json!({"user": user, "resourceAttributes": attributes});
    loop {
        let told = test.cluster.all(&SUBJECT_ACCESS_REVIEW).create(json!({"spec": spec})).await?;
        if told["status"]["allowed"] == true {
            return Ok(());
        }
        let now = tokio::time::Instant::now();
        anyhow::ensure!(now < test.cluster.deadline(), "{user} is not allowed {attributes}");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

async fn roles(test: Test) -> Result<()> {
    let user = test.unique("user");
    let rules = json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list", "create"]}]);
    let somebody = test.cluster.impersonate(&user, &[])?;
    let maps = somebody.namespaced(&CONFIG_MAP, &test.namespace);
    let refusal = expect_refusal(maps.items("").await, 403, "Forbidden")?;
    let message = format!(r#"User "{user}" cannot list resource "configmaps" in API group """#);
    expect_in("the refusal", refusal.message(), &message)?;
    grant(&test, "role", rules, "User", &user).await?;
    let list =
        json!({"namespace": test.namespace.as_ref(), "verb": "list", "resource": "configmaps"});
    until_allowed(&test, &user, &list).await?;
    maps.create(json!({"metadata": {"name": "mine"}})).await?;
    maps.get("mine").await?;
    expect_refusal(maps.delete("mine").await, 403, "Forbidden")?;
    let secrets = somebody.namespaced(&SECRET, &test.namespace);
    expect_refusal(secrets.items("").await, 403, "Forbidden")?;
    let elsewhere = somebody.namespaced(&CONFIG_MAP, "kube-system");
    expect_refusal(elsewhere.items("").await, 403, "Forbidden")?;
    expect_refusal(somebody.all(&CONFIG_MAP).items("").await, 403, "Forbidden").map(drop)
}

async fn escalation(test: Test) -> Result<()> {
    let user = test.unique("user");
    let rules = json!([
        {"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles", "rolebindings"], "verbs": ["get", "create", "update"]},
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]},
    ]);
    grant(&test, "granter", rules, "User", &user).await?;
    let create = json!({"namespace": test.namespace.as_ref(), "verb": "create",
        "group": "rbac.authorization.k8s.io", "resource": "roles"});
    until_allowed(&test, &user, &create).await?;
    let roles = test.cluster.impersonate(&user, &[])?.namespaced(&ROLE, &test.namespace);
    let role = |name: &str, resource: &str| {
        json!({"metadata": {"name": name},
            "rules": [{"apiGroups": [""], "resources": [resource], "verbs": ["get"]}]})
    };
    roles.create(role("same", "configmaps")).await?;
    let refusal = expect_refusal(roles.create(role("more", "secrets")).await, 403, "Forbidden")?;
    expect_in(
        "the refusal",
        refusal.message(),
        "attempting to grant RBAC permissions not currently held",
    )
}

async fn aggregation(test: Test) -> Result<()> {
    let (sum, part, label) = (test.unique("sum"), test.unique("part"), test.unique("label"));
    let roles = test.cluster.all(&CLUSTER_ROLE);
    let selector = json!({"clusterRoleSelectors": [{"matchLabels": {"adds": label}}]});
    roles
        .create(json!({"metadata": {"name": sum}, "aggregationRule": selector, "rules": []}))
        .await?;
    let rule = json!({"apiGroups": ["example.com"], "resources": ["things"], "verbs": ["get"]});
    let object = json!({"metadata": {"name": part, "labels": {"adds": label}}, "rules": [rule]});
    roles.create(object).await?;
    roles.wait(&sum, "to have the rule of its part", |role| role["rules"] == json!([rule])).await?;
    roles.delete(&part).await?;
    let none = |role: &Value| role["rules"].as_array().is_none_or(Vec::is_empty);
    roles.wait(&sum, "to have no rule", none).await.map(drop)
}

async fn names(test: Test) -> Result<()> {
    let user = test.unique("user");
    let role = test.unique("role");
    let rule = json!({"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"], "resourceNames": ["open"]});
    test.cluster
        .all(&CLUSTER_ROLE)
        .create(json!({"metadata": {"name": role}, "rules": [rule]}))
        .await?;
    let binding = json!({"metadata": {"name": role},
        "subjects": [{"kind": "User", "name": user, "apiGroup": "rbac.authorization.k8s.io"}],
        "roleRef": {"kind": "ClusterRole", "name": role, "apiGroup": "rbac.authorization.k8s.io"}});
    let bindings = test.cluster.all(&CLUSTER_ROLE_BINDING);
    bindings.create(binding).await?;
    for name in ["open", "shut"] {
        test.of(&CONFIG_MAP).create(json!({"metadata": {"name": name}})).await?;
    }
    let get = json!({"namespace": test.namespace.as_ref(), "verb": "get", "resource": "configmaps", "name": "open"});
    until_allowed(&test, &user, &get).await?;
    let maps = test.cluster.impersonate(&user, &[])?.namespaced(&CONFIG_MAP, &test.namespace);
    maps.get("open").await?;
    expect_refusal(maps.get("shut").await, 403, "Forbidden")?;
    // Another role for the same binding is another binding.
    let mut other = bindings.get(&role).await?;
    other["roleRef"]["name"] = "view".into();
    let refusal = expect_refusal(bindings.replace(&other).await, 422, "Invalid")?;
    expect_in("the refusal", refusal.message(), "roleRef: Invalid value")
}

async fn impersonation(test: Test) -> Result<()> {
    let nobody = test.cluster.impersonate("nobody-in-particular", &[])?;
    let told = nobody.all(&crate::api::SELF_SUBJECT_REVIEW).create(json!({})).await?;
    let name = &told["status"]["userInfo"]["username"];
    expect_eq("the user", name, &json!("nobody-in-particular"))?;
    let request =
        json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
    let accounts = test.of(&crate::api::SERVICE_ACCOUNT);
    let token = accounts.post("default/token", &request).await?;
    let token = token["status"]["token"].as_str().unwrap_or_default().to_owned();
    let path = test.of(&CONFIG_MAP).path("");
    let request = http::Request::get(path).header("impersonate-user", "admin").body(Vec::new())?;
    let answer = test.cluster.as_bearer(Some(&token))?.send(request).await?;
    let refusal = expect_refusal(answer.object(), 403, "Forbidden")?;
    // By the right to do this as somebody, or by the older one to become somebody.
    expect_in("the refusal", refusal.message(), "cannot impersonate")
}

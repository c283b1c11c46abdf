//! Impersonation by rights to do some things as some users (KEP-5284), and by the right to do all.

use http::Method;
use serde_json::{Value, json};

use super::harness::{Api, Ask};
use crate::User;

const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const WHO: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";

/// Lets a user do these things.
async fn grant(api: &Api, user: &str, rules: &Value) {
    let name = user.replace(':', "-");
    let role = json!({"metadata": {"name": name}, "rules": rules});
    api.post(&format!("{RBAC}/clusterroles"), &role).await.ok();
    let binding = json!({"metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}]});
    api.post(&format!("{RBAC}/clusterrolebindings"), &binding).await.ok();
}

fn rule(verb: &str, group: &str, resource: &str, names: &[&str]) -> Value {
    json!({"verbs": [verb], "apiGroups": [group], "resources": [resource], "resourceNames": names})
}

fn all(verbs: &[&str]) -> Value {
    json!({"verbs": verbs, "apiGroups": ["*"], "resources": ["*"]})
}

fn who<'a>(api: &'a Api, by: &str, becoming: &str) -> Ask<'a> {
    let ask = api.ask(Method::POST, WHO).by(User::new(by, &[])).json(&json!({}));
    ask.header("impersonate-user", becoming)
}

fn user(review: &Value) -> Value {
    review["status"]["userInfo"].clone()
}

fn message(status: &Value) -> String {
    status["message"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn users_are_impersonated_for_what_is_allowed() {
    let api = Api::start().await;
    let group = "authentication.k8s.io";
    grant(
        &api,
        "ann",
        &json!([
            all(&["impersonate-on:user-info:create"]),
            rule("impersonate:user-info", group, "users", &["bob"]),
            rule("impersonate:user-info", group, "groups", &["devs"]),
            rule("impersonate:user-info", group, "userextras/example.org/scope", &["s"]),
        ]),
    )
    .await;
    let ask = || who(&api, "ann", "bob").header("impersonate-group", "devs");
    let extra = ask().header("impersonate-extra-example.org%2fscope", "s");
    assert_eq!(
        user(&extra.send().await.ok()),
        json!({"username": "bob", "groups": ["devs", "system:authenticated"],
            "extra": {"example.org/scope": ["s"]}})
    );
    // Other verbs, users, groups and attributes.
    let list = api.ask(Method::GET, MAPS).by(User::new("ann", &[]));
    let refused = list.header("impersonate-user", "bob").send().await.fails(403);
    assert_eq!(
        message(&refused),
        "configmaps is forbidden: User \"ann\" cannot impersonate-on:user-info:list resource \
         \"configmaps\" in API group \"\" in the namespace \"default\""
    );
    let refused = who(&api, "ann", "eve").send().await.fails(403);
    assert_eq!(
        message(&refused),
        "users.authentication.k8s.io \"eve\" is forbidden: User \"ann\" cannot \
         impersonate:user-info resource \"users\" in API group \"authentication.k8s.io\" at the \
         cluster scope"
    );
    ask().header("impersonate-uid", "u").send().await.fails(403);
    ask().header("impersonate-extra-scope", "s").send().await.fails(403);
    let masters = ask().header("impersonate-group", "system:masters").send().await.fails(403);
    let why = "impersonating the system:masters group is not allowed";
    assert!(message(&masters).ends_with(why), "{masters}");
    // Nodes and accounts are no such users.
    who(&api, "ann", "system:node:n").send().await.fails(403);
    who(&api, "ann", "system:serviceaccount:default:default").send().await.fails(403);
}

#[tokio::test]
async fn the_right_to_everything_is_as_before() {
    let api = Api::start().await;
    grant(
        &api,
        "old",
        &json!([
            rule("impersonate", "", "users", &["bob"]),
            rule("impersonate", "", "groups", &["system:masters"]),
            rule("impersonate", "", "serviceaccounts", &["default"])
        ]),
    )
    .await;
    let masters = who(&api, "old", "bob").header("impersonate-group", "system:masters");
    let review = masters.send().await.ok();
    assert_eq!(user(&review)["groups"], json!(["system:masters", "system:authenticated"]));
    let review = who(&api, "old", "system:serviceaccount:default:default").send().await.ok();
    assert_eq!(
        user(&review)["groups"],
        json!(["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"])
    );
    // A user who impersonated so before is refused by that right first.
    let refused = message(&who(&api, "old", "eve").send().await.fails(403));
    assert!(
        refused.contains("cannot impersonate resource \"users\" in API group \"\""),
        "{refused}"
    );
    // Whoever may do everything may do this.
    let review = api.ask(Method::POST, WHO).json(&json!({})).header("impersonate-user", "eve");
    assert_eq!(user(&review.send().await.ok())["username"], "eve");
}

#[tokio::test]
async fn nodes_are_impersonated_by_who_runs_on_them() {
    let api = Api::start().await;
    let account = "system:serviceaccount:default:agent";
    let group = "authentication.k8s.io";
    grant(
        &api,
        account,
        &json!([
            all(&["impersonate-on:associated-node:create"]),
            json!({"verbs": ["impersonate:associated-node"], "apiGroups": [group],
                "resources": ["nodes"]})
        ]),
    )
    .await;
    let agent = |node: &str| {
        let mut user = User::service_account("default", "agent");
        user.extra.insert("authentication.kubernetes.io/node-name".into(), vec![node.into()]);
        user
    };
    let ask = |by: User, node: &str| {
        let ask = api.ask(Method::POST, WHO).by(by).json(&json!({}));
        ask.header("impersonate-user", &format!("system:node:{node}"))
    };
    let review = ask(agent("n1"), "n1").send().await.ok();
    assert_eq!(user(&review)["groups"], json!(["system:nodes", "system:authenticated"]));
    ask(agent("n1"), "n2").send().await.fails(403);
    ask(User::service_account("default", "agent"), "n1").send().await.fails(403);
    ask(agent("n1"), "n1").header("impersonate-group", "system:nodes").send().await.fails(403);
    // A node by name.
    grant(
        &api,
        "ops",
        &json!([
            all(&["impersonate-on:arbitrary-node:create"]),
            rule("impersonate:arbitrary-node", group, "nodes", &["n1"])
        ]),
    )
    .await;
    ask(User::new("ops", &[]), "n1").send().await.ok();
    ask(User::new("ops", &[]), "n2").send().await.fails(403);
}

#[tokio::test]
async fn accounts_are_impersonated_by_name() {
    let api = Api::start().await;
    grant(
        &api,
        "ann",
        &json!([
            all(&["impersonate-on:serviceaccount:create"]),
            rule(
                "impersonate:serviceaccount",
                "authentication.k8s.io",
                "serviceaccounts",
                &["default"]
            )
        ]),
    )
    .await;
    let account = "system:serviceaccount:default:default";
    let review = who(&api, "ann", account).send().await.ok();
    assert_eq!(
        user(&review)["groups"],
        json!(["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"])
    );
    who(&api, "ann", "system:serviceaccount:default:other").send().await.fails(403);
    who(&api, "ann", account).header("impersonate-group", "g").send().await.fails(403);
    let metrics = api.metrics().registry.scrape_text(None).body;
    let line =
        "apiserver_impersonation_attempts_total{decision=\"allowed\",mode=\"serviceaccount\"} 1";
    assert!(metrics.contains(line), "{metrics}");
}

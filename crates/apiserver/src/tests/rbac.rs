//! RBAC with bound roles that do not exist.

use http::Method;
use serde_json::{Value, json};

use super::harness::Api;
use crate::User;

const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";

/// Binds `u` to a role, in the namespace or everywhere.
async fn bind(api: &Api, namespace: &str, kind: &str, name: &str) {
    let path = match namespace {
        "" => format!("{RBAC}/clusterrolebindings"),
        namespace => format!("{RBAC}/namespaces/{namespace}/rolebindings"),
    };
    let binding = json!({"metadata": {"name": format!("{kind}-{name}").to_lowercase()},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "u"},
            {"kind": "ServiceAccount", "name": "sa", "namespace": "default"}]});
    api.post(&path, &binding).await.ok();
}

async fn refusal(api: &Api, path: &str) -> String {
    let answer = api.ask(Method::GET, path).by(User::new("u", &[])).send().await.fails(403);
    answer["message"].as_str().unwrap().to_owned()
}

async fn rules_of(api: &Api, user: User) -> Value {
    let review = json!({"spec": {"namespace": "default"}});
    let path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews";
    api.ask(Method::POST, path).by(user).json(&review).send().await.ok()["status"].clone()
}

#[tokio::test]
async fn a_refusal_names_the_roles_that_could_not_be_read() {
    let api = Api::start().await;
    let pods = "/api/v1/namespaces/default/pods";
    let plain = "pods is forbidden: User \"u\" cannot list resource \"pods\" in API group \"\" in \
                 the namespace \"default\"";
    assert_eq!(refusal(&api, pods).await, plain);

    bind(&api, "", "ClusterRole", "gone").await;
    let gone = "clusterrole.rbac.authorization.k8s.io \"gone\" not found";
    assert_eq!(refusal(&api, pods).await, format!("{plain}: rbac: RBAC: {gone}"));

    bind(&api, "default", "Role", "lost").await;
    bind(&api, "default", "ClusterRole", "gone").await;
    let lost = "role.rbac.authorization.k8s.io \"lost\" not found";
    let both = refusal(&api, pods).await;
    assert!(both.contains(": RBAC: [") && both.contains(gone) && both.contains(lost), "{both}");
    assert_eq!(both.matches(gone).count(), 1, "{both}");
    // A binding in one namespace does not matter elsewhere.
    let elsewhere = refusal(&api, "/api/v1/namespaces/kube-system/pods").await;
    assert!(elsewhere.ends_with(&format!(": RBAC: {gone}")), "{elsewhere}");
    assert!(refusal(&api, "/metrics").await.ends_with(&format!(": RBAC: {gone}")));

    let status = rules_of(&api, User::new("u", &[])).await;
    let error = status["evaluationError"].as_str().unwrap();
    assert!(error.contains(gone) && error.contains(lost), "{error}");
    assert_eq!(rules_of(&api, User::new("v", &[])).await["evaluationError"], Value::Null);
}

#[tokio::test]
async fn what_cannot_be_read_does_not_hide_what_can() {
    let api = Api::start().await;
    bind(&api, "", "ClusterRole", "gone").await;
    bind(&api, "default", "ClusterRole", "view").await;
    let pods = "/api/v1/namespaces/default/pods";
    api.ask(Method::GET, pods).by(User::new("u", &[])).send().await.ok();

    // An account is named as in upstream.
    let review = json!({"spec": {"user": "system:serviceaccount:default:sa",
        "resourceAttributes": {"verb": "list", "resource": "pods", "namespace": "default"}}});
    let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
    let status = api.post(path, &review).await.ok()["status"].clone();
    assert_eq!(
        status["reason"],
        "RBAC: allowed by RoleBinding \"clusterrole-view/default\" of ClusterRole \"view\" to \
         ServiceAccount \"sa/default\""
    );
}

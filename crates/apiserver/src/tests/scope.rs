//! Attack: rights in one namespace used on objects outside of it.

use apimachinery::ObjectExt;
use http::Method;
use serde_json::json;

use super::harness::Api;
use super::samples::{names_of, sample};
use crate::User;
use crate::registry::{Access, kinds};

const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
const MERGE: &str = "application/merge-patch+json";

fn tenant() -> User {
    User::new("tenant", &[])
}

/// A server where `tenant` is cluster-admin of namespace `a`.
async fn with_tenant() -> Api {
    let api = Api::start().await;
    for name in ["a", "victim"] {
        api.post("/api/v1/namespaces", &json!({"metadata": {"name": name}})).await.ok();
    }
    let binding = json!({"metadata": {"name": "b"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "tenant"}]});
    api.post(&format!("{RBAC}/namespaces/a/rolebindings"), &binding).await.ok();
    api
}

#[tokio::test]
async fn no_cluster_scoped_resource_is_reached_through_a_namespace() {
    let api = with_tenant().await;
    for kind in kinds().filter(|kind| !kind.namespaced) {
        let root = match kind.group {
            "" => format!("/api/{}", kind.version),
            group => format!("/apis/{group}/{}", kind.version),
        };
        let collection = format!("{root}/namespaces/a/{}", kind.resource);
        let (name, _) = names_of(kind);
        let name = if kind.kind == "Namespace" { "victim" } else { name };
        let object = match kind.access {
            Access::Virtual => json!({}),
            _ => sample(kind, name),
        };
        let one = format!("{collection}/{name}");
        let mut targets = vec![
            (Method::GET, collection.clone()),
            (Method::GET, format!("{collection}?watch=1")),
            (Method::GET, format!("{root}/watch/namespaces/a/{}", kind.resource)),
            (Method::POST, collection.clone()),
            (Method::DELETE, collection),
            (Method::GET, one.clone()),
            (Method::PUT, one.clone()),
            (Method::DELETE, one.clone()),
        ];
        targets.extend(kind.subs.iter().flat_map(|sub| {
            let path = format!("{one}/{}", sub.name());
            [Method::GET, Method::POST, Method::PUT].map(|method| (method, path.clone()))
        }));
        for (method, path) in targets {
            let asked = api.ask(method.clone(), &path).by(tenant()).json(&object).send().await;
            assert_eq!(asked.code, 404, "{method} {path}");
        }
        let patch = api.ask(Method::PATCH, &one).by(tenant()).header("content-type", MERGE);
        let patched = patch.body(json!({"metadata": {"labels": {"x": "y"}}}).to_string());
        assert_eq!(patched.send().await.code, 404, "PATCH {one}");
    }
    let victim = api.get("/api/v1/namespaces/victim").await.ok();
    assert!(victim.deletion_timestamp().is_none() && victim.label("x").is_none());
}

#[tokio::test]
async fn the_namespace_itself_follows_rights_in_it() {
    let api = with_tenant().await;
    let ask = |method, path| api.ask(method, path).by(tenant()).send();
    ask(Method::GET, "/api/v1/namespaces/a").await.ok();
    ask(Method::GET, "/api/v1/namespaces/victim").await.fails(403);
    ask(Method::GET, "/api/v1/namespaces").await.fails(403);
    // An empty namespace is invalid and does not mean all namespaces.
    ask(Method::GET, "/api/v1/namespaces//pods").await.fails(404);
    api.get("/api/v1/namespaces//pods").await.fails(404);
}

#[tokio::test]
async fn nobody_grants_more_than_they_have() {
    let api = Api::start().await;
    let user = || User::new("mallory", &[]);
    let role =
        |name: &str, rules: serde_json::Value| json!({"metadata": {"name": name}, "rules": rules});
    let editor = json!([
        {"apiGroups": ["rbac.authorization.k8s.io"], "verbs": ["*"],
         "resources": ["clusterroles", "clusterrolebindings"]},
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]},
    ]);
    let roles = format!("{RBAC}/clusterroles");
    api.post(&roles, &role("editor", editor)).await.ok();
    // The verb "*" on roles includes escalate and bind: omit those.
    let verbs = json!(["get", "list", "create", "update", "patch", "delete"]);
    let patch = json!({"rules": [
        {"apiGroups": ["rbac.authorization.k8s.io"], "verbs": verbs,
         "resources": ["clusterroles", "clusterrolebindings"]},
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]},
    ]});
    api.patch(&format!("{roles}/editor"), MERGE, &patch).await.ok();
    let binding = json!({"metadata": {"name": "editor"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "editor"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "mallory"}]});
    api.post(&format!("{RBAC}/clusterrolebindings"), &binding).await.ok();
    let post = |object| {
        let api = &api;
        let roles = roles.clone();
        async move { api.ask(Method::POST, &roles).by(user()).json(&object).send().await }
    };
    let merge = |name: &str, patch: serde_json::Value| {
        let ask = api.ask(Method::PATCH, &format!("{roles}/{name}")).by(user());
        ask.header("content-type", MERGE).body(patch.to_string()).send()
    };

    // Users may grant rights that they hold.
    post(role("own", json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}])))
        .await
        .ok();
    let more = json!([{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list"]}]);
    let refused = post(role("more", more)).await.fails(403);
    let message = refused["message"].as_str().unwrap();
    assert!(
        message.ends_with(
            "is attempting to grant RBAC permissions not currently held:\n\
             {APIGroups:[\"\"], Resources:[\"secrets\"], Verbs:[\"get\" \"list\"]}"
        ),
        "{message}"
    );

    // An aggregation rule gathers any rules: on a new role, and on an empty one of their own.
    let everything = json!({"clusterRoleSelectors": [
        {"matchLabels": {"kubernetes.io/bootstrapping": "rbac-defaults"}}]});
    let why = "must have cluster-admin privileges to use the aggregationRule";
    let refused =
        post(json!({"metadata": {"name": "all"}, "aggregationRule": everything})).await.fails(403);
    assert!(refused["message"].as_str().unwrap().ends_with(why), "{refused}");
    post(role("empty", json!([]))).await.ok();
    let refused = merge("empty", json!({"aggregationRule": everything})).await.fails(403);
    assert!(refused["message"].as_str().unwrap().ends_with(why), "{refused}");
    // Nor may they remove one.
    merge("admin", json!({"aggregationRule": null})).await.fails(403);

    // A label aggregates a role into another: it is checked like its rules.
    let label =
        json!({"metadata": {"labels": {"rbac.authorization.k8s.io/aggregate-to-view": "true"}}});
    merge("cluster-admin", label.clone()).await.fails(403);
    merge("own", label).await.ok();
    // Changes by the garbage collector grant nothing.
    merge("cluster-admin", json!({"metadata": {"finalizers": ["example.com/x"]}})).await.ok();
}

/// Rights limited to names use the name in the path, so nothing else may be created there.
#[tokio::test]
async fn nothing_is_created_at_a_named_path() {
    let api = Api::start().await;
    for kind in kinds() {
        let root = match kind.group {
            "" => format!("/api/{}", kind.version),
            group => format!("/apis/{group}/{}", kind.version),
        };
        let namespace = if kind.namespaced { "/namespaces/default" } else { "" };
        let path = format!("{root}{namespace}/{}/x", kind.resource);
        let object = match kind.access {
            Access::Stored => sample(kind, names_of(kind).0),
            _ => json!({}),
        };
        // A create-only kind has no such path.
        let code = if kind.access == Access::Virtual { 404 } else { 405 };
        api.post(&path, &object).await.fails(code);
    }
}

#[tokio::test]
async fn ephemeral_containers_bring_nothing_else() {
    let api = Api::start().await;
    let pods = "/api/v1/namespaces/default/pods";
    let pod = json!({"metadata": {"name": "p", "labels": {"app": "web"}},
        "spec": {"containers": [{"name": "c", "image": "i"}]}});
    api.post(pods, &pod).await.ok();
    let patch = json!({
        "metadata": {"labels": {"app": "payments"}, "annotations": {"a": "b"},
            "finalizers": ["example.com/x"]},
        "spec": {"ephemeralContainers": [{"name": "debug", "image": "i"}]}});
    let strategic = "application/strategic-merge-patch+json";
    let patched = api.patch(&format!("{pods}/p/ephemeralcontainers"), strategic, &patch).await.ok();
    assert_eq!(patched["spec"]["ephemeralContainers"][0]["name"], "debug");
    assert_eq!(patched.label("app"), Some("web"));
    assert_eq!(patched.annotation("a"), None);
    assert!(patched.finalizers().next().is_none());

    // Removing one is refused too.
    let without = json!({"spec": {"ephemeralContainers": null}});
    let merge = "application/merge-patch+json";
    let refused = api.patch(&format!("{pods}/p/ephemeralcontainers"), merge, &without).await;
    let told = refused.fails(422)["message"].to_string();
    assert!(told.contains("may not be removed"), "{told}");
}

#[tokio::test]
async fn a_namespace_that_is_deleted_says_so_and_takes_nothing_more() {
    let api = Api::start().await;
    api.post("/api/v1/namespaces", &json!({"metadata": {"name": "closing"}})).await.ok();
    let deleted = api.delete("/api/v1/namespaces/closing").await.ok();
    assert_eq!(deleted["status"]["phase"], "Terminating");
    let late = json!({"metadata": {"name": "late"}});
    api.post("/api/v1/namespaces/closing/configmaps", &late).await.fails(403);
}

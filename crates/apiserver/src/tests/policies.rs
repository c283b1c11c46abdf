//! Admission policies may only use parameters that their author can read.

use http::Method;
use serde_json::{Value, json};

use super::harness::{Answer, Api};
use crate::User;

const POLICIES: &str = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies";
const BINDINGS: &str = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings";

fn policy(name: &str, kind: Option<(&str, &str)>) -> Value {
    let mut policy = json!({"metadata": {"name": name}, "spec": {
        "matchConstraints": {"resourceRules": [{"operations": ["CREATE"], "apiGroups": ["none"],
            "apiVersions": ["v1"], "resources": ["none"]}]},
        "validations": [{"expression": "true"}]}});
    if let Some((version, kind)) = kind {
        policy["spec"]["paramKind"] = json!({"apiVersion": version, "kind": kind});
    }
    policy
}

fn binding(name: &str, policy: &str, params: Value) -> Value {
    let mut params = params;
    params["parameterNotFoundAction"] = "Deny".into();
    json!({"metadata": {"name": name},
        "spec": {"policyName": policy, "validationActions": ["Deny"], "paramRef": params}})
}

/// A server where `author` writes policies and reads the config maps of one namespace.
async fn with_author() -> Api {
    let api = Api::start().await;
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    let subjects =
        json!([{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "author"}]);
    let reference = |kind: &str, name: &str| json!({"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name});
    let author = json!({"metadata": {"name": "author"}, "rules": [
        {"apiGroups": ["admissionregistration.k8s.io"], "resources": ["*"], "verbs": ["*"]}]});
    api.post(&format!("{rbac}/clusterroles"), &author).await.ok();
    let bound = json!({"metadata": {"name": "author"}, "subjects": subjects,
        "roleRef": reference("ClusterRole", "author")});
    api.post(&format!("{rbac}/clusterrolebindings"), &bound).await.ok();
    let reader = json!({"metadata": {"name": "reader"}, "rules": [
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list"]}]});
    api.post(&format!("{rbac}/namespaces/default/roles"), &reader).await.ok();
    let bound = json!({"metadata": {"name": "reader"}, "subjects": subjects,
        "roleRef": reference("Role", "reader")});
    api.post(&format!("{rbac}/namespaces/default/rolebindings"), &bound).await.ok();
    api
}

async fn by_author(api: &Api, method: Method, path: &str, object: &Value) -> Answer {
    let author = User { uid: "7".into(), ..User::new("author", &["g"]) };
    api.ask(method, path).by(author).json(object).send().await
}

const WHO: &str = "user &{author 7 [g system:authenticated] map[]}";

#[tokio::test]
async fn a_policy_takes_its_parameters_from_what_its_author_reads() {
    let api = with_author().await;
    by_author(&api, Method::POST, POLICIES, &policy("plain", None)).await.ok();
    let params = policy("params", Some(("v1", "ConfigMap")));
    let refused = by_author(&api, Method::POST, POLICIES, &params).await.fails(422);
    let why = format!(
        "spec.paramKind: Forbidden: {WHO} must have \"get\" permission on all objects of the \
         referenced paramKind (kind=ConfigMap, apiVersion=v1)"
    );
    let message = refused["message"].as_str().unwrap();
    assert!(message.ends_with(&why), "{message}");
    // Other validation errors are reported first.
    let mut wrong = params.clone();
    wrong["spec"]["failurePolicy"] = "x".into();
    let refused = by_author(&api, Method::POST, POLICIES, &wrong).await.fails(422);
    assert_eq!(refused["details"]["causes"].as_array().unwrap().len(), 1);
    assert_eq!(refused["details"]["causes"][0]["field"], "spec.failurePolicy");

    // The author may change another user's policy except for its kind of parameters.
    let mut made = api.post(POLICIES, &params).await.ok();
    let one = format!("{POLICIES}/params");
    made["spec"]["failurePolicy"] = "Ignore".into();
    let mut made = by_author(&api, Method::PUT, &one, &made).await.ok();
    made["spec"]["paramKind"]["kind"] = "Secret".into();
    by_author(&api, Method::PUT, &one, &made).await.fails(422);
    made["spec"].as_object_mut().unwrap().remove("paramKind");
    by_author(&api, Method::PUT, &one, &made).await.ok();
}

#[tokio::test]
async fn parameters_may_be_custom_resources() {
    let api = with_author().await;
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    let reader = json!({"metadata": {"name": "things"}, "rules": [
        {"apiGroups": ["other.example"], "resources": ["things"], "verbs": ["get"]}]});
    api.post(&format!("{rbac}/clusterroles"), &reader).await.ok();
    let bound = json!({"metadata": {"name": "things"},
        "subjects": [
            {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "author"}],
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "things"}});
    api.post(&format!("{rbac}/clusterrolebindings"), &bound).await.ok();
    let params = policy("params", Some(("other.example/v1", "Thing")));
    // As long as nobody knows which resource these are, all must be readable.
    by_author(&api, Method::POST, POLICIES, &params).await.fails(422);
    let definition = json!({"metadata": {"name": "things.other.example"}, "spec": {
        "group": "other.example", "scope": "Cluster",
        "names": {"plural": "things", "singular": "thing", "kind": "Thing"},
        "versions": [{"name": "v1", "served": true, "storage": true,
            "schema": {"openAPIV3Schema": {"type": "object"}}}]}});
    api.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", &definition).await.ok();
    while api.get("/apis/other.example/v1/things").await.code != 200 {
        tokio::task::yield_now().await;
    }
    by_author(&api, Method::POST, POLICIES, &params).await.ok();
}

#[tokio::test]
async fn a_binding_names_what_its_author_reads() {
    let api = with_author().await;
    api.post(POLICIES, &policy("params", Some(("v1", "ConfigMap")))).await.ok();
    api.post(POLICIES, &policy("unknown", Some(("other.example/v1", "Thing")))).await.ok();
    let here = json!({"name": "c", "namespace": "default"});
    let made = by_author(&api, Method::POST, BINDINGS, &binding("here", "params", here)).await.ok();
    by_author(&api, Method::PUT, &format!("{BINDINGS}/here"), &made).await.ok();

    let cases = [
        (
            "params",
            json!({"name": "c", "namespace": "kube-system"}),
            format!("{WHO} does not have \"get\" permission on the object referenced by paramRef"),
        ),
        (
            "params",
            json!({"selector": {}}),
            format!("{WHO} does not have \"list\" permission on the object referenced by paramRef"),
        ),
        (
            "gone",
            json!({"name": "c", "namespace": "default"}),
            format!(
                "unable to get policy gone to determine minimum required permissions and {WHO} \
                     does not have \"get\" permission for all groups, versions and resources"
            ),
        ),
        (
            "unknown",
            json!({"name": "c"}),
            format!(
                "unable to resolve paramKind &{{other.example/v1 Thing}} to determine minimum \
                     required permissions and {WHO} does not have \"get\" permission for all groups, \
                     versions and resources"
            ),
        ),
    ];
    for (policy, reference, why) in cases {
        let object = binding("b", policy, reference);
        let refused = by_author(&api, Method::POST, BINDINGS, &object).await.fails(422);
        let message = refused["message"].as_str().unwrap();
        assert!(message.ends_with(&format!("spec.paramRef: Forbidden: {why}")), "{message}");
        api.ask(Method::POST, &format!("{BINDINGS}?dryRun=All")).json(&object).send().await.ok();
    }
}

//! MutatingAdmissionPolicy: objects changed by expressions.

use http::Method;
use serde_json::{Value, json};

use super::harness::Api;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const REGISTRATION: &str = "/apis/admissionregistration.k8s.io/v1";

/// A policy about configmaps with these mutations, and a binding of the same name.
async fn bind(api: &Api, name: &str, mutations: Value, more: Value) {
    let policies = format!("{REGISTRATION}/mutatingadmissionpolicies");
    let bindings = format!("{REGISTRATION}/mutatingadmissionpolicybindings");
    for path in [&policies, &bindings] {
        api.ask(Method::DELETE, &format!("{path}/{name}")).send().await;
    }
    let mut spec = json!({
        "matchConstraints": {"resourceRules": [{
            "operations": ["CREATE", "UPDATE"], "apiGroups": [""], "apiVersions": ["v1"],
            "resources": ["configmaps"],
        }]},
        "mutations": mutations,
        "reinvocationPolicy": "Never",
    });
    let mut binding = json!({"policyName": name});
    for (key, value) in more.as_object().unwrap() {
        let of = if key == "paramRef" { &mut binding } else { &mut spec };
        of[key] = value.clone();
    }
    api.post(&policies, &json!({"metadata": {"name": name}, "spec": spec})).await.ok();
    api.post(&bindings, &json!({"metadata": {"name": name}, "spec": binding})).await.ok();
}

fn json_patch(expression: &str) -> Value {
    json!([{"patchType": "JSONPatch", "jsonPatch": {"expression": expression}}])
}

fn configuration(expression: &str) -> Value {
    json!([{
        "patchType": "ApplyConfiguration",
        "applyConfiguration": {"expression": expression},
    }])
}

fn map(name: &str, data: Value) -> Value {
    json!({"metadata": {"name": name}, "data": data})
}

#[tokio::test]
async fn objects_are_patched_and_configured() {
    let api = Api::start().await;
    let patch = r#"[
        JSONPatch{op: "test", path: "/data/mode", value: "on"},
        JSONPatch{op: "add", path: "/metadata/labels", value: {}},
        JSONPatch{op: "add", path: "/metadata/labels/" + jsonpatch.escapeKey("example.com/seen"),
            value: "yes"},
        JSONPatch{op: "copy", from: "/data/mode", path: "/data/copy"},
    ]"#;
    bind(&api, "a", json_patch(patch), json!({})).await;
    let created = api.post(MAPS, &map("patched", json!({"mode": "on"}))).await.ok();
    assert_eq!(created["metadata"]["labels"], json!({"example.com/seen": "yes"}));
    assert_eq!(created["data"], json!({"mode": "on", "copy": "on"}));
    // A test that does not hold leaves the object as it is.
    let created = api.post(MAPS, &map("left", json!({"mode": "off"}))).await.ok();
    assert_eq!(created["data"], json!({"mode": "off"}));

    let merged = r#"Object{
        metadata: Object.metadata{annotations: {"size": variables.size}},
        data: {"most": string(params.data.most), "of": namespaceObject.metadata.name}
    }"#;
    let more = json!({
        "variables": [{"name": "size", "expression": "string(size(object.data))"}],
        "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
        "paramRef": {"name": "left", "namespace": "default", "parameterNotFoundAction": "Deny"},
        "matchConditions": [{"name": "c", "expression": "request.name.startsWith('c')"}],
    });
    bind(&api, "a", configuration(merged), more.clone()).await;
    let refused = api.post(MAPS, &map("c", json!({"k": ""}))).await.fails(403);
    let message = refused["message"].as_str().unwrap();
    assert!(message.ends_with("resulted in error: no such key: most"), "{message}");
    api.patch(
        &format!("{MAPS}/left"),
        "application/merge-patch+json",
        &json!({"data": {"most": "5"}}),
    )
    .await
    .ok();
    let created = api.post(MAPS, &map("c", json!({"k": ""}))).await.ok();
    assert_eq!(created["data"], json!({"k": "", "most": "5", "of": "default"}));
    assert_eq!(created["metadata"]["annotations"], json!({"size": "1"}));
    let other = api.post(MAPS, &map("d", json!({"k": ""}))).await.ok();
    assert_eq!(other["data"], json!({"k": ""}));
}

#[tokio::test]
async fn failures_refuse_or_are_ignored() {
    let api = Api::start().await;
    let mixed = configuration("Object{metadata: Object.spec{labels: {'a': 'b'}}}");
    bind(&api, "p", mixed.clone(), json!({})).await;
    let refused = api.post(MAPS, &map("a", json!({}))).await.fails(403);
    assert_eq!(refused["reason"], "Invalid");
    let message = "policy 'p' with binding 'p' denied request: type mismatch: unexpected type name \
                   \"Object.spec\", expected \"Object.metadata\", which matches field name path from \
                   root Object type";
    assert_eq!(refused["message"], message);
    assert_eq!(refused["details"]["causes"], json!([{"message": message}]));
    bind(&api, "p", mixed, json!({"failurePolicy": "Ignore"})).await;
    api.post(MAPS, &map("a", json!({}))).await.ok();

    let missing = json!({
        "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
        "paramRef": {"name": "none", "namespace": "default", "parameterNotFoundAction": "Deny"},
    });
    bind(&api, "p", json_patch("[JSONPatch{op: 'add', path: '/data', value: {}}]"), missing).await;
    let refused = api.post(MAPS, &map("b", json!({}))).await.fails(403);
    assert_eq!(refused["reason"], "Forbidden");
    assert_eq!(
        refused["message"],
        "policy 'p' with binding 'p' denied request: failed to configure binding: no params found \
         for policy binding with `Deny` parameterNotFoundAction"
    );
}

#[tokio::test]
async fn a_policy_makes_no_object_of_another_kind_place_or_size() {
    let api = Api::start().await;
    let replace = |path: &str, value: &str| {
        json_patch(&format!("[JSONPatch{{op: 'add', path: '{path}', value: {value}}}]"))
    };
    for (mutations, code, part) in [
        (replace("/kind", "'Secret'"), 500, "no kind \"Secret\" is registered"),
        (replace("/metadata/namespace", "'kube-system'"), 400, "namespace"),
        (replace("/none", "1"), 500, "strict decoding error: unknown field \"none\""),
        (replace("/data", "1"), 500, "data"),
        (
            replace(
                "/data/big",
                "[[object.data.k, object.data.k]].map(x, [x, x, x, x, x, x, x, x, x, x])\
                 .map(x, [x, x, x, x, x, x, x, x, x, x]).map(x, [x, x, x, x, x, x, x, x, x, x])\
                 .map(x, [x, x, x, x, x, x, x, x, x, x]).map(x, [x, x, x, x, x, x, x, x, x, x])",
            ),
            403,
            "value takes more than 3145728 bytes as JSON",
        ),
        (
            configuration("Object{binaryData: Object.binaryData{x: object.data}}"),
            403,
            "expected string",
        ),
    ] {
        bind(&api, "p", mutations, json!({})).await;
        let refused = api.post(MAPS, &map("a", json!({"k": "k".repeat(1000)}))).await.fails(code);
        let message = refused["message"].as_str().unwrap();
        assert!(message.contains(part), "{message}");
    }
}

#[tokio::test]
async fn a_policy_sees_again_what_others_have_changed() {
    let api = Api::start().await;
    let count = "Object{data: {'count': string(size(object.data.?seen.orValue('')))}}";
    let seen = "Object{data: {'seen': object.data.?seen.orValue('') + 'x'}}";
    bind(&api, "a", configuration(count), json!({"reinvocationPolicy": "IfNeeded"})).await;
    bind(&api, "b", configuration(seen), json!({})).await;
    let created = api.post(MAPS, &map("m", json!({"k": "v"}))).await.ok();
    assert_eq!(created["data"], json!({"k": "v", "count": "1", "seen": "x"}));
    bind(&api, "a", configuration(count), json!({})).await;
    let created = api.post(MAPS, &map("n", json!({"k": "v"}))).await.ok();
    assert_eq!(created["data"], json!({"k": "v", "count": "0", "seen": "x"}));
}

//! Validating admission policies, and conditions of webhooks.

use http::Method;
use serde_json::{Value, json};

use super::harness::Api;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const GROUP: &str = "/apis/admissionregistration.k8s.io/v1";

/// A policy about config maps, with a binding that denies.
async fn bind(api: &Api, spec: Value, binding: Value) {
    let policies = format!("{GROUP}/validatingadmissionpolicies");
    let bindings = format!("{GROUP}/validatingadmissionpolicybindings");
    for path in [&policies, &bindings] {
        api.ask(Method::DELETE, &format!("{path}/p")).send().await;
    }
    let with = |mut defaults: Value, given: Value| {
        for (key, value) in given.as_object().unwrap() {
            defaults[key] = value.clone();
        }
        json!({"metadata": {"name": "p"}, "spec": defaults})
    };
    let constraints = json!({"matchConstraints": {"resourceRules": [{
        "operations": ["CREATE", "UPDATE", "DELETE"], "apiGroups": [""], "apiVersions": ["v1"],
        "resources": ["configmaps"],
    }]}});
    let bound = json!({"policyName": "p", "validationActions": ["Deny"]});
    api.post(&policies, &with(constraints, spec)).await.ok();
    api.post(&bindings, &with(bound, binding)).await.ok();
}

fn map(name: &str, data: Value) -> Value {
    json!({"metadata": {"name": name}, "data": data})
}

const DENIED: &str = "configmaps \"a\" is forbidden: ValidatingAdmissionPolicy 'p' with binding \
                      'p' denied request: ";

#[tokio::test]
async fn validations_deny_warn_and_say_why() {
    let api = Api::start().await;
    let validations = json!({
        "variables": [
            {"name": "size", "expression": "size(object.data)"},
            {"name": "double", "expression": "variables.size * 2"},
        ],
        "validations": [
            {"expression": "object == null || !has(object.data) || variables.double <= 4",
             "messageExpression": "'too many: ' + string(variables.double)"},
            {"expression": "request.operation != 'DELETE' || oldObject.metadata.name != 'kept'",
             "message": "it is kept", "reason": "Forbidden"},
        ],
    });
    bind(&api, validations.clone(), json!({})).await;
    api.post(MAPS, &map("kept", json!({"k": "v"}))).await.ok();
    let many = json!({"a": "", "b": "", "c": ""});
    let refused = api.post(MAPS, &map("a", many.clone())).await.fails(422);
    assert_eq!(refused["message"], format!("{DENIED}too many: 6"));
    assert_eq!(refused["reason"], "Invalid");
    let kept = api.ask(Method::DELETE, &format!("{MAPS}/kept")).send().await.fails(403);
    assert_eq!(kept["reason"], "Forbidden");
    assert_eq!(
        kept["details"]["causes"][0]["message"],
        "ValidatingAdmissionPolicy 'p' with binding 'p' denied request: it is kept"
    );
    bind(&api, validations, json!({"validationActions": ["Warn"]})).await;
    let warned = api.post(MAPS, &map("a", many)).await;
    assert_eq!(
        warned.headers["warning"],
        "299 - \"Validation failed for ValidatingAdmissionPolicy 'p' with binding 'p': too many: \
         6\""
    );
    warned.ok();
}

#[tokio::test]
async fn parameters_come_from_objects() {
    let api = Api::start().await;
    let spec = json!({
        "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
        "matchConditions": [
            {"name": "others", "expression": "!request.name.startsWith('limits')"},
        ],
        "validations": [{"expression": "int(params.data.most) >= size(object.data)"}],
    });
    let of = |name: &str, action: &str| {
        json!({"paramRef": {
            "name": name, "namespace": "default", "parameterNotFoundAction": action,
        }})
    };
    api.post(MAPS, &map("limits", json!({"most": "1"}))).await.ok();
    bind(&api, spec.clone(), of("none", "Deny")).await;
    let missing = api.post(MAPS, &map("a", json!({}))).await.fails(422);
    let message = missing["message"].as_str().unwrap();
    assert!(message.contains("no params found for policy binding with `Deny`"), "{message}");
    bind(&api, spec.clone(), of("limits", "Deny")).await;
    api.post(MAPS, &map("b", json!({"k": ""}))).await.ok();
    let refused = api.post(MAPS, &map("a", json!({"k": "", "l": ""}))).await.fails(422);
    assert_eq!(
        refused["message"],
        format!("{DENIED}failed expression: int(params.data.most) >= size(object.data)")
    );
    bind(&api, spec, of("none", "Allow")).await;
    api.post(MAPS, &map("c", json!({"k": "", "l": ""}))).await.ok();
}

#[tokio::test]
async fn failures_deny_or_are_ignored() {
    let api = Api::start().await;
    let failing = |expression: &str, policy: &str| json!({"failurePolicy": policy, "validations": [{"expression": expression}]});
    bind(&api, failing("object.none == 1", "Fail"), json!({})).await;
    let refused = api.post(MAPS, &map("a", json!({}))).await.fails(422);
    let message = refused["message"].as_str().unwrap();
    assert!(message.contains("resulted in error: no such key: none"), "{message}");
    bind(&api, failing("object.none == 1", "Ignore"), json!({})).await;
    api.post(MAPS, &map("a", json!({}))).await.ok();
}

#[tokio::test]
async fn expressions_are_compiled_with_the_policy() {
    let api = Api::start().await;
    let policy = |more: Value| {
        let mut spec = json!({
            "matchConstraints": {"resourceRules": [{
                "operations": ["*"], "apiGroups": [""], "apiVersions": ["v1"],
                "resources": ["configmaps"],
            }]},
            "validations": [{"expression": "true"}],
        });
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"metadata": {"name": "p"}, "spec": spec})
    };
    for (spec, why) in [
        (json!({"validations": [{"expression": "object +"}]}), "compilation failed: ERROR: "),
        (
            json!({"validations": [{"expression": "object.x + 1 == params.y"}]}),
            "undeclared reference to 'params'",
        ),
        (json!({"validations": [{"expression": "1"}]}), "must evaluate to bool but got int"),
        (
            json!({"validations": [{"expression": "true", "messageExpression": "true"}]}),
            "must evaluate to string but got bool",
        ),
        (json!({"validations": [{"expression": "request.none == 1"}]}), "undefined field 'none'"),
        (
            json!({"variables": [
                {"name": "a", "expression": "variables.b"}, {"name": "b", "expression": "1"},
            ]}),
            "spec.variables[0].expression: Invalid value: \"variables.b\": compilation failed",
        ),
        (
            json!({"matchConditions": [{"name": "c", "expression": "... [] bad"}]}),
            "spec.matchConditions[0].expression: Invalid value: \"... [] bad\": compilation failed",
        ),
        (
            json!({"auditAnnotations": [{"key": "k", "valueExpression": "1"}]}),
            "must evaluate to one of [string null_type] but got int",
        ),
    ] {
        let path = format!("{GROUP}/validatingadmissionpolicies");
        let refused = api.post(&path, &policy(spec)).await.fails(422);
        let message = refused["message"].as_str().unwrap();
        assert!(message.contains(why), "{message}\n{why}");
    }
}

/// Variables are found by name, so they could use themselves, or nest without end.
#[tokio::test]
async fn variables_take_no_stack_without_end() {
    let api = Api::start().await;
    let mut chain = vec![json!({"name": "v0", "expression": "1"})];
    for n in 1..5_000 {
        let expression = format!("dyn(variables).v{} + 1", n - 1);
        chain.push(json!({"name": format!("v{n}"), "expression": expression}));
    }
    let itself = json!([{"name": "v4999", "expression": "dyn(variables).v4999"}]);
    for (variables, why) in
        [(chain.into(), "variables nest too deeply"), (itself, "no such key: v4999")]
    {
        let spec = json!({
            "variables": variables, "validations": [{"expression": "variables.v4999 == 1"}],
        });
        bind(&api, spec, json!({})).await;
        let refused = api.post(MAPS, &map("a", json!({}))).await.fails(422);
        let message = refused["message"].as_str().unwrap();
        assert!(message.contains(why), "{message:.300}");
    }
}

/// The authorizer answers for whoever asks, not for the server.
#[tokio::test]
async fn the_authorizer_knows_the_user() {
    let api = Api::start().await;
    let spec = json!({"validations": [{
        "expression": "authorizer.group('').resource('secrets').namespace('default').check('get')\
                       .allowed() && authorizer.path('/healthz').check('get').allowed()",
    }]});
    bind(&api, spec, json!({})).await;
    api.post(MAPS, &map("b", json!({}))).await.ok();
    let rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default";
    let rules = json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create"]}]);
    let role = json!({"metadata": {"name": "r"}, "rules": rules});
    api.post(&format!("{rbac}/roles"), &role).await.ok();
    let binding = json!({
        "metadata": {"name": "r"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "jane"}],
    });
    api.post(&format!("{rbac}/rolebindings"), &binding).await.ok();
    let jane = crate::User::new("jane", &["system:authenticated"]);
    let ask = api.ask(Method::POST, MAPS).by(jane).json(&map("a", json!({})));
    let refused = ask.send().await.fails(422);
    assert!(refused["message"].as_str().unwrap().starts_with(DENIED), "{refused}");
}

#[tokio::test]
async fn connections_are_writes_to_policies() {
    let api = Api::start().await;
    let spec = json!({
        "matchConstraints": {"resourceRules": [{
            "operations": ["CONNECT"], "apiGroups": [""], "apiVersions": ["v1"],
            "resources": ["pods/exec"],
        }]},
        "validations": [{"expression": "request.name != 'p'", "message": "no way in"}],
    });
    bind(&api, spec, json!({})).await;
    let pod = json!({"metadata": {"name": "p"}, "spec": {
        "nodeName": "n", "containers": [{"name": "c", "image": "i"}],
    }});
    api.post("/api/v1/namespaces/default/pods", &pod).await.ok();
    let exec = "/api/v1/namespaces/default/pods/p/exec?command=sh&stdout=true";
    let refused = api.ask(Method::POST, exec).send().await.fails(422);
    assert!(refused["message"].as_str().unwrap().ends_with("no way in"), "{refused}");
}

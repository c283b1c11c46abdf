use serde_json::json;

use super::*;

fn text(authorizers: &Value) -> String {
    json!({"apiVersion": "apiserver.config.k8s.io/v1beta1", "kind": "AuthorizationConfiguration",
        "authorizers": authorizers})
    .to_string()
}

fn why(authorizers: &Value) -> String {
    match read(&text(authorizers), &[]) {
        Ok(_) => String::new(),
        Err(why) => why.to_string(),
    }
}

/// A webhook that is good but for these fields.
fn webhook(changes: &Value) -> Value {
    let mut webhook = json!({
        "timeout": "3s", "subjectAccessReviewVersion": "v1",
        "matchConditionSubjectAccessReviewVersion": "v1", "failurePolicy": "Deny",
        "connectionInfo": {"type": "KubeConfigFile", "kubeConfigFile": "/dev/null/x"},
    });
    for (field, value) in changes.as_object().unwrap() {
        webhook[field] = value.clone();
    }
    json!([{"type": "Webhook", "name": "w", "webhook": webhook}])
}

#[test]
fn authorizers_are_checked_in_upstreams_words() {
    let rbac = || json!({"type": "RBAC", "name": "rbac"});
    for (authorizers, wanted) in [
        (json!([rbac(), {"type": "Node", "name": "node"}]), ""),
        (json!([]), "authorizers: Required value: at least one authorization mode must be defined"),
        (json!([{"name": "x"}]), "authorizers[0].type: Required value"),
        (
            json!([{"type": "Magic", "name": "x"}]),
            "authorizers[0].type: Unsupported value: \"Magic\": supported values: \"ABAC\", \
             \"AlwaysAllow\", \"AlwaysDeny\", \"Node\", \"RBAC\", \"Webhook\"",
        ),
        (json!([rbac(), rbac()]), "authorizers[1].type: Duplicate value: \"RBAC\""),
        (json!([{"type": "RBAC"}]), "authorizers[0].name: Required value"),
        (
            json!([{"type": "RBAC", "name": "other"}]),
            "expected name rbac for authorizer RBAC instead of other",
        ),
        (
            json!([{"type": "RBAC", "name": "rbac", "webhook": {}}]),
            "authorizers[0].webhook: Invalid value: \"non-null\": may only be specified when \
             type=Webhook",
        ),
        (
            json!([{"type": "Webhook", "name": "w"}]),
            "authorizers[0].webhook: Required value: required when type=Webhook",
        ),
        (
            json!([{"type": "RBAC", "name": "rbac", "more": 1}]),
            "failed to load AuthorizationConfiguration from file: strict decoding error: unknown \
             field \"authorizers[0].more\"",
        ),
    ] {
        assert_eq!(why(&authorizers), wanted, "{authorizers}");
    }
    let named = why(&json!([{"type": "Webhook", "name": "No", "webhook": {}}]));
    assert!(
        named.contains("authorizers[0].name: Invalid value: \"No\": authorizer name is invalid")
    );
    assert_eq!(
        read("", &[]).err().unwrap().to_string(),
        "authorizers: Required value: at least one authorization mode must be defined"
    );
    let missing = read(&text(&json!([rbac()])), &[Mode::Rbac, Mode::Node]).err().unwrap();
    assert_eq!(missing.to_string(), "missing required types: [Node]");
}

#[test]
fn webhooks_are_checked_in_upstreams_words() {
    let no_file = "authorizers[0].connectionInfo.kubeConfigFile: Invalid value: \"/dev/null/x\": \
                   error loading file";
    for (changes, wanted) in [
        (json!({}), no_file),
        (json!({"timeout": ""}), "authorizers[0].timeout: Required value"),
        (
            json!({"timeout": "31s"}),
            "authorizers[0].timeout: Invalid value: \"31s\": must be > 0s and <= 30s",
        ),
        (
            json!({"authorizedTTL": "-1s"}),
            "authorizers[0].authorizedTTL: Invalid value: \"-1s\": must be > 0s",
        ),
        (
            json!({"subjectAccessReviewVersion": "v2"}),
            "authorizers[0].subjectAccessReviewVersion: Unsupported value: \"v2\": supported \
             values: \"v1\", \"v1beta1\"",
        ),
        (
            json!({"matchConditionSubjectAccessReviewVersion": "v1beta1"}),
            "authorizers[0].matchConditionSubjectAccessReviewVersion: Unsupported value: \
             \"v1beta1\": supported values: \"v1\"",
        ),
        (
            json!({"matchConditionSubjectAccessReviewVersion": "",
                "matchConditions": [{"expression": "true"}]}),
            "authorizers[0].matchConditionSubjectAccessReviewVersion: Required value: required if \
             match conditions are specified",
        ),
        (json!({"failurePolicy": ""}), "authorizers[0].failurePolicy: Required value"),
        (
            json!({"failurePolicy": "Allow"}),
            "authorizers[0].failurePolicy: Unsupported value: \"Allow\": supported values: \
             \"NoOpinion\", \"Deny\"",
        ),
        (json!({"connectionInfo": {}}), "authorizers[0].connectionInfo.type: Required value"),
        (
            json!({"connectionInfo": {"type": "InClusterConfig"}}),
            "InClusterConfig is not allowed for kube-apiserver",
        ),
        (
            json!({"connectionInfo": {"type": "KubeConfigFile"}}),
            "authorizers[0].connectionInfo.kubeConfigFile: Required value",
        ),
        (
            json!({"connectionInfo": {"type": "KubeConfigFile", "kubeConfigFile": "a"}}),
            "authorizers[0].connectionInfo.kubeConfigFile: Invalid value: \"a\": must be an \
             absolute path",
        ),
        (
            json!({"connectionInfo": {"type": "KubeConfigFile", "kubeConfigFile": "/"}}),
            "must be a regular file",
        ),
        (
            json!({"matchConditions": [{"expression": " "}]}),
            "authorizers[0].matchConditions[0].expression: Required value",
        ),
        (
            json!({"matchConditions": [{"expression": "true"}, {"expression": "true"}]}),
            "authorizers[0].matchConditions[1].expression: Duplicate value: \"true\"",
        ),
        (
            json!({"matchConditions": [{"expression": "request.user"}]}),
            "must evaluate to bool but got string",
        ),
        (
            json!({"matchConditions": [{"expression": "request.time == 'now'"}]}),
            "undefined field 'time'",
        ),
        (
            json!({"matchConditions": vec![json!({"expression": "true"}); 65]}),
            "authorizers[0].matchConditions: Too many: 65: must have at most 64 items",
        ),
    ] {
        let found = why(&webhook(&changes));
        assert!(found.contains(wanted), "{changes}: {found}");
    }
    let time = why(&webhook(&json!({"timeout": "soon"})));
    assert!(time.ends_with("from file: time: invalid duration \"soon\""), "{time}");
}

#[test]
fn what_is_left_out_has_upstreams_defaults() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("kubeconfig");
    std::fs::write(&path, "").unwrap();
    let at = json!({"type": "KubeConfigFile", "kubeConfigFile": path});
    let of = |mut changes: Value| {
        changes["connectionInfo"] = at.clone();
        read(&text(&webhook(&changes)), &[]).unwrap().pop().unwrap().webhook.unwrap()
    };
    let seconds = Duration::from_secs;
    let plain = of(json!({}));
    let times = (plain.timeout, plain.authorized_ttl, plain.unauthorized_ttl);
    assert_eq!(times, (seconds(3), seconds(300), seconds(30)));
    assert!(plain.denies_on_failure && plain.kubeconfig == path);
    let none = of(json!({"cacheAuthorizedRequests": false, "cacheUnauthorizedRequests": false}));
    assert_eq!((none.authorized_ttl, none.unauthorized_ttl), (Duration::ZERO, Duration::ZERO));
}

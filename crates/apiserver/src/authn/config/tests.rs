use serde_json::{Value, json};

use super::*;

/// A valid configuration with this at a place of its only issuer.
fn configured(change: impl FnOnce(&mut Value)) -> Value {
    let mut jwt = json!({
        "issuer": {"url": "https://issuer", "audiences": ["us"]},
        "claimMappings": {"username": {"claim": "sub", "prefix": ""}},
    });
    change(&mut jwt);
    json!({"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthenticationConfiguration", "jwt": [jwt]})
}

fn complaint(value: &Value) -> String {
    read(value, &["https://own".to_owned()], None).err().map_or(String::new(), |e| e.to_string())
}

#[test]
fn a_file_is_decoded_strictly() {
    let head = "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\n";
    assert!(decode(&format!("{head}jwt:\n- issuer:\n    url: https://a\n")).is_ok());
    for (text, message) in [
        ("", "empty config data"),
        (
            "kind: AuthenticationConfiguration",
            "Object 'apiVersion' is missing in 'kind: AuthenticationConfiguration'",
        ),
        (
            "apiVersion: apiserver.config.k8s.io/v2\nkind: AuthenticationConfiguration",
            "no kind \"AuthenticationConfiguration\" is registered for version \
             \"apiserver.config.k8s.io/v2\" in scheme \"pkg/runtime/scheme.go:111\"",
        ),
        (
            &format!("{head}jwt:\n- issuer: {{certificate: a}}\nmetadata: {{}}\n"),
            "strict decoding error: unknown field \"metadata\", unknown field \
             \"jwt[0].issuer.certificate\"",
        ),
        (
            &format!("{head}jwt: []\njwt: []\n"),
            "strict decoding error: yaml: unmarshal errors:\n  line 4: key \"jwt\" already set in map",
        ),
    ] {
        assert_eq!(decode(text).unwrap_err().to_string(), message, "{text}");
    }
    assert!(decode(&format!("{head}jwt: true\n")).is_err());
    assert!(decode(&format!("{head}jwt: [{{issuer: {{url: 1}}}}]\n")).is_err());
}

#[test]
fn what_cannot_be_is_said_in_upstreams_words() {
    assert_eq!(complaint(&configured(|_| {})), "");
    let many: Vec<Value> = (0..65).map(|_| json!({})).collect();
    for (value, message) in [
        (json!({"jwt": many}), "jwt: Too many: 65: must have at most 64 items"),
        (
            json!({"anonymous": {"enabled": false, "conditions": [{"path": "/x"}]}}),
            "anonymous.conditions: Invalid value: [{\"Path\":\"/x\"}]: enabled should be set to true \
             when conditions are defined",
        ),
        (configured(|jwt| jwt["issuer"]["url"] = "".into()), "jwt[0].issuer.url: Required value"),
        (
            configured(|jwt| jwt["issuer"]["url"] = "http://u:p@a?q=1#f".into()),
            "[jwt[0].issuer.url: Invalid value: \"http://u:p@a?q=1#f\": URL scheme must be https, \
             jwt[0].issuer.url: Invalid value: \"http://u:p@a?q=1#f\": URL must not contain a \
             username or password, \
             jwt[0].issuer.url: Invalid value: \"http://u:p@a?q=1#f\": URL must not contain a query, \
             jwt[0].issuer.url: Invalid value: \"http://u:p@a?q=1#f\": URL must not contain a \
             fragment]",
        ),
        (
            configured(|jwt| jwt["issuer"]["url"] = "https://own".into()),
            "jwt[0].issuer.url: Invalid value: \"https://own\": URL must not overlap with disallowed \
             issuers: [https://own]",
        ),
        (
            configured(|jwt| jwt["issuer"]["discoveryURL"] = "https://issuer/".into()),
            "jwt[0].issuer.discoveryURL: Invalid value: \"https://issuer/\": discoveryURL must be \
             different from URL",
        ),
        (
            configured(|jwt| jwt["issuer"]["audiences"] = json!([])),
            "jwt[0].issuer.audiences: Required value: at least one jwt[0].issuer.audiences is \
             required",
        ),
        (
            configured(|jwt| jwt["issuer"]["audiences"] = json!(["a", "b"])),
            "jwt[0].issuer.audienceMatchPolicy: Invalid value: \"\": audienceMatchPolicy must be \
             MatchAny for multiple audiences",
        ),
        (
            configured(|jwt| jwt["issuer"]["certificateAuthority"] = "x".into()),
            "jwt[0].issuer.certificateAuthority: Invalid value: \"<omitted>\": data does not contain \
             any valid RSA or ECDSA certificates",
        ),
        (
            configured(|jwt| jwt["claimMappings"]["username"] = json!({"claim": "sub"})),
            "jwt[0].claimMappings.username.prefix: Required value: prefix is required when claim is \
             set. It can be set to an empty string to disable prefixing",
        ),
        (
            configured(|jwt| jwt["claimMappings"]["username"] = json!({"expression": "foo.bar"})),
            "jwt[0].claimMappings.username.expression: Invalid value: \"foo.bar\": compilation \
             failed: ERROR: <input>:1:1: undeclared reference to 'foo' (in container '')\n | foo.bar\
             \n | ^",
        ),
        (
            configured(|jwt| {
                jwt["claimMappings"]["username"] = json!({"expression": "claims.email"})
            }),
            "jwt[0].claimMappings.username.expression: Invalid value: \"claims.email\": \
             claims.email_verified must be used in claimMappings.username.expression or \
             claimMappings.extra[*].valueExpression or claimValidationRules[*].expression when \
             claims.email is used in claimMappings.username.expression",
        ),
        (
            configured(|jwt| {
                jwt["claimMappings"]["extra"] = json!([
                    {"key": "example.org/A", "valueExpression": "claims.a"},
                    {"key": "a.k8s.io/b", "valueExpression": "''"},
                    {"key": "a.b/c"},
                ]);
            }),
            "[jwt[0].claimMappings.extra[0].key: Invalid value: \"example.org/A\": must be lowercase, \
             jwt[0].claimMappings.extra[1].key: Invalid value: \"a.k8s.io/b\": k8s.io, kubernetes.io \
             and their subdomains are reserved for Kubernetes use, \
             jwt[0].claimMappings.extra[2].valueExpression: Required value]",
        ),
        (
            configured(|jwt| {
                jwt["claimValidationRules"] = json!([
                    {"claim": "a", "expression": "true"}, {}, {"claim": "a", "message": "m"},
                    {"expression": "claims.a", "requiredValue": "v"}, {"expression": "'a'"},
                ]);
            }),
            "[jwt[0].claimValidationRules[0]: Invalid value: \"a\": claim and expression can't both \
             be set, jwt[0].claimValidationRules[1]: Required value: claim or expression is required, \
             jwt[0].claimValidationRules[2].message: Invalid value: \"m\": may not be specified when \
             claim is set, jwt[0].claimValidationRules[3].requiredValue: Invalid value: \"v\": may \
             not be specified when expression is set, jwt[0].claimValidationRules[3].expression: \
             Invalid value: \"claims.a\": must evaluate to bool, \
             jwt[0].claimValidationRules[4].expression: Invalid value: \"'a'\": must evaluate to \
             bool]",
        ),
        (
            configured(|jwt| {
                jwt["userValidationRules"] =
                    json!([{"expression": "user.name == ''"}, {"expression": ""}]);
            }),
            "[jwt[0].userValidationRules[0].expression: Invalid value: \"user.name == ''\": \
             compilation failed: ERROR: <input>:1:5: undefined field 'name'\n | user.name == ''\
             \n | ....^, jwt[0].userValidationRules[1].expression: Required value]",
        ),
    ] {
        let want = format!("invalid authentication configuration: {message}");
        assert_eq!(complaint(&value), want);
    }
    // Any of the three places counts.
    for verified in [
        json!({"username": {"expression": "claims.email_verified ? claims.email : ''"}}),
        json!({"username": {"expression": "claims.email"}, "extra": [{
            "key": "a.b/c", "valueExpression": "has(claims.email_verified) ? 'a' : 'b'",
        }]}),
        json!({"username": {"expression": "claims.?email.orValue('')"}, "extra": [{
            "key": "a.b/c", "valueExpression": "claims.?email_verified.orValue('')",
        }]}),
    ] {
        assert_eq!(complaint(&configured(|jwt| jwt["claimMappings"] = verified)), "");
    }
}

#[test]
fn expressions_make_texts_of_claims() {
    let claims = json!({
        "a": "x", "list": ["x", "", "y"], "n": 1, "nothing": null, "a.b": {"c-d": "deep"},
    });
    let program = |source: &str| super::mapper::CLAIMS.compile(source).unwrap();
    for (source, wanted) in [
        ("claims.a", Some(&["x"][..])),
        ("claims.list", Some(&["x", "y"])),
        ("claims.list.map(x, x + '!')", Some(&["x!", "!", "y!"])),
        ("claims.nothing", Some(&[])),
        ("''", Some(&[])),
        ("claims.a__dot__b.c__dash__d", Some(&["deep"])),
        ("type(claims.n) == double && claims.n == 1 ? 'double' : ''", Some(&["double"])),
        ("claims.n", None),
        ("[claims.n]", None),
        ("claims.missing", None),
        // More than the budget allows.
        ("['a'].map(x, claims.list.map(y, claims.list.map(z, x+y+z)[0])[0])", Some(&["axx"])),
    ] {
        let found = texts(&program(source), source, &claims);
        match wanted {
            Some(wanted) => assert_eq!(found.unwrap(), wanted, "{source}"),
            None => assert!(found.is_err(), "{source}"),
        }
    }
    let many: Vec<String> = (0..2000).map(|n| n.to_string()).collect();
    let source = "claims.m.all(x, claims.m.all(y, x + y != 'z')) ? 'a' : 'b'";
    let costly = texts(&program(source), source, &json!({"m": many}));
    let why = costly.unwrap_err().to_string();
    assert!(why.ends_with("operation cancelled: actual cost limit exceeded"), "{why}");
}

//! Tokens of issuers.

mod issuer;

use std::path::Path;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use super::harness::{Answer, Api};
use crate::{Authentication, Oidc};
use issuer::{Issuer, Key};

const WHO: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";

async fn who(api: &Api, token: &str) -> Answer {
    api.ask(Method::POST, WHO).json(&json!({})).with_token(token).send().await
}

/// The name of the user of a token that is good, as soon as its issuer is known.
async fn name(api: &Api, token: &str) -> String {
    loop {
        let answer = who(api, token).await;
        if answer.code.is_success() {
            return answer.json()["status"]["userInfo"]["username"].as_str().unwrap().to_owned();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The error of a token that is refused.
async fn error(api: &Api, token: &str) -> String {
    let review = json!({"spec": {"token": token}});
    let uri = "/apis/authentication.k8s.io/v1/tokenreviews";
    let status = api.post(uri, &review).await.ok()["status"].clone();
    assert_ne!(status["authenticated"], true, "{status}");
    status["error"].as_str().unwrap_or_default().to_owned()
}

fn write(path: &Path, jwt: &[Value]) {
    let config = json!({
        "apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthenticationConfiguration",
        "jwt": jwt,
    });
    std::fs::write(path, config.to_string()).unwrap();
}

fn authenticator(issuer: &Issuer, mappings: Value) -> Value {
    json!({
        "issuer": {
            "url": issuer.url, "audiences": ["us"], "certificateAuthority": issuer.authority,
        },
        "claimMappings": mappings,
    })
}

fn by_subject() -> Value {
    json!({"username": {"claim": "sub", "prefix": "o:"}})
}

async fn configured(path: &Path) -> Api {
    let config_file = Some(path.to_owned());
    Api::start_with(Authentication { config_file, ..Authentication::default() }).await
}

#[tokio::test]
async fn flags_configure_one_issuer() {
    let key = Key::new("a");
    let issuer = Issuer::start(&[&key]).await;
    let dir = tempfile::tempdir().unwrap();
    let ca_file = dir.path().join("ca.crt");
    std::fs::write(&ca_file, &issuer.authority).unwrap();
    let flags = Oidc {
        ca_file: Some(ca_file),
        client_id: "us".to_owned(),
        issuer_url: issuer.url.clone(),
        username_claim: "sub".to_owned(),
        username_prefix: String::new(),
        groups_claim: "groups".to_owned(),
        groups_prefix: "o:".to_owned(),
        signing_algs: vec!["RS256".to_owned(), "ES256".to_owned()],
        required_claims: [("hd".to_owned(), "here".to_owned())].into(),
    };
    let start = async |oidc| {
        let options = Authentication { oidc: Some(oidc), ..Authentication::default() };
        Api::open(tempfile::tempdir().unwrap(), options).await
    };
    let api = start(flags.clone()).await.unwrap_or_else(|why| panic!("{why}"));
    let token = key.sign(&issuer.claims(&json!({"hd": "here", "groups": "staff", "jti": "7"})));
    assert_eq!(name(&api, &token).await, format!("{}#ann", issuer.url));
    let info = who(&api, &token).await.ok()["status"]["userInfo"].clone();
    assert_eq!(info["groups"], json!(["o:staff", "system:authenticated"]));
    assert_eq!(info["extra"]["authentication.kubernetes.io/credential-id"], json!(["JTI=7"]));

    let now = jiff::Timestamp::now().as_second();
    for (claims, message) in [
        (json!({}), "oidc: required claim hd not present in ID token"),
        (
            json!({"hd": "there"}),
            "oidc: required claim hd value does not match. Got = there, want = here",
        ),
        (
            json!({"hd": "here", "aud": ["you"]}),
            "oidc: verify token: oidc: expected audience \"us\" got [\"you\"]",
        ),
        (json!({"hd": "here", "exp": 1}), "oidc: verify token: oidc: token is expired"),
        (json!({"hd": "here", "exp": null}), "oidc: verify token: oidc: token is expired"),
        (json!({"hd": "here", "exp": "x"}), "oidc: verify token: oidc: failed to unmarshal"),
        (json!({"hd": "here", "nbf": now + 600}), "oidc: verify token: oidc: current time"),
        (json!({"hd": "here", "sub": 1}), "oidc: parse username claims \"sub\":"),
        (json!({"hd": "here", "groups": [1]}), "oidc: parse groups claim \"groups\":"),
        (
            json!({"hd": "here", "_claim_names": {"groups": "src"}}),
            "oidc: could not expand distributed claims",
        ),
    ] {
        let token = key.sign(&issuer.claims(&claims));
        let found = error(&api, &token).await;
        assert!(found.starts_with(message), "{claims}: {found}");
        who(&api, &token).await.fails(401);
    }
    // Another's name under the same key, and the same name under another key.
    let forged = key.sign(&json!({"iss": "https://other", "aud": "us", "exp": now + 60}));
    assert_eq!(error(&api, &forged).await, "invalid bearer token");
    let forged = Key::new("a").sign(&issuer.claims(&json!({"hd": "here"})));
    let why = "oidc: verify token: failed to verify signature: failed to verify id token signature";
    assert_eq!(error(&api, &forged).await, why);

    for (bad, message) in [
        (
            Oidc { client_id: String::new(), ..flags.clone() },
            "oidc-issuer-url and oidc-client-id must be specified together",
        ),
        (
            Oidc { signing_algs: vec!["HS256".to_owned()], ..flags.clone() },
            "oidc: unsupported signing alg: \"HS256\"",
        ),
        (
            Oidc { issuer_url: "http://a".to_owned(), ..flags.clone() },
            "invalid authentication configuration: jwt[0].issuer.url: Invalid value: \"http://a\": \
             URL scheme must be https",
        ),
        (
            Oidc { issuer_url: "https://issuer".to_owned(), ..flags },
            "invalid authentication configuration: jwt[0].issuer.url: Invalid value: \
             \"https://issuer\": URL must not overlap",
        ),
    ] {
        let why = start(bad).await.err().unwrap().to_string();
        assert!(why.starts_with(message), "{why}");
    }
}

#[tokio::test]
async fn expressions_say_who_a_token_is_and_whether() {
    let key = Key::new("a");
    let issuer = Issuer::start(&[&key]).await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config");
    let mut jwt = authenticator(
        &issuer,
        json!({
            "username": {"expression": "'o:' + claims.name.first"},
            "groups": {"expression": "claims.roles.split(',')"},
            "uid": {"claim": "sub"},
            "extra": [{"key": "example.org/tenant", "valueExpression": "claims.tenant"}],
        }),
    );
    jwt["claimValidationRules"] =
        json!([{"expression": "claims.exp - claims.iat <= 86400.0", "message": "too long"}]);
    jwt["userValidationRules"] = json!([
        {"expression": "!user.username.startsWith('o:system:')", "message": "reserved"},
        {"expression": "user.groups.all(g, g != 'masters')"},
    ]);
    write(&path, &[jwt]);
    let api = configured(&path).await;
    let now = jiff::Timestamp::now().as_second();
    let claims = |more: &Value| {
        let mut claims = issuer.claims(&json!({
            "name": {"first": "ann"}, "roles": "a,b", "tenant": "t", "iat": now,
        }));
        for (claim, value) in more.as_object().into_iter().flatten() {
            claims[claim] = value.clone();
        }
        key.sign(&claims)
    };
    let good = claims(&json!({}));
    assert_eq!(name(&api, &good).await, "o:ann");
    assert_eq!(
        who(&api, &good).await.ok()["status"]["userInfo"],
        json!({"username": "o:ann", "uid": "ann", "groups": ["a", "b", "system:authenticated"],
            "extra": {"example.org/tenant": ["t"]}})
    );
    for (change, message) in [
        (
            json!({"exp": now + 90_000}),
            "oidc: error evaluating claim validation expression: validation expression \
             'claims.exp - claims.iat <= 86400.0' failed: too long",
        ),
        (
            json!({"name": {"first": "system:x"}}),
            "oidc: error evaluating user info validation rule: validation expression \
             '!user.username.startsWith('o:system:')' failed: reserved",
        ),
        (
            json!({"roles": "masters"}),
            "oidc: error evaluating user info validation rule: validation expression \
             'user.groups.all(g, g != 'masters')' failed: ",
        ),
        (
            json!({"name": {}}),
            "oidc: error evaluating username claim expression: expression ''o:' + \
             claims.name.first' resulted in error: no such key: first",
        ),
        (
            json!({"tenant": {"a": 1}}),
            "oidc: error evaluating extra claim expression: claims.tenant: expression must return \
             a string or a list of strings",
        ),
    ] {
        assert_eq!(error(&api, &claims(&change)).await, message);
    }
}

#[tokio::test]
async fn new_keys_are_fetched_and_not_too_often() {
    let (old, new) = (Key::new("old"), Key::new("new"));
    let issuer = Issuer::start(&[&old]).await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config");
    write(&path, &[authenticator(&issuer, by_subject())]);
    let api = configured(&path).await;
    let token = |key: &Key| key.sign(&issuer.claims(&json!({})));
    assert_eq!(name(&api, &token(&old)).await, "o:ann");
    for _ in 0..20 {
        who(&api, &token(&old)).await.ok();
    }
    assert_eq!(issuer.fetched(), 1);
    issuer.serve_keys(&[&old, &new]);
    assert_eq!(who(&api, &token(&new)).await.code, 201);
    assert_eq!(issuer.fetched(), 2);
    // Whoever makes up keys does not make the server ask for each of them.
    for _ in 0..50 {
        who(&api, &token(&Key::new("made-up"))).await.fails(401);
    }
    assert!(issuer.fetched() <= 4, "{}", issuer.fetched());
    assert_eq!(who(&api, &token(&old)).await.code, 201);
}

#[tokio::test]
async fn a_hostile_issuer_costs_little() {
    let key = Key::new("a");
    let issuer = Issuer::start(&[]).await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config");
    for (head, body, message) in [
        (
            "HTTP/1.1 302 Found\r\nLocation: https://127.0.0.1:1/\r\n",
            Vec::new(),
            "redirects are not followed: 302 Found",
        ),
        ("HTTP/1.1 200 OK\r\n", vec![b' '; 3 << 20], "length limit exceeded"),
        ("HTTP/1.1 500 Oh\r\n", b"secret".to_vec(), "500 Internal Server Error"),
        ("HTTP/1.1 200 OK\r\n", b"<html>secret".to_vec(), "failed to decode keys"),
        (
            "HTTP/1.1 200 OK\r\n",
            json!({"keys": vec![json!({}); 101]}).to_string().into_bytes(),
            "the key set has more than 100 keys",
        ),
    ] {
        issuer.misbehave(head, body);
        write(&path, &[authenticator(&issuer, by_subject())]);
        let api = configured(&path).await;
        let token = key.sign(&issuer.claims(&json!({})));
        let mut found = error(&api, &token).await;
        while found == "oidc: authenticator not initialized" {
            tokio::time::sleep(Duration::from_millis(20)).await;
            found = error(&api, &token).await;
        }
        assert!(found.ends_with(message), "{found}");
        assert!(!found.contains("secret"), "{found}");
    }
}

#[tokio::test]
async fn the_file_is_read_again_when_it_changes() {
    let key = Key::new("a");
    let (first, second) = (Issuer::start(&[&key]).await, Issuer::start(&[&key]).await);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config");
    write(&path, &[authenticator(&first, by_subject())]);
    let api = configured(&path).await;
    let token = |issuer: &Issuer| key.sign(&issuer.claims(&json!({})));
    assert_eq!(name(&api, &token(&first)).await, "o:ann");
    assert_eq!(error(&api, &token(&second)).await, "invalid bearer token");

    let reloads = |status: &str| {
        let text = api.metrics().registry.scrape_text(None).body;
        let name = "apiserver_authentication_config_controller_automatic_reloads_total";
        let mut lines = text.lines().filter(|line| line.starts_with(name));
        let line = lines.find(|line| line.contains(&format!("status=\"{status}\"")));
        line.map_or(0, |line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap() as u64)
    };
    // A wrong file leaves all as it was.
    std::fs::write(&path, "kind: Nonsense").unwrap();
    while reloads("failure") == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(who(&api, &token(&first)).await.code, 201);
    let next = dir.path().join("next");
    let prefixed = json!({"username": {"claim": "sub", "prefix": "p:"}});
    write(&next, &[authenticator(&second, prefixed), authenticator(&first, by_subject())]);
    std::fs::rename(&next, &path).unwrap();
    assert_eq!(name(&api, &token(&second)).await, "p:ann");
    assert_eq!(reloads("success"), 1);
    write(&path, &[authenticator(&second, by_subject())]);
    while who(&api, &token(&first)).await.code.is_success() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(who(&api, &token(&second)).await.code, 201);
    // An issuer that says it is another never is in force.
    let liar = Issuer::silent().await;
    liar.speak("https://somebody-else");
    write(&path, &[authenticator(&liar, by_subject())]);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(who(&api, &token(&second)).await.code, 201);
}

//! Authenticators, from the outside.

use base64::{Engine, engine::general_purpose::STANDARD, engine::general_purpose::URL_SAFE_NO_PAD};
use http::Method;
use serde_json::{Value, json};

use super::harness::{Api, Ask};
use crate::{Authentication, RequestHeader, StartError};

const WHO: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";

fn who(api: &Api) -> Ask<'_> {
    api.ask(Method::POST, WHO).json(&json!({}))
}

fn user(review: &Value) -> &Value {
    &review["status"]["userInfo"]
}

#[tokio::test]
async fn static_tokens_are_known_by_their_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tokens.csv");
    std::fs::write(&path, "t1,ann,u1,\"system:masters,a\"\n").unwrap();
    let options = Authentication { token_file: Some(path), ..Authentication::default() };
    let api = Api::start_with(options).await;
    let review = who(&api).with_token("t1").send().await.ok();
    assert_eq!(
        *user(&review),
        json!({"username": "ann", "uid": "u1",
            "groups": ["system:masters", "a", "system:authenticated"]})
    );
    who(&api).with_token("t2").send().await.fails(401);
    // Another scheme is nobody's credentials.
    let basic = api.ask(Method::GET, "/version").unauthenticated();
    basic.header("authorization", "Basic dDE6").send().await.ok();
    // In the protocols of a WebSocket, beside another.
    let token = format!("base64url.bearer.authorization.k8s.io.{}", URL_SAFE_NO_PAD.encode("t1"));
    let socket = |protocols: &str| {
        let ask = api.ask(Method::GET, "/api/v1/namespaces").unauthenticated();
        ask.header("upgrade", "websocket").header("sec-websocket-protocol", protocols)
    };
    assert_ne!(socket(&format!("{token},v5.channel.k8s.io")).send().await.code, 401);
    socket(&token).send().await.fails(401);

    let review = json!({"spec": {"token": "t1", "audiences": ["elsewhere"]}});
    let uri = "/apis/authentication.k8s.io/v1/tokenreviews";
    assert_ne!(api.post(uri, &review).await.ok()["status"]["authenticated"], true);
    let review = json!({"spec": {"token": "t1", "audiences": ["https://issuer", "b"]}});
    let status = api.post(uri, &review).await.ok()["status"].clone();
    assert_eq!(status["audiences"], json!(["https://issuer"]));
}

#[tokio::test]
async fn bootstrap_tokens_are_known_where_they_are_enabled() {
    let secret = |id: &str| {
        let data = [
            ("token-id", id),
            ("token-secret", "0123456789abcdef"),
            ("usage-bootstrap-authentication", "true"),
            ("auth-extra-groups", "system:bootstrappers:workers"),
        ];
        let data: serde_json::Map<String, Value> = data
            .map(|(key, value)| (key.to_owned(), Value::from(STANDARD.encode(value))))
            .into_iter()
            .collect();
        json!({
            "type": "bootstrap.kubernetes.io/token", "data": data,
            "metadata": {"name": format!("bootstrap-token-{id}")},
        })
    };
    for enabled in [true, false] {
        let options = Authentication { bootstrap_tokens: enabled, ..Authentication::default() };
        let api = Api::start_with(options).await;
        api.post("/api/v1/namespaces/kube-system/secrets", &secret("abcdef")).await.ok();
        // In another namespace it is nobody's.
        api.post("/api/v1/namespaces/default/secrets", &secret("ghijkl")).await.ok();
        let found = who(&api).with_token("abcdef.0123456789abcdef").send().await;
        if enabled {
            let review = found.ok();
            assert_eq!(user(&review)["username"], "system:bootstrap:abcdef");
            assert_eq!(
                user(&review)["groups"],
                json!([
                    "system:bootstrappers",
                    "system:bootstrappers:workers",
                    "system:authenticated"
                ])
            );
        } else {
            found.fails(401);
        }
        for wrong in ["abcdef.0123456789abcdeg", "ghijkl.0123456789abcdef", "abcdef"] {
            who(&api).with_token(wrong).send().await.fails(401);
        }
    }
}

#[tokio::test]
async fn anonymous_requests_are_for_the_configured_paths() {
    let code = async |api: &Api, path: &str| {
        api.ask(Method::GET, path).unauthenticated().send().await.code.as_u16()
    };
    let open = Api::start().await;
    assert_eq!(code(&open, "/healthz").await, 200);
    assert_eq!(code(&open, "/api/v1/pods").await, 403);

    let closed = Authentication { anonymous_auth: Some(false), ..Authentication::default() };
    let closed = Api::start_with(closed).await;
    assert_eq!(code(&closed, "/healthz").await, 401);

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.yaml");
    let text = "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\n\
                anonymous: {enabled: true, conditions: [{path: /livez}, {path: /api/v1/pods}]}\n";
    std::fs::write(&path, text).unwrap();
    let options = Authentication { config_file: Some(path), ..Authentication::default() };
    let some = Api::start_with(options.clone()).await;
    let asked = [("/livez", 200), ("/api/v1/pods", 403), ("/healthz", 401), ("/livez/", 401)];
    for (path, wanted) in asked {
        assert_eq!(code(&some, path).await, wanted, "{path}");
    }

    let both = Authentication { anonymous_auth: Some(true), ..options };
    let why = Api::open(tempfile::tempdir().unwrap(), both).await.err().unwrap();
    assert!(matches!(why, StartError::Authentication(_)), "{why}");
    assert!(
        why.to_string().ends_with(
            "invalid authentication configuration: anonymous: Forbidden: --anonymous-auth flag \
             cannot be set when anonymous field is configured in authentication configuration file"
        ),
        "{why}"
    );
}

/// Options by which the holder of a certificate of `authority` may say who it is.
fn proxies(dir: &std::path::Path, authority: &str, allowed: &[&str]) -> Authentication {
    let path = dir.join("proxies.crt");
    std::fs::write(&path, authority).unwrap();
    let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Authentication {
        request_header: RequestHeader {
            client_ca_file: Some(path),
            allowed_names: own(allowed),
            username_headers: own(&["X-Remote-User", "X-Forwarded-User"]),
            uid_headers: own(&["X-Remote-Uid"]),
            group_headers: own(&["X-Remote-Group", "X-Groups"]),
            extra_headers_prefix: own(&["X-Remote-Extra-"]),
        },
        ..Authentication::default()
    }
}

#[tokio::test]
async fn a_front_proxy_says_who_asks_and_nobody_else_does() {
    let dir = tempfile::tempdir().unwrap();
    let authority = pki::Authority::open(dir.path(), "ca").unwrap();
    let issue =
        |name: &str| authority.issue(&pki::Subject { name, ..pki::Subject::default() }).unwrap();
    let api = Api::start_with(proxies(dir.path(), authority.cert(), &["proxy"])).await;
    let headers = [
        ("X-Forwarded-User", "ann"),
        ("X-Remote-Uid", "u"),
        ("X-Groups", "b"),
        ("X-Remote-Group", "a"),
        ("X-Remote-Extra-Example.org%2fScope", "s"),
    ];
    let ask = || headers.iter().fold(who(&api).unauthenticated(), |ask, (n, v)| ask.header(n, v));
    let review = ask().presenting(&issue("proxy")).send().await.ok();
    assert_eq!(
        *user(&review),
        json!({"username": "ann", "uid": "u", "groups": ["a", "b", "system:authenticated"],
            "extra": {"example.org/scope": ["s"]}})
    );
    // A proxy of another name, one that names nobody, and a user who would be another.
    ask().presenting(&issue("other")).send().await.fails(401);
    who(&api).unauthenticated().presenting(&issue("proxy")).send().await.fails(401);
    let review = ask().presenting(&api.issue("eve", "")).send().await.ok();
    assert_eq!(user(&review)["username"], "eve");
    ask().send().await.fails(403);

    let own = Api::start().await.authority();
    for (authority, allowed, works) in
        [(own.as_str(), &["a"][..], true), (authority.cert(), &[], true), ("", &["a"], false)]
    {
        let options = proxies(dir.path(), authority, allowed);
        let opened = Api::open(tempfile::tempdir().unwrap(), options).await;
        assert_eq!(opened.is_ok(), works);
    }
}

#[tokio::test]
async fn a_certificate_of_nobody_is_refused_and_a_token_beside_it_counts() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tokens.csv");
    std::fs::write(&path, "t1,ann,u1\n").unwrap();
    let options = Authentication { token_file: Some(path), ..Authentication::default() };
    let api = Api::start_with(options).await;
    let strange = pki::Authority::open(dir.path(), "ca").unwrap();
    let subject = pki::Subject { name: "root", group: "system:masters", ..pki::Subject::default() };
    let strange = strange.issue(&subject).unwrap();
    who(&api).unauthenticated().presenting(&strange).send().await.fails(401);
    let review = who(&api).with_token("t1").presenting(&strange).send().await.ok();
    assert_eq!(user(&review)["username"], "ann");
}

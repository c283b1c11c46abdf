//! A webhook that knows tokens, and authorities that change.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use super::harness::{Api, Ask};
use super::peer::{Peer, Reply};
use crate::{Authentication, TokenWebhookOptions};

const WHO: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
const REVIEWS: &str = "/apis/authentication.k8s.io/v1/tokenreviews";
const GENEROUS: Duration = Duration::from_secs(20);

fn who(api: &Api) -> Ask<'_> {
    api.ask(Method::POST, WHO).json(&json!({}))
}

async fn api_with(peer: &Peer, version: &str, ttl: u64) -> Api {
    let webhook = TokenWebhookOptions {
        config_file: peer.kubeconfig(),
        version: version.to_owned(),
        cache_ttl: Duration::from_secs(ttl),
    };
    let dir = tempfile::tempdir().unwrap();
    let tokens = dir.path().join("tokens.csv");
    std::fs::write(&tokens, "static,sam,s\n").unwrap();
    let options = Authentication {
        token_webhook: Some(webhook),
        token_file: Some(tokens),
        ..Authentication::default()
    };
    Api::start_with(options).await
}

fn good(name: &str) -> Value {
    json!({"authenticated": true, "audiences": null, "error": null, "user": {"username": name, "uid": "u", "groups": ["g"],
        "extra": {"e": ["1", "2"]}}})
}

#[tokio::test]
async fn a_webhook_knows_tokens_that_nobody_else_does() {
    let peer = Peer::start(|spec| match spec["token"].as_str() {
        Some("good") => Reply::Status(good("wendy")),
        Some("elsewhere") => {
            let mut status = good("wendy");
            status["audiences"] = json!(["elsewhere"]);
            Reply::Status(status)
        }
        Some("nameless") => Reply::Status(good("")),
        Some("odd") => Reply::Status(json!({"authenticated": false, "error": "odd"})),
        _ => Reply::Status(json!({"authenticated": false})),
    })
    .await;
    let api = api_with(&peer, "v1beta1", 120).await;
    let review = who(&api).with_token("good").send().await.ok();
    assert_eq!(
        review["status"]["userInfo"],
        json!({"username": "wendy", "uid": "u", "groups": ["g", "system:authenticated"],
            "extra": {"e": ["1", "2"]}})
    );
    let asked = peer.asked().pop().unwrap();
    assert_eq!(asked["apiVersion"], "authentication.k8s.io/v1beta1");
    assert_eq!(asked["spec"], json!({"token": "good", "audiences": ["https://issuer"]}));
    for bad in ["bad", "elsewhere", "nameless", "odd"] {
        who(&api).with_token(bad).send().await.fails(401);
    }
    let asked = peer.asked().len();
    for token in ["good", "bad", "elsewhere"] {
        who(&api).with_token(token).send().await;
    }
    assert_eq!(peer.asked().len(), asked, "what it said is believed for a while");
    who(&api).with_token("odd").send().await.fails(401);
    assert_eq!(peer.asked().len(), asked + 1, "an error is not kept");

    let review = async |token: &str, audiences: &[&str]| {
        let review = json!({"spec": {"token": token, "audiences": audiences}});
        api.post(REVIEWS, &review).await.ok()["status"].clone()
    };
    let status = review("elsewhere", &["elsewhere", "x"]).await;
    assert_eq!(
        (&status["authenticated"], &status["audiences"]),
        (&json!(true), &json!(["elsewhere"]))
    );
    assert_ne!(review("good", &["x"]).await["authenticated"], true);
    assert_eq!(review("odd", &[]).await["error"], "odd");
}

#[tokio::test]
async fn a_token_that_is_known_here_is_never_sent() {
    let peer = Peer::start(|_| Reply::Status(good("thief"))).await;
    let api = api_with(&peer, "v1", 0).await;
    who(&api).with_token("static").send().await.ok();
    let request = json!({"spec": {"expirationSeconds": 600}});
    let path = "/api/v1/namespaces/default/serviceaccounts/default/token";
    let token = api.post(path, &request).await.ok()["status"]["token"].clone();
    let token = token.as_str().unwrap();
    who(&api).with_token(token).send().await.ok();
    // Of this cluster, for another audience; with another signature; of an account that is gone.
    let review = json!({"spec": {"token": token, "audiences": ["elsewhere"]}});
    assert_ne!(api.post(REVIEWS, &review).await.ok()["status"]["authenticated"], true);
    let forged = format!("{}{}", &token[..token.len() - 8], "AAAAAAAA");
    who(&api).with_token(&forged).send().await.fails(401);
    api.delete("/api/v1/namespaces/default/serviceaccounts/default").await.ok();
    who(&api).with_token(token).send().await.fails(401);
    // Nor one that no honest client has.
    let huge = "x".repeat(65 << 10);
    let review = json!({"spec": {"token": huge}});
    let status = api.post(REVIEWS, &review).await.ok()["status"].clone();
    assert_eq!(status["error"], "the token is too long");
    who(&api).with_token(&huge).send().await.fails(401);
    assert!(peer.asked().is_empty());
}

#[tokio::test]
async fn one_token_is_asked_about_once_at_a_time() {
    let peer = Peer::start(|_| Reply::Hang).await;
    let api = api_with(&peer, "v1", 0).await;
    let waits = || who(&api).with_token("t").send();
    let all = futures::future::join_all((0..50).map(|_| waits()));
    let _ = tokio::time::timeout(Duration::from_millis(500), all).await;
    assert_eq!(peer.asked().len(), 1);
    // When all have left, nothing is held by the question.
    peer.act(|_| Reply::Status(good("wendy")));
    waits().await.ok();
    assert_eq!(peer.asked().len(), 2);
}

#[tokio::test]
async fn a_webhook_that_misbehaves_authenticates_nobody() {
    let peer = Peer::start(|_| Reply::Moved).await;
    let api = api_with(&peer, "v1", 120).await;
    for (count, reply) in [
        Reply::Moved,
        Reply::Raw(200, "{".to_owned()),
        Reply::Raw(200, r#"{"kind":"TokenReview","apiVersion":"x/v1","status":{}}"#.to_owned()),
        Reply::Raw(200, "x".repeat(10 << 20)),
        Reply::Raw(201, json!({"status": {"authenticated": "yes"}}).to_string()),
    ]
    .into_iter()
    .enumerate()
    {
        peer.act(move |_| reply.clone());
        let answer = tokio::time::timeout(GENEROUS, who(&api).with_token("t").send()).await;
        answer.unwrap().fails(401);
        assert_eq!(peer.asked().len(), count + 1);
    }
    peer.act(|_| Reply::Status(good("wendy")));
    who(&api).with_token("t").send().await.ok();
}

/// The authority of users and of proxies, in files that change.
#[tokio::test]
async fn authorities_are_read_again_and_what_is_broken_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let open = |name: &str| pki::Authority::open(&dir.path().join(name), "ca").unwrap();
    let (first, second, proxy) = (open("first"), open("second"), open("proxy"));
    let users = dir.path().join("users.crt");
    let proxies = dir.path().join("proxies.crt");
    std::fs::write(&users, first.cert()).unwrap();
    std::fs::write(&proxies, proxy.cert()).unwrap();
    let mut options = Authentication {
        client_ca_file: Some(users.clone()),
        anonymous_auth: Some(false),
        ..Authentication::default()
    };
    options.request_header.client_ca_file = Some(proxies.clone());
    options.request_header.username_headers = vec!["X-Remote-User".to_owned()];
    let api = Api::start_with(options).await;
    let issue = |authority: &pki::Authority| {
        authority.issue(&pki::Subject { name: "una", ..Default::default() }).unwrap()
    };
    let code = async |issued: &pki::Issued| {
        let ask = who(&api).unauthenticated().presenting(issued);
        ask.header("x-remote-user", "ulf").send().await
    };
    let until = async |issued: &pki::Issued, wanted: u16| {
        let waited = tokio::time::timeout(GENEROUS, async {
            while code(issued).await.code != wanted {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        waited.await.expect("it is read");
    };
    let (one, two, of_proxy) = (issue(&first), issue(&second), issue(&proxy));
    let own = api.issue("una", "");
    code(&one).await.ok();
    code(&two).await.fails(401);
    code(&own).await.ok();
    let user = |review: Value| review["status"]["userInfo"]["username"].clone();
    assert_eq!(user(code(&of_proxy).await.ok()), "ulf");

    std::fs::write(&users, second.cert()).unwrap();
    until(&two, 201).await;
    code(&one).await.fails(401);
    // The cluster's own authority counts in any case.
    code(&own).await.ok();
    let map = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication";
    let waited = tokio::time::timeout(GENEROUS, async {
        loop {
            let map = api.get(map).await.ok();
            if map["data"]["client-ca-file"].as_str().unwrap().contains(second.cert().trim()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    waited.await.expect("it is published");
    // Broken files, and one by which every user could be a proxy.
    for broken in ["", "nonsense", "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"]
    {
        std::fs::write(&users, broken).unwrap();
        std::fs::write(&proxies, broken).unwrap();
    }
    std::fs::write(&proxies, second.cert()).unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    code(&two).await.ok();
    assert_eq!(user(code(&two).await.ok()), "una");
    assert_eq!(user(code(&of_proxy).await.ok()), "ulf");
    std::fs::write(&users, first.cert()).unwrap();
    until(&one, 201).await;
    until(&two, 201).await;
    assert_eq!(user(code(&two).await.ok()), "ulf", "it is a proxy's authority now");
}

//! Tokens held by Secrets.

use apimachinery::ObjectExt;
use base64::{Engine, engine::general_purpose::STANDARD};
use http::Method;
use serde_json::{Value, json};

use super::harness::{Api, Watch};

const SECRETS: &str = "/api/v1/namespaces/default/secrets";

/// Creates an account and its token, as the controller does.
async fn token(api: &Api) -> String {
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    let account = api.post(accounts, &json!({"metadata": {"name": "robot"}})).await.ok();
    let claims = pki::SecretClaims::new("default", "t", "robot", account.uid());
    let token = api.signer().sign_secret(&claims).unwrap();
    let secret = json!({
        "type": "kubernetes.io/service-account-token",
        "metadata": {"name": "t", "annotations": {
            "kubernetes.io/service-account.name": "robot",
            "kubernetes.io/service-account.uid": account.uid(),
        }},
        "data": {"token": STANDARD.encode(&token)},
    });
    api.post(SECRETS, &secret).await.ok();
    token
}

async fn review(api: &Api, token: &str, audiences: &[&str]) -> Value {
    let review = json!({"spec": {"token": token, "audiences": audiences}});
    let uri = "/apis/authentication.k8s.io/v1/tokenreviews";
    api.post(uri, &review).await.ok()["status"].clone()
}

#[tokio::test]
async fn they_are_good_while_secret_and_account_are() {
    let api = Api::start().await;
    let token = token(&api).await;
    let good = review(&api, &token, &[]).await;
    assert_eq!(good["authenticated"], true, "{good}");
    assert_eq!(good["user"]["username"], "system:serviceaccount:default:robot");
    let other = review(&api, &token, &["elsewhere"]).await;
    assert_ne!(other["authenticated"], true, "{other}");

    let merge = "application/merge-patch+json";
    let one = format!("{SECRETS}/t");
    // The day of its use is recorded.
    let mut watch = Watch::open(&api, &format!("{SECRETS}?watch=1")).await;
    while watch.event().await["object"].label("kubernetes.io/legacy-token-last-used").is_none() {}
    let label = |value: Value| json!({"metadata": {"labels": {"kubernetes.io/legacy-token-invalid-since": value}}});
    api.patch(&one, merge, &label(json!("2024-01-01"))).await.ok();
    let invalid = review(&api, &token, &[]).await;
    assert!(invalid["error"].as_str().unwrap().contains("has been marked invalid"), "{invalid}");
    api.patch(&one, merge, &label(json!(null))).await.ok();
    assert_eq!(review(&api, &token, &[]).await["authenticated"], true);
    let changed = json!({"data": {"token": STANDARD.encode("other")}});
    api.patch(&one, merge, &changed).await.ok();
    assert_ne!(review(&api, &token, &[]).await["authenticated"], true);
    api.ask(Method::DELETE, &one).send().await.ok();
    assert_ne!(review(&api, &token, &[]).await["authenticated"], true);
    let tracking = "kube-apiserver-legacy-service-account-token-tracking";
    let map = api.get(&format!("/api/v1/namespaces/kube-system/configmaps/{tracking}")).await.ok();
    assert!(map["data"]["since"].is_string());
}

//! Tokens of service accounts.

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Method;
use serde_json::{Value, json};

use crate::api::{SERVICE_ACCOUNT, TOKEN_REVIEW};
use crate::case::{Case, case, pod_case};
use crate::test::{Test, expect_eq};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(
            "[sig-auth] ServiceAccounts should create a serviceAccountToken and ensure a successful \
             TokenReview [Conformance]",
            reviewed,
        ),
        case(
            "[sig-auth] ServiceAccounts ServiceAccountIssuerDiscovery should support OIDC discovery of \
             service account issuer [Conformance]",
            issuer,
        ),
        pod_case(
            "[sig-auth] ServiceAccounts no secret-based service account token should be auto-generated",
            no_secret,
        ),
        case(
            "[sig-auth] ServiceAccounts should not accept a token after its account is deleted",
            deleted,
        ),
        case(
            "[sig-auth] ServiceAccounts should not accept a token for another audience or a forged one",
            forged,
        ),
    ]
}

/// The claims of a token, unverified.
pub(super) fn claims(token: &str) -> Result<Value> {
    let middle = token.split('.').nth(1).context("a token without claims")?;
    Ok(serde_json::from_slice(&URL_SAFE_NO_PAD.decode(middle)?)?)
}

async fn token(test: &Test, account: &str, spec: Value) -> Result<String> {
    let accounts = test.of(&SERVICE_ACCOUNT);
    accounts.create(json!({"metadata": {"name": account}})).await?;
    let request =
        json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec});
    let made = accounts.post(&format!("{account}/token"), &request).await?;
    let token = made["status"]["token"].as_str().context("no token")?;
    anyhow::ensure!(made["status"]["expirationTimestamp"].is_string(), "no expiration: {made}");
    Ok(token.to_owned())
}

async fn review(test: &Test, spec: Value) -> Result<Value> {
    let made = test.cluster.all(&TOKEN_REVIEW).create(json!({"spec": spec})).await?;
    Ok(made["status"].clone())
}

async fn reviewed(test: Test) -> Result<()> {
    let token = token(&test, "reviewed", json!({"expirationSeconds": 3600})).await?;
    let status = review(&test, json!({"token": token})).await?;
    expect_eq("authenticated", &status["authenticated"], &json!(true))?;
    let name = format!("system:serviceaccount:{}:reviewed", test.namespace);
    expect_eq("the user", &status["user"]["username"], &json!(name))?;
    let groups = status["user"]["groups"].as_array().cloned().unwrap_or_default();
    let own = format!("system:serviceaccounts:{}", test.namespace);
    for group in ["system:serviceaccounts", &own, "system:authenticated"] {
        anyhow::ensure!(groups.contains(&json!(group)), "{group} is not among {groups:?}");
    }
    Ok(())
}

async fn issuer(test: Test) -> Result<()> {
    let token = token(&test, "issued", json!({})).await?;
    let issuer = claims(&token)?["iss"].clone();
    let document = test.cluster.get("/.well-known/openid-configuration").await?.object()?;
    expect_eq("the issuer", &document["issuer"], &issuer)?;
    for (field, value) in
        [("response_types_supported", "id_token"), ("subject_types_supported", "public")]
    {
        expect_eq(field, &document[field], &json!([value]))?;
    }
    let keys = test.cluster.get("/openid/v1/jwks").await?.object()?;
    let header = token.split('.').next().context("no header")?;
    let header: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header)?)?;
    let mut known = keys["keys"].as_array().into_iter().flatten();
    let key = known.find(|key| key["kid"] == header["kid"]);
    let key = key.with_context(|| format!("the key {} is not published", header["kid"]))?;
    expect_eq("its use", &key["use"], &json!("sig"))?;
    expect_eq("its algorithm", &key["alg"], &header["alg"])
}

async fn no_secret(test: Test) -> Result<()> {
    let accounts = test.of(&SERVICE_ACCOUNT);
    accounts.create(json!({"metadata": {"name": "plain"}})).await?;
    let spec = json!({"serviceAccountName": "plain", "containers": [test.pause("c")]});
    test.start(test.pod("p", spec)).await?;
    let account = accounts.get("plain").await?;
    expect_eq("its secrets", &account["secrets"], &Value::Null)?;
    let secrets = test.of(&crate::api::SECRET).items("").await?;
    expect_eq("the secrets there are", &json!(secrets), &json!([]))
}

async fn deleted(test: Test) -> Result<()> {
    let token = token(&test, "going", json!({})).await?;
    let holder = test.cluster.as_bearer(Some(&token))?;
    let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let body = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let before = holder.call(Method::POST, path, Some(&body)).await?;
    expect_eq("the status before", &json!(before.code), &json!(201))?;
    test.of(&SERVICE_ACCOUNT).delete("going").await?;
    let until = tokio::time::Instant::now() + std::time::Duration::from_secs(60);
    // Servers may remember a token for a few seconds.
    loop {
        let after = holder.call(Method::POST, path, Some(&body)).await?;
        if after.code == 401 {
            return Ok(());
        }
        anyhow::ensure!(
            tokio::time::Instant::now() < until,
            "the token is still accepted after 60 s"
        );
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    }
}

async fn forged(test: Test) -> Result<()> {
    let token = token(&test, "holder", json!({"audiences": ["somebody-else"]})).await?;
    let ours = review(&test, json!({"token": token})).await?;
    expect_eq("authenticated here", &json!(ours["authenticated"] == true), &json!(false))?;
    let theirs = review(&test, json!({"token": token, "audiences": ["somebody-else"]})).await?;
    expect_eq("authenticated there", &theirs["authenticated"], &json!(true))?;
    expect_eq("the audiences", &theirs["audiences"], &json!(["somebody-else"]))?;
    let holder = test.cluster.as_bearer(Some(&token))?;
    let answer = holder.call(Method::GET, "/api/v1/namespaces", None).await?;
    expect_eq("the status with it", &json!(answer.code), &json!(401))?;
    let (body, _) = token.rsplit_once('.').context("no signature")?;
    let forged = format!("{body}.{}", URL_SAFE_NO_PAD.encode([7_u8; 256]));
    let status = review(&test, json!({"token": forged, "audiences": ["somebody-else"]})).await?;
    expect_eq("authenticated when forged", &json!(status["authenticated"] == true), &json!(false))
}

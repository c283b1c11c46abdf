//! Certificate signing requests.

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::api::{CERTIFICATE_SIGNING_REQUEST, Patch, expect_refusal};
use crate::case::{Case, case};
use crate::test::{Test, condition, expect_eq, name};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(
            "[sig-auth] Certificates API [Privileged:ClusterAdmin] should support CSR API operations \
             [Conformance]",
            operations,
        ),
        case(
            "[sig-auth] Certificates API [Privileged:ClusterAdmin] should support building a client with a \
             CSR",
            signed,
        ),
    ]
}

/// A request for a client's certificate with its key.
fn request(user: &str) -> Result<(String, String)> {
    let key = rcgen::KeyPair::generate()?;
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, user);
    Ok((STANDARD.encode(params.serialize_request(&key)?.pem()?), key.serialize_pem()))
}

fn object(test: &Test, request: &str, signer: &str) -> Value {
    json!({"metadata": {"name": test.unique("csr")}, "spec": {
        "request": request, "signerName": signer, "expirationSeconds": 3600,
        "usages": ["digital signature", "client auth"],
    }})
}

async fn operations(test: Test) -> Result<()> {
    let csrs = test.cluster.all(&CERTIFICATE_SIGNING_REQUEST);
    let made = csrs.create(object(&test, &request("e2e")?.0, "example.com/e2e")).await?;
    let csr = name(&made).to_owned();
    anyhow::ensure!(made["spec"]["username"].is_string(), "the asker is not recorded: {made}");
    let label = json!({"metadata": {"labels": {"stage": "patched"}}});
    csrs.patch(&csr, Patch::Merge, label).await?;
    let approve = |csr: &mut Value| {
        csr["status"]["conditions"] = json!([{"type": "Approved", "status": "True",
            "reason": "E2E", "message": "Set from an e2e test"}]);
    };
    let plain = csrs.change(&csr, approve).await?;
    expect_eq("an approval by a plain write", &condition(&plain, "Approved"), &Value::Null)?;
    let approved = csrs.change(&format!("{csr}/approval"), approve).await?;
    expect_eq("the approval", &condition(&approved, "Approved")["reason"], &json!("E2E"))?;
    // The approval has its time; it is kept as it is.
    let told = json!({"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "m"});
    let push = |csr: &mut Value| {
        if let Some(conditions) = csr["status"]["conditions"].as_array_mut() {
            conditions.push(told.clone());
        }
    };
    let patched = csrs.change(&format!("{csr}/status"), push).await?;
    expect_eq("the condition", &condition(&patched, "StatusUpdate")["status"], &json!("True"))?;
    let listed = csrs.items("labelSelector=stage=patched").await?;
    expect_eq(
        "the requests of the label",
        &json!(listed.iter().map(name).collect::<Vec<_>>()),
        &json!([csr]),
    )?;
    csrs.delete_all("labelSelector=stage=patched").await?;
    csrs.wait_gone(&csr).await?;
    let bad = csrs.create(object(&test, &STANDARD.encode("no request"), "example.com/e2e")).await;
    expect_refusal(bad, 422, "Invalid").map(drop)
}

async fn signed(test: Test) -> Result<()> {
    let csrs = test.cluster.all(&CERTIFICATE_SIGNING_REQUEST);
    let signer = "kubernetes.io/kube-apiserver-client";
    let (request, key) = request("e2e-user")?;
    let made = csrs.create(object(&test, &request, signer)).await?;
    let csr = name(&made).to_owned();
    let approve = |csr: &mut Value| {
        csr["status"]["conditions"] =
            json!([{"type": "Approved", "status": "True", "reason": "E2E", "message": "m"}]);
    };
    csrs.change(&format!("{csr}/approval"), approve).await?;
    let issued = |csr: &Value| csr["status"]["certificate"].is_string();
    let issued = csrs.wait(&csr, "to be signed", issued).await?;
    let certificate = issued["status"]["certificate"].as_str().context("no certificate")?;
    let user = test.cluster.as_certificate(certificate, &STANDARD.encode(key))?;
    let told = user.all(&crate::api::SELF_SUBJECT_REVIEW).create(json!({})).await?;
    expect_eq("the user", &told["status"]["userInfo"]["username"], &json!("e2e-user"))
}

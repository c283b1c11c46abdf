//! Service accounts and what pods get of them.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::api::{CONFIG_MAP, Patch, SERVICE_ACCOUNT};
use crate::case::{Case, case, pod_case};
use crate::cases::lifecycle::{Life, life_case};
use crate::test::{Test, expect_eq, expect_in};

const MOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

pub(super) fn cases() -> Vec<Case> {
    let title = |rest: &str| format!("[sig-auth] ServiceAccounts should {rest} [Conformance]");
    vec![
        pod_case(&title("mount an API token into pods"), mounted),
        pod_case(&title("allow opting out of API token automount"), opting_out),
        pod_case(&title("mount projected service account token"), projected),
        life_case(
            &title("run through the lifecycle of a ServiceAccount"),
            Life {
                kind: SERVICE_ACCOUNT,
                object: json!({"automountServiceAccountToken": true}),
                change: json!({"automountServiceAccountToken": false}),
                status: None,
            },
        ),
        case(&title("update a ServiceAccount"), update),
        case(&title("guarantee kube-root-ca.crt exist in any namespace"), root_ca),
        pod_case(
            "[sig-auth] ServiceAccounts should set ownership and permission when RunAsUser or FsGroup is present",
            ownership,
        ),
    ]
}

async fn account(test: &Test, name: &str, automount: Option<bool>) -> Result<()> {
    let mut object = json!({"metadata": {"name": name}});
    if let Some(automount) = automount {
        object["automountServiceAccountToken"] = automount.into();
    }
    test.of(&SERVICE_ACCOUNT).create(object).await.map(drop)
}

async fn mounted(test: Test) -> Result<()> {
    account(&test, "reader", None).await?;
    let steps = [
        format!("cat {MOUNT}/namespace"),
        format!("cat {MOUNT}/ca.crt"),
        format!("cat {MOUNT}/token"),
    ];
    let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
    let log = test.output(json!({"serviceAccountName": "reader"}), &steps).await?;
    let token = log.lines().next_back().context("no token")?;
    let who = test.cluster.as_bearer(Some(token))?;
    let review = json!({});
    let told = who.all(&crate::api::SELF_SUBJECT_REVIEW).create(review).await?;
    let expected = format!("system:serviceaccount:{}:reader", test.namespace);
    expect_eq("whose token it is", &told["status"]["userInfo"]["username"], &json!(expected))?;
    expect_in("the namespace file", &log, &format!("{}\n", test.namespace))?;
    let root = test.of(&CONFIG_MAP).get("kube-root-ca.crt").await?;
    let root = root["data"]["ca.crt"].as_str().context("no ca.crt")?;
    expect_in("the authority's file", &log, root.trim())
}

async fn opting_out(test: Test) -> Result<()> {
    account(&test, "mount", Some(true)).await?;
    account(&test, "nomount", Some(false)).await?;
    for (account, pod, expected) in [
        ("mount", None, true),
        ("mount", Some(true), true),
        ("mount", Some(false), false),
        ("nomount", None, false),
        ("nomount", Some(true), true),
        ("nomount", Some(false), false),
    ] {
        let mut spec = json!({"serviceAccountName": account, "containers": [{}],
            "schedulingGates": [{"name": "example.com/never"}]});
        if let Some(pod) = pod {
            spec["automountServiceAccountToken"] = pod.into();
        }
        let name = test.unique("pod");
        let made = test.pods().create(test.pod(&name, spec)).await?;
        let mounts = made["spec"]["containers"][0]["volumeMounts"].as_array();
        let mounts = mounts.into_iter().flatten().any(|mount| mount["mountPath"] == MOUNT);
        let what = format!("the mount with account {account} and pod {pod:?}");
        expect_eq(&what, &json!(mounts), &json!(expected))?;
    }
    let gone = format!("missing {MOUNT}");
    let spec = json!({"serviceAccountName": "nomount"});
    test.output(spec, &[&gone]).await.map(drop)
}

async fn projected(test: Test) -> Result<()> {
    let token = json!({"path": "token", "audience": "me", "expirationSeconds": 3600});
    let spec = json!({
        "volumes": [{"name": "v", "projected": {"sources": [{"serviceAccountToken": token}]}}],
        "containers": [{"volumeMounts": [{"name": "v", "mountPath": "/v"}]}],
    });
    let log = test.output(spec, &["cat /v/token"]).await?;
    let claims = super::tokens::claims(log.trim())?;
    expect_eq("the audience", &claims["aud"], &json!(["me"]))?;
    let seconds = claims["exp"].as_u64().unwrap_or(0) - claims["iat"].as_u64().unwrap_or(0);
    expect_eq("its life", &json!(seconds), &json!(3600))?;
    let pod = test.pods().items("").await?.pop().context("no pod")?;
    let bound = &claims["kubernetes.io"]["pod"]["uid"];
    expect_eq("the pod that it is bound to", bound, &pod["metadata"]["uid"])
}

async fn update(test: Test) -> Result<()> {
    account(&test, "a", None).await?;
    let accounts = test.of(&SERVICE_ACCOUNT);
    let change = |account: &mut Value| account["automountServiceAccountToken"] = false.into();
    let updated = accounts.change("a", change).await?;
    expect_eq("the answer", &updated["automountServiceAccountToken"], &json!(false))?;
    let read = accounts.get("a").await?;
    expect_eq("what is read", &read["automountServiceAccountToken"], &json!(false))
}

async fn root_ca(test: Test) -> Result<()> {
    let maps = test.of(&CONFIG_MAP);
    let whole =
        |map: &Value| map["data"]["ca.crt"].as_str().is_some_and(|s| s.contains("BEGIN CERT"));
    let first = maps.wait("kube-root-ca.crt", "to have the authority", whole).await?;
    maps.delete("kube-root-ca.crt").await?;
    let uid = &first["metadata"]["uid"];
    let again = |map: &Value| map["metadata"]["uid"] != *uid && whole(map);
    maps.wait("kube-root-ca.crt", "to be made again", again).await?;
    maps.patch("kube-root-ca.crt", Patch::Merge, json!({"data": {"ca.crt": "wrong"}})).await?;
    maps.wait("kube-root-ca.crt", "to be set right", whole).await.map(drop)
}

async fn ownership(test: Test) -> Result<()> {
    let file = format!("stat {MOUNT}/token");
    for (context, expected) in [
        (json!({}), "mode=0644 uid=0 gid=0"),
        (json!({"runAsUser": 1000}), "mode=0600 uid=1000 gid=0"),
        (json!({"fsGroup": 10_000}), "mode=0640 uid=0 gid=10000"),
    ] {
        let log = test.output(json!({"securityContext": context}), &[&file]).await?;
        expect_in(&format!("the token with {context}"), &log, expected)?;
    }
    Ok(())
}

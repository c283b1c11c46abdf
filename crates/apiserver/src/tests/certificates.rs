//! Attack: certificates for other identities.

use apimachinery::ObjectExt;
use base64::Engine;
use http::Method;
use serde_json::{Value, json};

use super::harness::{Answer, Api};
use crate::User;

const REQUESTS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
const MERGE: &str = "application/merge-patch+json";

/// A CertificateSigningRequest for a subject.
fn request(name: &str, signer: &str, user: &str, group: &str) -> Value {
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, user);
    if !group.is_empty() {
        params.distinguished_name.push(DnType::OrganizationName, group);
    }
    let key = KeyPair::generate().unwrap();
    let pem = params.serialize_request(&key).unwrap().pem().unwrap();
    let usages = json!(["digital signature", "key encipherment", "client auth"]);
    json!({"metadata": {"name": name}, "spec": {
        "request": base64::engine::general_purpose::STANDARD.encode(pem),
        "signerName": signer, "usages": usages,
        "username": "kubernetes-admin", "groups": ["system:masters"], "uid": "forged",
    }})
}

async fn ask(api: &Api, user: &User, method: Method, path: &str, body: &Value) -> Answer {
    let media = if method == Method::PATCH { MERGE } else { "application/json" };
    let ask = api.ask(method, path).by(user.clone()).header("content-type", media);
    ask.body(body.to_string()).send().await
}

/// Lets users write all parts of requests, and one of them approve a domain's signers.
async fn scene() -> Api {
    let api = Api::start().await;
    let roles = format!("{RBAC}/clusterroles");
    let writer = json!({"metadata": {"name": "writer"}, "rules": [{
        "apiGroups": ["certificates.k8s.io"], "verbs": ["create", "get", "update", "patch"],
        "resources": ["certificatesigningrequests", "certificatesigningrequests/approval",
            "certificatesigningrequests/status"]}]});
    let decider = json!({"metadata": {"name": "decider"}, "rules": [{
        "apiGroups": ["certificates.k8s.io"], "verbs": ["approve", "sign"],
        "resources": ["signers"], "resourceNames": ["example.com/*"]}]});
    api.post(&roles, &writer).await.ok();
    api.post(&roles, &decider).await.ok();
    let subject =
        |name: &str| json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name});
    for (role, users) in
        [("writer", vec!["eve", "approver", "system:node:n1"]), ("decider", vec!["approver"])]
    {
        let binding = json!({"metadata": {"name": role},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": users.into_iter().map(subject).collect::<Vec<_>>()});
        api.post(&format!("{RBAC}/clusterrolebindings"), &binding).await.ok();
    }
    api
}

#[tokio::test]
async fn a_request_speaks_for_its_author() {
    let api = scene().await;
    let eve = User::new("eve", &["staff"]);
    let signer = "kubernetes.io/kube-apiserver-client";
    let made = request("a", signer, "eve", "staff");
    let made = ask(&api, &eve, Method::POST, REQUESTS, &made).await.ok();
    assert_eq!(made["spec"]["username"], "eve");
    assert_eq!(made["spec"]["groups"], json!(["staff", "system:authenticated"]));
    assert_ne!(made["spec"]["uid"], "forged");
    let patch = json!({"spec": {"username": "kubernetes-admin"}});
    let patched = ask(&api, &eve, Method::PATCH, &format!("{REQUESTS}/a"), &patch).await;
    if patched.code.is_success() {
        assert_eq!(patched.json()["spec"]["username"], "eve");
    }
    let masters = request("b", signer, "eve", "system:masters");
    let refused = ask(&api, &eve, Method::POST, REQUESTS, &masters).await.fails(403);
    let why = "use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed";
    assert!(refused["message"].as_str().unwrap().ends_with(why), "{refused}");
}

#[tokio::test]
async fn a_node_asks_for_itself() {
    let api = scene().await;
    let node = User::new("system:node:n1", &["system:nodes"]);
    for signer in ["kubernetes.io/kube-apiserver-client-kubelet", "kubernetes.io/kubelet-serving"] {
        let other = request("x", signer, "system:node:n2", "system:nodes");
        let refused = ask(&api, &node, Method::POST, REQUESTS, &other).await.fails(403);
        let why = "can only create a node CSR with CN=system:node:n1";
        assert!(refused["message"].as_str().unwrap().ends_with(why), "{refused}");
    }
    let own = request(
        "own",
        "kubernetes.io/kube-apiserver-client-kubelet",
        "system:node:n1",
        "system:nodes",
    );
    ask(&api, &node, Method::POST, REQUESTS, &own).await.ok();
}

#[tokio::test]
async fn only_who_may_decide_approves_and_signs() {
    let api = scene().await;
    let (eve, approver) = (User::new("eve", &[]), User::new("approver", &[]));
    let made = request("a", "example.com/signer", "eve", "");
    ask(&api, &eve, Method::POST, REQUESTS, &made).await.ok();
    let condition = |of: &str| json!({"status": {"conditions": [{"type": of, "status": "True", "reason": "x", "message": "y"}]}});
    let approval = format!("{REQUESTS}/a/approval");
    let refused =
        ask(&api, &eve, Method::PATCH, &approval, &condition("Approved")).await.fails(403);
    let why = "user not permitted to approve requests with signerName \"example.com/signer\"";
    assert!(refused["message"].as_str().unwrap().ends_with(why), "{refused}");
    let approved = ask(&api, &approver, Method::PATCH, &approval, &condition("Approved")).await;
    let approved = approved.ok();
    assert_eq!(approved["status"]["conditions"][0]["type"], "Approved");
    for conditions in [json!([]), json!(null)] {
        let none = json!({"status": {"conditions": conditions}});
        let refused = ask(&api, &approver, Method::PATCH, &approval, &none).await.fails(422);
        let why = "updates may not remove a condition of type \"Approved\"";
        assert!(refused["message"].as_str().unwrap().ends_with(why), "{refused}");
    }
    let signed = json!({"status": {"certificate": base64::engine::general_purpose::STANDARD
        .encode(pki::Authority::open(tempfile::tempdir().unwrap().path(), "ca").unwrap().cert())}});
    let status = format!("{REQUESTS}/a/status");
    let refused = ask(&api, &eve, Method::PATCH, &status, &signed).await.fails(403);
    let why = "user not permitted to sign requests with signerName \"example.com/signer\"";
    assert!(refused["message"].as_str().unwrap().ends_with(why), "{refused}");
    ask(&api, &approver, Method::PATCH, &status, &signed).await.ok();
    let other = request("b", "other.com/signer", "eve", "");
    ask(&api, &eve, Method::POST, REQUESTS, &other).await.ok();
    let approval = format!("{REQUESTS}/b/approval");
    ask(&api, &approver, Method::PATCH, &approval, &condition("Approved")).await.fails(403);
    assert_eq!(api.get(&format!("{REQUESTS}/b")).await.ok().name(), "b");
}

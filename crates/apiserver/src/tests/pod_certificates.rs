//! Attack: certificates of other pods, for other keys, and bundles and volumes that harm nodes.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use apimachinery::ObjectExt;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use pki::pods::{KeyType, PodKey};
use serde_json::{Value, json};

use super::harness::{Answer, Api};
use crate::User;

const REQUESTS: &str = "/apis/certificates.k8s.io/v1/namespaces/default/podcertificaterequests";
const BUNDLES: &str = "/apis/certificates.k8s.io/v1/clustertrustbundles";
const PODS: &str = "/api/v1/namespaces/default/pods";
const MERGE: &str = "application/merge-patch+json";
const SIGNER: &str = "example.com/signer";

/// Two nodes with a pod each; only that of the first mounts certificates.
struct Scene {
    api: Api,
    key: PodKey,
}

impl Scene {
    async fn new() -> Self {
        let api = Api::start().await;
        for name in ["n1", "n2"] {
            api.post("/api/v1/nodes", &json!({"metadata": {"name": name}})).await.ok();
        }
        for account in ["own", "other"] {
            let account = json!({"metadata": {"name": account}});
            api.post("/api/v1/namespaces/default/serviceaccounts", &account).await.ok();
        }
        for (name, node, signer) in
            [("mine", "n1", SIGNER), ("plain", "n1", "other.com/signer"), ("theirs", "n2", SIGNER)]
        {
            api.post(PODS, &pod(name, node, &json!([source(signer)]))).await.ok();
        }
        Self { api, key: PodKey::generate(KeyType::P256).unwrap() }
    }

    async fn uid(&self, path: &str) -> Value {
        self.api.get(path).await.ok()["metadata"]["uid"].clone()
    }

    /// The request that the kubelet of a node would make for this pod.
    async fn request(&self, pod: &str, node: &str) -> Value {
        let accounts = "/api/v1/namespaces/default/serviceaccounts";
        json!({"metadata": {"generateName": "req-"}, "spec": {
            "signerName": SIGNER, "podName": pod, "podUID": self.uid(&format!("{PODS}/{pod}")).await,
            "serviceAccountName": "own",
            "serviceAccountUID": self.uid(&format!("{accounts}/own")).await,
            "nodeName": node, "nodeUID": self.uid(&format!("/api/v1/nodes/{node}")).await,
            "maxExpirationSeconds": 7200, "stubPKCS10Request": STANDARD.encode(self.key.request()),
        }})
    }

    async fn ask(&self, user: &str, method: Method, path: &str, body: Value) -> Answer {
        let groups: &[&str] =
            if user.starts_with("system:node:") { &["system:nodes"] } else { &[] };
        let media = if method == Method::PATCH { MERGE } else { "application/json" };
        let ask = self.api.ask(method, path).by(User::new(user, groups));
        ask.header("content-type", media).body(body.to_string()).send().await
    }

    async fn create(&self, request: &Value) -> Answer {
        self.ask("system:node:n1", Method::POST, REQUESTS, request.clone()).await
    }

    /// A user who signs in the name of this signer.
    async fn make_signer(&self, user: &str, signer: &str) {
        let rbac = "/apis/rbac.authorization.k8s.io/v1";
        let role = json!({"metadata": {"name": user}, "rules": [
            {"apiGroups": ["certificates.k8s.io"], "verbs": ["get", "patch", "update"],
                "resources": ["podcertificaterequests", "podcertificaterequests/status"]},
            {"apiGroups": ["certificates.k8s.io"], "verbs": ["sign"], "resources": ["signers"],
                "resourceNames": [signer]}]});
        self.api.post(&format!("{rbac}/clusterroles"), &role).await.ok();
        let binding = json!({"metadata": {"name": user},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": user},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}]});
        self.api.post(&format!("{rbac}/clusterrolebindings"), &binding).await.ok();
    }
}

fn source(signer: &str) -> Value {
    json!({"podCertificate": {"signerName": signer, "keyType": "ECDSAP256",
        "credentialBundlePath": "bundle.pem"}})
}

fn pod(name: &str, node: &str, sources: &Value) -> Value {
    json!({"metadata": {"name": name}, "spec": {
        "nodeName": node, "serviceAccountName": "own", "containers": [{"name": "c", "image": "i"}],
        "volumes": [{"name": "v", "projected": {"sources": sources}}],
    }})
}

/// The status that a signer writes who issues for the key of a request, for so many seconds.
fn issued(request: &[u8], seconds: u64) -> Value {
    use rcgen::{CertificateParams, CertificateSigningRequestParams, Issuer, KeyPair};
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let at = |second: u64| UNIX_EPOCH + Duration::from_secs(second);
    let mut asked = CertificateSigningRequestParams::from_der(&request.to_vec().into()).unwrap();
    asked.params.not_before = at(now).into();
    asked.params.not_after = at(now + seconds).into();
    let issuer = Issuer::new(CertificateParams::default(), KeyPair::generate().unwrap());
    let chain = asked.signed_by(&issuer).unwrap().pem();
    let text = |second: u64| jiff::Timestamp::from_second(second as i64).unwrap().to_string();
    json!({"status": {
        "conditions": conditions("Issued"), "certificateChain": chain, "notBefore": text(now),
        "notAfter": text(now + seconds), "beginRefreshAt": text(now + seconds / 2),
    }})
}

fn conditions(of: &str) -> Value {
    json!([{"type": of, "status": "True", "reason": "R", "message": "m",
        "lastTransitionTime": "2026-01-01T00:00:00Z"}])
}

#[track_caller]
fn says(status: &Value, why: &str) {
    assert!(status["message"].as_str().unwrap().contains(why), "{why}: {status}");
}

#[tokio::test]
async fn a_node_asks_for_its_own_pods_alone() {
    let scene = Scene::new().await;
    let own = scene.request("mine", "n1").await;
    let with = |field: &str, value: Value| {
        let mut request = own.clone();
        request["spec"][field] = value;
        request
    };
    for (request, code, why) in [
        (scene.request("theirs", "n1").await, 403, "is not running on node \"n1\" named in"),
        (scene.request("theirs", "n2").await, 403, "which is not the requesting node \"n1\""),
        (with("nodeUID", json!("x")), 500, "names node UID \"x\", inconsistent with"),
        (with("podUID", json!("x")), 500, "contains pod UID (\"x\") which differs from"),
        (with("podName", json!("gone")), 500, "while retrieving pod \"default/gone\" named in"),
        (
            with("serviceAccountName", json!("other")),
            403,
            "that differs from running pod (\"own\")",
        ),
        (
            with("serviceAccountUID", json!("x")),
            500,
            "names service account UID \"x\", which differs",
        ),
        (
            scene.request("plain", "n1").await,
            403,
            "does not mount a podCertificate projected volume for signer \"example.com/signer\"",
        ),
    ] {
        says(&scene.create(&request).await.fails(code), why);
    }
    let mut unbounded = own.clone();
    unbounded["spec"]["maxExpirationSeconds"] = Value::Null;
    let made = scene.create(&unbounded).await.ok();
    assert_eq!(made["spec"]["maxExpirationSeconds"], 86_400);
    let path = format!("{REQUESTS}/{}", made.name());
    let node = "system:node:n1";
    scene.ask(node, Method::GET, &path, json!({})).await.ok();
    for (node, method, path) in [
        ("system:node:n2", Method::GET, path.clone()),
        (node, Method::PATCH, path.clone()),
        (node, Method::DELETE, path.clone()),
        (node, Method::PATCH, format!("{path}/status")),
        (node, Method::GET, REQUESTS.to_owned()),
        (node, Method::GET, format!("{REQUESTS}?fieldSelector=spec.nodeName%3Dn2")),
    ] {
        scene
            .ask(node, method, &path, json!({"status": {"conditions": conditions("Denied")}}))
            .await
            .fails(403);
    }
    let all =
        "/apis/certificates.k8s.io/v1/podcertificaterequests?fieldSelector=spec.nodeName%3Dn1";
    assert_eq!(
        scene.ask(node, Method::GET, all, json!({})).await.ok()["items"].as_array().unwrap().len(),
        1
    );
}

#[tokio::test]
async fn a_signer_issues_for_the_key_that_asked_and_in_its_own_name() {
    let scene = Scene::new().await;
    scene.make_signer("signer", SIGNER).await;
    scene.make_signer("stranger", "stranger.com/signer").await;
    let made = scene.create(&scene.request("mine", "n1").await).await.ok();
    let status = format!("{REQUESTS}/{}/status", made.name());
    let write = async |user: &str, body: Value| scene.ask(user, Method::PATCH, &status, body).await;
    let good = issued(scene.key.request(), 7200);
    let refused = write("stranger", good.clone()).await.fails(422);
    says(
        &refused,
        "User \"stranger\" is not permitted to \"sign\" for signer \"example.com/signer\"",
    );
    let other = PodKey::generate(KeyType::P256).unwrap();
    let with = |field: &str, value: Value| {
        let mut status = good.clone();
        status["status"][field] = value;
        status
    };
    let mut denied = good.clone();
    denied["status"]["conditions"] = conditions("Denied");
    for (body, why) in [
        (
            issued(other.request(), 7200),
            "leaf certificate was not issued to the requested public key",
        ),
        (
            issued(scene.key.request(), 7201),
            "leaf certificate lifetime must be <= spec.maxExpirationSeconds (7200)",
        ),
        (issued(scene.key.request(), 3599), "leaf certificate lifetime must be >= 1 hour"),
        (
            with("notAfter", json!("2099-01-01T00:00:00Z")),
            "must be set to the NotAfter time encoded",
        ),
        (
            with("beginRefreshAt", json!("2020-01-01T00:00:00Z")),
            "must be at least 10 minutes after status.notBefore",
        ),
        (
            with("certificateChain", json!("no certificate")),
            "must contain at least one certificate",
        ),
        (
            with("conditions", conditions("Approved")),
            "supported values: \"Issued\", \"Denied\", \"Failed\"",
        ),
        (with("conditions", json!([])), "status is immutable unless transitioning to"),
        (denied, "non-condition status fields must be empty when denying or failing"),
    ] {
        says(&write("signer", body).await.fails(422), why);
    }
    write("signer", good).await.ok();
    let late = json!({"status": {"conditions": conditions("Denied")}});
    says(
        &write("signer", late).await.fails(422),
        "immutable after PodCertificateRequest is issued, denied, or failed",
    );
}

#[tokio::test]
async fn requests_are_taken_for_keys_of_every_type() {
    let mut scene = Scene::new().await;
    for of in ["ECDSAP384", "ECDSAP521", "ED25519", "RSA3072"] {
        scene.key = PodKey::generate(of.parse().unwrap()).unwrap();
        let mut request = scene.request("mine", "n1").await;
        scene.create(&request).await.ok();
        // The signature is the last of it.
        let mut forged = scene.key.request().to_vec();
        *forged.last_mut().unwrap() ^= 1;
        request["spec"]["stubPKCS10Request"] = STANDARD.encode(forged).into();
        says(&scene.create(&request).await.fails(422), "invalid signature");
    }
}

#[tokio::test]
async fn a_bundle_is_bounded_and_its_signer_s() {
    let scene = Scene::new().await;
    let bundle = |name: &str, signer: &str, text: &str| json!({"metadata": {"name": name}, "spec": {"signerName": signer, "trustBundle": text}});
    let huge = bundle("huge", "", &"a".repeat((1 << 20) + 1));
    says(
        &scene.api.post(BUNDLES, &huge).await.fails(422),
        "spec.trustBundle: Too long: may not be more than 1048576 bytes",
    );
    says(
        &scene.api.post(BUNDLES, &bundle("none", "", "none")).await.fails(422),
        "at least one trust anchor must be provided",
    );
    let forged = bundle("example.com:signer:a", SIGNER, "none");
    scene.ask("eve", Method::POST, BUNDLES, forged.clone()).await.fails(403);
    // A node writes none at all.
    scene.ask("system:node:n1", Method::POST, BUNDLES, forged).await.fails(403);
    scene.ask("system:node:n1", Method::GET, BUNDLES, json!({})).await.ok();
}

#[tokio::test]
async fn paths_of_a_volume_neither_meet_nor_leave_it() {
    let scene = Scene::new().await;
    let bundle = |path: &str| json!({"clusterTrustBundle": {"name": "b", "path": path}});
    let mut twice = source(SIGNER);
    twice["podCertificate"]["keyPath"] = "bundle.pem".into();
    for (sources, why) in [
        (json!([bundle("../x")]), "must not contain '..'"),
        (json!([bundle("/x")]), "must be a relative path"),
        (json!([bundle("a"), bundle("a")]), "conflicting duplicate paths"),
        (json!([source(SIGNER), bundle("bundle.pem")]), "conflicting duplicate paths"),
        (json!([twice]), "conflicting duplicate paths"),
    ] {
        says(&scene.api.post(PODS, &pod("p", "n1", &sources)).await.fails(422), why);
    }
}

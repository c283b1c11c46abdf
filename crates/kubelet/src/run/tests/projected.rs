//! Volumes of trust anchors and of certificates.

use super::*;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::sleep;

const BUNDLE: &str = "/apis/certificates.k8s.io/v1/clustertrustbundles/b";
const KIND: &str = "podcertificaterequests";

impl Rig {
    /// A pod that mounts one volume of these sources.
    fn mount(&self, sources: Value) {
        let account = json!({"metadata": {"name": "sa", "namespace": "ns", "uid": "sa-uid"}});
        self.api.put("/api/v1/namespaces/ns/serviceaccounts/sa", account);
        self.create(json!({
            "serviceAccountName": "sa",
            "containers": [{"name": "a", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}],
            "volumes": [{"name": "v", "projected": {"defaultMode": 0o640, "sources": sources}}],
        }));
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join("volatile/u/v").join(name)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.file(name)).unwrap_or_default()
    }

    async fn until_event(&self, text: &str) {
        self.api.until(text, |api| api.events().iter().any(|event| event.contains(text))).await;
    }

    /// Waits for the request with this number, from 0; its path and content.
    async fn request(&self, number: usize) -> (String, Value) {
        self.api.until("a request", |api| api.all(KIND).len() > number).await;
        let mut all = self.api.all(KIND);
        let version = |object: &Value| -> u64 {
            object["metadata"]["name"].as_str().unwrap()["req-".len()..].parse().unwrap()
        };
        all.sort_by_key(|(_, object)| version(object));
        all.swap_remove(number)
    }

    fn answer(&self, path: &str, condition: &str, mut status: Value) {
        let mut request = self.api.get(path).unwrap();
        status["conditions"] = json!([{"type": condition, "status": "True", "reason": "R",
            "message": "m", "lastTransitionTime": "2026-01-01T00:00:00Z"}]);
        request["status"] = status;
        self.api.put(path, request);
    }

    fn issue(&self, path: &str, leaf: &str) {
        let at = |minutes: i64| {
            let at = k8s_openapi::jiff::Timestamp::now().as_second() + minutes * 60;
            k8s_openapi::jiff::Timestamp::from_second(at).unwrap().to_string()
        };
        let chain = format!("about it\n{}", pki::pods::encode_certificate(leaf.as_bytes()));
        let status = json!({"certificateChain": chain, "notBefore": at(0), "notAfter": at(120),
            "beginRefreshAt": at(60)});
        self.answer(path, "Issued", status);
    }
}

fn certificate() -> Value {
    json!([{"podCertificate": {
        "signerName": "s.example/s", "keyType": "ED25519", "maxExpirationSeconds": 7200,
        "userAnnotations": {"s.example/k": "v"}, "credentialBundlePath": "both.pem",
        "keyPath": "own/key.pem", "certificateChainPath": "chain.pem",
    }}])
}

#[tokio::test(start_paused = true)]
async fn a_pod_waits_for_its_trust_anchors_and_sees_them_change() {
    let rig = Rig::new();
    let named = |name: &str| json!({"clusterTrustBundle": {"name": name, "path": name}});
    rig.mount(json!([named("b"), named("c")]));
    let missing = |name: &str| {
        format!(
            "while getting ClusterTrustBundle: clustertrustbundle.certificates.k8s.io {name:?} not found"
        )
    };
    let both = format!(
        "FailedMount: MountVolume.SetUp failed for volume \"v\" : [{}, {}]",
        missing("b"),
        missing("c")
    );
    rig.until_event(&both).await;
    let bundle = |der: &str| {
        let text = pki::pods::encode_certificate(der.as_bytes());
        json!({"metadata": {"name": "b"}, "spec": {"trustBundle": text}})
    };
    let mut other = bundle("other");
    other["metadata"]["name"] = "c".into();
    rig.api.put(&BUNDLE.replace("/b", "/c"), other);
    rig.until_event(&format!("volume \"v\" : {}", missing("b"))).await;
    let begun = tokio::time::Instant::now();
    rig.api.put(BUNDLE, bundle("first"));
    rig.until("ready", ready).await;
    assert!(begun.elapsed() < Duration::from_secs(3), "it does not wait for the back-off");
    assert_eq!(rig.read("b"), pki::pods::encode_certificate(b"first"));
    assert_eq!(std::fs::metadata(rig.file("b")).unwrap().mode() & 0o777, 0o640);

    rig.api.put(BUNDLE, bundle("second"));
    while rig.read("b") != pki::pods::encode_certificate(b"second") {
        sleep(Duration::from_millis(1)).await;
    }
    // A bundle that is gone later stays in the volume as it was.
    rig.api.delete(BUNDLE);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(rig.read("b"), pki::pods::encode_certificate(b"second"));
    rig.delete(1);
    rig.until_gone().await;
}

#[tokio::test(start_paused = true)]
async fn a_pod_waits_for_its_certificate_and_has_it_renewed() {
    let rig = Rig::new();
    rig.mount(certificate());
    let (path, request) = rig.request(0).await;
    let spec = &request["spec"];
    let node = rig.api.get("/api/v1/nodes/n1").unwrap();
    for (field, want) in [
        ("signerName", json!("s.example/s")),
        ("podName", json!("p")),
        ("podUID", json!("u")),
        ("serviceAccountName", json!("sa")),
        ("serviceAccountUID", json!("sa-uid")),
        ("nodeName", json!("n1")),
        ("nodeUID", node["metadata"]["uid"].clone()),
        ("maxExpirationSeconds", json!(7200)),
        ("unverifiedUserAnnotations", json!({"s.example/k": "v"})),
    ] {
        assert_eq!(spec[field], want, "{field}");
    }
    let owner = json!({"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"});
    assert_eq!(request["metadata"]["ownerReferences"], json!([owner]));
    let asked = spec["stubPKCS10Request"].as_str().unwrap();
    let asked = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, asked).unwrap();
    pki::pods::check_pod_request(&asked).unwrap();
    rig.until_event("FailedMount: MountVolume.SetUp failed for volume \"v\" : credential bundle is not issued yet").await;

    rig.issue(&path, "first");
    rig.until("ready", ready).await;
    let (key, chain) = (rig.read("own/key.pem"), rig.read("chain.pem"));
    assert!(key.starts_with("-----BEGIN PRIVATE KEY-----\n"), "{key}");
    assert_eq!(chain, pki::pods::encode_certificate(b"first"));
    assert_eq!(rig.read("both.pem"), format!("{key}{chain}"));
    assert_eq!(std::fs::metadata(rig.file("both.pem")).unwrap().mode() & 0o777, 0o640);
    let said = rig.api.events();
    assert!(!said.iter().any(|event| event.contains("PRIVATE KEY")), "{said:?}");

    // Within five minutes of the hour that its signer said.
    sleep(Duration::from_secs(59 * 60)).await;
    assert_eq!(rig.api.all(KIND).len(), 1);
    sleep(Duration::from_secs(7 * 60)).await;
    let (path, _) = rig.request(1).await;
    rig.until_event("CertificateOverdueForRefresh: PodCertificate refresh overdue").await;
    sleep(Duration::from_secs(2 * 60 * 60)).await;
    rig.until_event("CertificateExpired: PodCertificate expired").await;
    assert_eq!(rig.read("own/key.pem"), key, "the old one serves until there is another");
    rig.issue(&path, "second");
    while rig.read("chain.pem") != pki::pods::encode_certificate(b"second") {
        sleep(Duration::from_millis(1)).await;
    }
    assert_ne!(rig.read("own/key.pem"), key);
    assert!(rig.read("both.pem").starts_with(&rig.read("own/key.pem")));
    rig.delete(1);
    rig.until_gone().await;
    assert!(!rig.file("own").exists());
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_denied_or_failed_ends_it() {
    for (condition, verb, past) in
        [("Denied", "was denied", "denied"), ("Failed", "failed", "failed")]
    {
        let rig = Rig::new();
        rig.mount(certificate());
        let (path, request) = rig.request(0).await;
        rig.answer(&path, condition, json!({}));
        let name = request["metadata"]["name"].as_str().unwrap();
        let wanted = format!(
            "{condition}: PodCertificateRequest ns/{name} {verb}, reason=\"R\", message=\"m\""
        );
        rig.until_event(&wanted).await;
        let wanted = format!(
            "\"v\" : PodCertificateRequest was permanently {past}: reason=\"R\" message=\"m\""
        );
        rig.until_event(&wanted).await;
        sleep(Duration::from_secs(3600)).await;
        assert_eq!(rig.api.all(KIND).len(), 1, "nobody asks again");
        rig.delete(0);
        rig.until_gone().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_was_deleted_is_made_again_and_none_of_its_name_counts() {
    let rig = Rig::new();
    rig.mount(certificate());
    let (path, request) = rig.request(0).await;
    rig.api.delete(&path);
    // Somebody else's, with another key.
    let mut other = request.clone();
    other["metadata"]["uid"] = "other".into();
    rig.api.put(&path, other);
    rig.issue(&path, "other");
    let (path, again) = rig.request(1).await;
    assert_ne!(again["spec"]["stubPKCS10Request"], request["spec"]["stubPKCS10Request"]);
    rig.issue(&path, "own");
    rig.until("ready", ready).await;
    assert_eq!(rig.read("chain.pem"), pki::pods::encode_certificate(b"own"));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_cannot_be_made_is_told() {
    let rig = Rig::new();
    rig.mount(certificate());
    rig.api.delete("/api/v1/namespaces/ns/serviceaccounts/sa");
    rig.until_event("credential bundle is not issued yet: while fetching service account").await;
    let account = json!({"metadata": {"name": "sa", "namespace": "ns", "uid": "sa-uid"}});
    rig.api.put("/api/v1/namespaces/ns/serviceaccounts/sa", account);
    let (path, _) = rig.request(0).await;
    rig.issue(&path, "own");
    rig.until("ready", ready).await;
}

#[tokio::test(start_paused = true)]
async fn a_pod_has_its_bounds() {
    let rig = Rig::new();
    let text = pki::pods::encode_certificate(&vec![7; 1 << 20]);
    rig.api.put(BUNDLE, json!({"metadata": {"name": "b"}, "spec": {"trustBundle": text}}));
    let bundle = |n: usize| json!({"clusterTrustBundle": {"name": "b", "path": n.to_string()}});
    let mut sources: Vec<Value> = (0..40).map(bundle).collect();
    rig.mount(json!(sources));
    let large = "volume \"v\" : the trust anchors of a pod may take 33554432 bytes at most";
    rig.until_event(large).await;
    assert!(!rig.file("0").exists(), "nothing of it is written");
    rig.delete(0);
    rig.until_gone().await;

    let rig = Rig::new();
    sources = (0..110).map(|_| certificate()[0].clone()).collect();
    let missing = |n: usize| json!({"clusterTrustBundle": {"name": n.to_string(), "path": "b"}});
    sources.extend((0..1000).map(missing));
    rig.mount(json!(sources));
    rig.until_event("[credential bundle is not issued yet, a pod may have 100 certificates at most, while getting").await;
    rig.request(99).await;
    sleep(Duration::from_secs(60)).await;
    assert_eq!(rig.api.all(KIND).len(), 100);
    assert!(rig.api.events().iter().all(|event| event.len() < 3000), "an event stays small");
}

//! Trust and identity of pods: ClusterTrustBundles and certificates in volumes.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use e2e::{BUSYBOX, Cluster};
use pki::pods::anchors;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, IsCa, Issuer, KeyPair,
};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(60);
const SIGNER: &str = "example.com/signer";

fn cluster() -> Cluster {
    let cluster = Cluster::start();
    cluster.import_busybox();
    cluster
}

/// An authority: its certificate, and what it signs with.
fn authority() -> (String, Issuer<'static, KeyPair>) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let cert = params.self_signed(&key).expect("a certificate").pem();
    (cert, Issuer::new(params, key))
}

/// A pod that sleeps and has one volume of these sources at `/v`.
fn pod(name: &str, user: Option<i64>, sources: &Value) -> String {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {
        "terminationGracePeriodSeconds": 0,
        "securityContext": {"runAsUser": user},
        "containers": [{"name": "main", "image": BUSYBOX, "command": ["sleep", "1000"],
            "volumeMounts": [{"name": "v", "mountPath": "/v"}]}],
        "volumes": [{"name": "v", "projected": {"sources": sources}}],
    }})
    .to_string()
}

fn bundle(name: &str, signer: &str, alive: &str, anchors: &str) -> String {
    let spec = json!({"signerName": signer, "trustBundle": anchors});
    json!({"apiVersion": "certificates.k8s.io/v1", "kind": "ClusterTrustBundle",
        "metadata": {"name": name, "labels": {"alive": alive}}, "spec": spec})
    .to_string()
}

/// Waits until this holds.
#[track_caller]
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
    }
}

fn cat(cluster: &Cluster, pod: &str, file: &str) -> String {
    cluster.kubectl(&format!("exec {pod} -- cat /v/{file}")).ok()
}

/// The anchors of some PEM, in an order of their own.
fn set(pem: &str) -> Vec<Vec<u8>> {
    let mut all = anchors(pem);
    all.sort();
    all
}

#[test]
fn pods_see_whom_to_trust() {
    let cluster = cluster();
    let [a, b, c] = [authority().0, authority().0, authority().0];
    let dirty = format!("about\n{a}and\n{b}");
    cluster.apply(&bundle("example.com:signer:1", SIGNER, "yes", &dirty));
    cluster.apply(&bundle("example.com:signer:2", SIGNER, "no", &format!("{b}{c}")));
    let of_signer = |path: &str, selector: Value| {
        json!({"clusterTrustBundle": {"path": path, "signerName": SIGNER, "labelSelector": selector,
            "optional": path == "none"}})
    };
    let sources = json!([
        of_signer("all", json!({})),
        of_signer("alive", json!({"matchLabels": {"alive": "yes"}})),
        of_signer("none", Value::Null),
        {"clusterTrustBundle": {"name": "late", "path": "own/late"}},
    ]);
    cluster.apply(&pod("trusts", None, &sources));
    let missing = "clustertrustbundle.certificates.k8s.io \"late\" not found";
    until("the pod is told what is missing", || {
        let events = cluster.kubectl("get events --field-selector reason=FailedMount").ok();
        events.contains(missing)
    });
    cluster.apply(&bundle("late", "", "yes", &c));
    cluster.wait("--for=condition=Ready pod/trusts");
    assert_eq!(set(&cat(&cluster, "trusts", "all")), set(&format!("{a}{b}{c}")));
    let alive = cat(&cluster, "trusts", "alive");
    assert_eq!(set(&alive), set(&format!("{a}{b}")));
    assert!(!alive.contains("about"), "{alive}");
    assert_eq!(cat(&cluster, "trusts", "none"), "");
    assert_eq!(cat(&cluster, "trusts", "own/late"), c);
    let mode = cluster.kubectl("exec trusts -- ls -lnL /v/all").ok();
    assert!(mode.starts_with("-rw-r--r--"), "{mode}");

    cluster.apply(&bundle("late", "", "yes", &a));
    until("the pod sees the change", || cat(&cluster, "trusts", "own/late") == a);

    // The authority of the API server itself.
    let published = cluster
        .kubectl("get clustertrustbundles --field-selector spec.signerName=kubernetes.io/kube-apiserver-serving -o jsonpath={.items[*].spec.trustBundle}")
        .ok();
    let known = cluster.kubectl("get configmap kube-root-ca.crt -o jsonpath={.data.ca\\.crt}").ok();
    assert_eq!(published, known);
}

/// The request of a pod, as soon as there is one.
fn request_of(cluster: &Cluster, pod: &str) -> Value {
    let mut found = None;
    until("a request", || {
        let list = cluster.kubectl("get podcertificaterequests -o json").ok();
        let list: Value = serde_json::from_str(&list).expect("JSON");
        let mut items = list["items"].as_array().into_iter().flatten();
        found = items.find(|request| request["spec"]["podName"] == pod).cloned();
        found.is_some()
    });
    found.expect("found")
}

fn answer(cluster: &Cluster, request: &Value, of: &str, mut status: Value) {
    status["conditions"] = json!([{"type": of, "status": "True", "reason": "Because", "message": "m",
        "lastTransitionTime": "2026-01-01T00:00:00Z"}]);
    let name = request["metadata"]["name"].as_str().expect("a name");
    let patch = json!({"status": status}).to_string();
    let patched = cluster
        .kubectl_command()
        .args([
            "patch",
            "podcertificaterequest",
            name,
            "--subresource=status",
            "--type=merge",
            "-p",
        ])
        .arg(patch)
        .output()
        .expect("kubectl starts");
    assert!(patched.status.success(), "{}", String::from_utf8_lossy(&patched.stderr));
}

fn issue(cluster: &Cluster, request: &Value, issuer: &Issuer<'static, KeyPair>) -> String {
    let asked = request["spec"]["stubPKCS10Request"].as_str().expect("a request");
    let pem = format!(
        "-----BEGIN CERTIFICATE REQUEST-----\n{asked}\n-----END CERTIFICATE REQUEST-----\n"
    );
    let mut asked = CertificateSigningRequestParams::from_pem(&pem).expect("a request");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let at = |second: u64| UNIX_EPOCH + Duration::from_secs(second);
    asked.params.not_before = at(now).into();
    asked.params.not_after = at(now + 7200).into();
    let chain = asked.signed_by(issuer).expect("a certificate").pem();
    let text = |second: u64| {
        let out = std::process::Command::new("date")
            .args(["-u", "+%Y-%m-%dT%H:%M:%SZ", "-d", &format!("@{second}")])
            .output();
        String::from_utf8_lossy(&out.expect("date runs").stdout).trim().to_owned()
    };
    let status = json!({"certificateChain": chain, "notBefore": text(now),
        "notAfter": text(now + 7200), "beginRefreshAt": text(now + 3600)});
    answer(cluster, request, "Issued", status);
    chain
}

/// Returns true if a certificate is for a key, both PEM.
fn fit(chain: &str, key: &str) -> bool {
    use rustls_pki_types::pem::PemObject;
    use rustls_pki_types::{CertificateDer, PrivateKeyDer};
    use tokio_rustls::rustls::crypto::ring::sign::any_supported_type;
    use tokio_rustls::rustls::sign::CertifiedKey;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
    let chain = anchors(chain).into_iter().map(CertificateDer::from).collect();
    let key = any_supported_type(&key).expect("a key");
    CertifiedKey::new(chain, key).keys_match().is_ok()
}

#[test]
fn pods_show_who_they_are() {
    let cluster = cluster();
    let (_, issuer) = authority();
    let source = |of: &str| {
        json!([{"podCertificate": {"signerName": SIGNER, "keyType": of,
            "userAnnotations": {"example.com/role": "web"}, "credentialBundlePath": "both.pem",
            "keyPath": "own/key.pem", "certificateChainPath": "own/chain.pem"}}])
    };
    for (name, of, user) in
        [("curve", "ECDSAP256", None), ("edwards", "ED25519", Some(1000)), ("rsa", "RSA3072", None)]
    {
        cluster.apply(&pod(name, user, &source(of)));
        let request = request_of(&cluster, name);
        assert_eq!(request["spec"]["maxExpirationSeconds"], 86400);
        assert_eq!(
            request["spec"]["unverifiedUserAnnotations"],
            json!({"example.com/role": "web"})
        );
        if of == "RSA3072" {
            // The library of this test signs for none.
            continue;
        }
        let chain = issue(&cluster, &request, &issuer);
        cluster.wait(&format!("--for=condition=Ready pod/{name}"));
        let key = cat(&cluster, name, "own/key.pem");
        let written = cat(&cluster, name, "own/chain.pem");
        assert_eq!(anchors(&written), anchors(&chain));
        assert_eq!(cat(&cluster, name, "both.pem"), format!("{key}{written}"));
        assert!(fit(&chain, &key), "{name}");
        let mode = cluster.kubectl(&format!("exec {name} -- ls -lnL /v/both.pem")).ok();
        let wanted = if user.is_some() { ("-rw-------", " 1000 ") } else { ("-rw-r--r--", " 0 ") };
        assert!(mode.starts_with(wanted.0) && mode.contains(wanted.1), "{mode}");
    }
    answer(&cluster, &request_of(&cluster, "rsa"), "Denied", json!({}));
    until("the pod is told", || {
        let events = cluster.kubectl("get events --field-selector involvedObject.name=rsa").ok();
        events.contains("was denied, reason=\"Because\", message=\"m\"")
            && events.contains("PodCertificateRequest was permanently denied")
    });
    assert_eq!(cluster.kubectl("get pod rsa -o jsonpath={.status.phase}").ok(), "Pending");
    let all = cluster
        .kubectl("get pods,events,podcertificaterequests,secrets,configmaps -A -o yaml")
        .ok();
    assert!(!all.contains("PRIVATE KEY"), "keys stay on their node");
}

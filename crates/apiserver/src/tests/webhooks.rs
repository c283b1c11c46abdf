//! Admission webhooks, asked over TLS.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::harness::Api;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const REGISTRATION: &str = "/apis/admissionregistration.k8s.io/v1";

/// A webhook that answers by its path, and what it was asked.
pub(super) struct Webhook {
    pub(super) port: u16,
    pub(super) authority: String,
    pub(super) asked: Arc<Mutex<Vec<Value>>>,
    _dir: tempfile::TempDir,
}

impl Webhook {
    pub(super) async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ca = pki::Authority::open(dir.path(), "ca").unwrap();
        let address = std::net::IpAddr::from([127, 0, 0, 1]);
        let subject = pki::Subject {
            name: "webhook",
            ips: &[address],
            usage: pki::Usage::Server,
            ..Default::default()
        };
        let tls = pki::tls::server(&ca.issue(&subject).unwrap(), ca.cert(), &["http/1.1"]).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let listener = TcpListener::bind((address, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = asked.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, seen) = (acceptor.clone(), seen.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let serve = service_fn(move |request| answer(request, seen.clone()));
                    let connection = hyper::server::conn::http1::Builder::new();
                    let _ = connection.serve_connection(TokioIo::new(stream), serve).await;
                });
            }
        });
        Self { port, authority: ca.cert().to_owned(), asked, _dir: dir }
    }

    /// A webhook of a configuration at a path of this one.
    fn hook(&self, path: &str) -> Value {
        json!({
            "name": format!("{path}.example.com"),
            "clientConfig": {
                "url": format!("https://127.0.0.1:{}/{path}", self.port),
                "caBundle": STANDARD.encode(&self.authority),
            },
            "rules": [{
                "operations": ["CREATE", "UPDATE", "DELETE"], "apiGroups": [""],
                "apiVersions": ["v1"], "resources": ["configmaps"],
            }],
            "sideEffects": "None", "admissionReviewVersions": ["v1"],
        })
    }

    /// How often a path was asked.
    pub(super) fn count(&self, path: &str) -> usize {
        self.asked.lock().iter().filter(|asked| asked["path"] == path).count()
    }
}

async fn answer(
    request: Request<Incoming>,
    asked: Arc<Mutex<Vec<Value>>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().trim_start_matches('/').to_owned();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let review: Value = serde_json::from_slice(&body).unwrap();
    asked
        .lock()
        .push(json!({"path": path, "request": review["request"], "items": review["items"]}));
    if path == "convert" {
        return Ok(Response::new(Full::from(converted(&review).to_string())));
    }
    if path == "images" {
        let image = &review["spec"]["containers"][0]["image"];
        let status = json!({"allowed": image != "bad", "reason": image});
        let answer = json!({"kind": "ImageReview", "apiVersion": review["apiVersion"],
            "status": status});
        return Ok(Response::new(Full::from(answer.to_string())));
    }
    let mut response = json!({"uid": review["request"]["uid"], "allowed": true});
    let patch = |operations: Value| STANDARD.encode(operations.to_string());
    let add = |key: &str| patch(json!([{"op": "add", "path": "/data", "value": {key: "yes"}}]));
    match path.as_str() {
        "deny" => {
            response["allowed"] = false.into();
            response["status"] = json!({"message": "because", "code": 403, "reason": "Nope"});
        }
        "warn" => response["warnings"] = json!(["careful"]),
        "mutate" => {
            response["patch"] = add("mutated").into();
            response["patchType"] = "JSONPatch".into();
        }
        "label" => {
            response["patch"] =
                patch(json!([{"op": "add", "path": "/metadata/labels", "value": {"l": "1"}}]))
                    .into();
            response["patchType"] = "JSONPatch".into();
        }
        "move" | "rename" | "disguise" => {
            let (at, value) = match path.as_str() {
                "move" => ("/metadata/namespace", "victim"),
                "rename" => ("/kind", "Secret"),
                _ => ("/apiVersion", "x/v1"),
            };
            response["patch"] = patch(json!([{"op": "add", "path": at, "value": value}])).into();
            response["patchType"] = "JSONPatch".into();
        }
        "slow" => tokio::time::sleep(Duration::from_secs(5)).await,
        "moved" => {
            let moved = Response::builder().status(StatusCode::FOUND).header("location", "/deny");
            return Ok(moved.body(Full::default()).unwrap());
        }
        "wrong" => response["uid"] = "other".into(),
        "huge" => response["warnings"] = json!(["x".repeat(9 << 20)]),
        _ => {}
    }
    let answer = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response,
    });
    Ok(Response::new(Full::from(answer.to_string())))
}

/// Moves `spec.size` of v1 to `spec.extent` of v2, and back.
fn converted(review: &Value) -> Value {
    let request = &review["request"];
    let mut objects = request["objects"].as_array().unwrap().clone();
    for object in &mut objects {
        let (from, to) = match object["apiVersion"].as_str() {
            Some("example.com/v1") => ("size", "extent"),
            _ => ("extent", "size"),
        };
        object["apiVersion"] = request["desiredAPIVersion"].clone();
        let value = object["spec"].as_object_mut().unwrap().remove(from).unwrap();
        object["spec"][to] = value;
    }
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "ConversionReview",
        "response": {
            "uid": request["uid"], "convertedObjects": objects, "result": {"status": "Success"},
        },
    })
}

async fn register(api: &Api, kind: &str, hooks: &[Value]) {
    let (resource, name) = match kind {
        "Mutating" => ("mutatingwebhookconfigurations", "m"),
        _ => ("validatingwebhookconfigurations", "v"),
    };
    let configuration = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": format!("{kind}WebhookConfiguration"),
        "metadata": {"name": name}, "webhooks": hooks,
    });
    let path = format!("{REGISTRATION}/{resource}");
    api.ask(Method::DELETE, &format!("{path}/{name}")).send().await;
    api.post(&path, &configuration).await.ok();
}

fn map(name: &str) -> Value {
    json!({"metadata": {"name": name}})
}

#[tokio::test]
async fn a_webhook_refuses_warns_and_sees_the_request() {
    let (api, webhook) = (Api::start().await, Webhook::start().await);
    register(&api, "Validating", &[webhook.hook("warn")]).await;
    let made = api.post(MAPS, &map("a")).await;
    assert_eq!(made.headers["warning"], "299 - \"careful\"");
    made.ok();
    let request = webhook.asked.lock()[0]["request"].clone();
    assert_eq!((&request["operation"], &request["name"]), (&json!("CREATE"), &json!("a")));
    assert_eq!(request["object"]["kind"], "ConfigMap");
    assert_eq!(request["oldObject"], Value::Null);
    assert_eq!(request["options"]["kind"], "CreateOptions");
    register(&api, "Validating", &[webhook.hook("allow"), webhook.hook("deny")]).await;
    let refused = api.post(MAPS, &map("b")).await.fails(403);
    let message = "admission webhook \"deny.example.com\" denied the request: because";
    assert_eq!((&refused["message"], &refused["reason"]), (&json!(message), &json!("Nope")));
    api.ask(Method::DELETE, &format!("{MAPS}/a")).send().await.fails(403);
    let deleted = webhook.asked.lock().last().unwrap()["request"].clone();
    assert_eq!((&deleted["operation"], &deleted["object"]), (&json!("DELETE"), &Value::Null));
    assert_eq!(deleted["oldObject"]["metadata"]["name"], "a");
    // The configurations themselves are exempt, and other resources are not asked about.
    register(&api, "Validating", &[]).await;
    api.ask(Method::DELETE, &format!("{MAPS}/a")).send().await.ok();
}

#[tokio::test]
async fn a_webhook_changes_objects_and_is_asked_again() {
    let (api, webhook) = (Api::start().await, Webhook::start().await);
    let mut first = webhook.hook("label");
    first["reinvocationPolicy"] = "IfNeeded".into();
    register(&api, "Mutating", &[first, webhook.hook("mutate")]).await;
    let made = api.post(MAPS, &map("a")).await.ok();
    assert_eq!(
        (&made["data"], &made["metadata"]["labels"]),
        (&json!({"mutated": "yes"}), &json!({"l": "1"}))
    );
    assert_eq!((webhook.count("label"), webhook.count("mutate")), (2, 1));
    let found = api.get(&format!("{MAPS}/a")).await.ok();
    assert_eq!(found["data"], json!({"mutated": "yes"}));
}

#[tokio::test]
async fn a_webhook_that_fails_closes_or_opens() {
    let (api, webhook) = (Api::start().await, Webhook::start().await);
    let with = |path: &str, policy: &str| {
        let mut hook = webhook.hook(path);
        hook["failurePolicy"] = policy.into();
        hook["timeoutSeconds"] = 1.into();
        hook
    };
    let mut nowhere = with("nowhere", "Fail");
    nowhere["clientConfig"]["url"] = "https://127.0.0.1:1/x".into();
    let mut stranger = with("allow", "Fail");
    let other = Webhook::start().await;
    stranger["clientConfig"]["caBundle"] = STANDARD.encode(&other.authority).into();
    let mut service = with("allow", "Fail");
    service["clientConfig"] = json!({"service": {"namespace": "default", "name": "none"}});
    for (hook, why) in [
        (with("slow", "Fail"), "/slow?timeout=1s\": context deadline exceeded"),
        (with("moved", "Fail"), "the server rejected our request for an unknown reason"),
        (with("wrong", "Fail"), "received invalid webhook response: expected response.uid="),
        (with("huge", "Fail"), "failed to call webhook"),
        (nowhere, "connect: connection refused"),
        (stranger, "failed to verify certificate"),
        (service, "service \"none\" not found"),
    ] {
        register(&api, "Validating", &[hook]).await;
        let refused = api.post(MAPS, &map("closed")).await.fails(500);
        let message = refused["message"].as_str().unwrap();
        assert!(
            message.starts_with("Internal error occurred: failed calling webhook"),
            "{message}"
        );
        assert!(message.contains(why), "{message}");
    }
    assert_eq!(webhook.count("deny"), 0, "no redirect is followed");
    register(&api, "Validating", &[with("wrong", "Ignore")]).await;
    api.post(MAPS, &map("open")).await.ok();
}

#[tokio::test]
async fn selectors_rules_and_dry_runs_decide_who_is_asked() {
    let (api, webhook) = (Api::start().await, Webhook::start().await);
    let mut selecting = webhook.hook("deny");
    selecting["objectSelector"] = json!({"matchLabels": {"ask": "yes"}});
    register(&api, "Validating", &[selecting]).await;
    api.post(MAPS, &map("a")).await.ok();
    let mut asks = map("b");
    asks["metadata"]["labels"] = json!({"ask": "yes"});
    api.post(MAPS, &asks).await.fails(403);
    let mut elsewhere = webhook.hook("deny");
    elsewhere["namespaceSelector"] = json!({"matchLabels": {"kubernetes.io/metadata.name": "x"}});
    let mut clustered = webhook.hook("deny");
    clustered["name"] = "clustered.example.com".into();
    clustered["rules"][0]["scope"] = "Cluster".into();
    let mut dry = webhook.hook("allow");
    dry["sideEffects"] = "NoneOnDryRun".into();
    register(&api, "Validating", &[elsewhere, clustered, dry]).await;
    api.post(&format!("{MAPS}?dryRun=All"), &map("c")).await.ok();
    assert_eq!(webhook.asked.lock().last().unwrap()["request"]["dryRun"], true);
}

#[tokio::test]
async fn conditions_decide_who_is_asked() {
    let (api, webhook) = (Api::start().await, Webhook::start().await);
    let with = |conditions: &[&str]| {
        let mut hook = webhook.hook("deny");
        let named = |(n, expression)| json!({"name": format!("c{n}"), "expression": expression});
        hook["matchConditions"] = conditions.iter().enumerate().map(named).collect();
        hook
    };
    let (yes, no, fails) = ("object.metadata.name == 'a'", "request.dryRun", "object.none == 1");
    register(&api, "Validating", &[with(&[yes, "!request.dryRun"])]).await;
    api.post(MAPS, &map("a")).await.fails(403);
    api.post(MAPS, &map("b")).await.ok();
    register(&api, "Mutating", &[with(&[yes, no])]).await;
    register(&api, "Validating", &[with(&[yes, fails, no])]).await;
    api.post(MAPS, &map("a")).await.ok();
    register(&api, "Mutating", &[]).await;
    register(&api, "Validating", &[with(&["true", fails])]).await;
    let refused = api.post(MAPS, &map("c")).await.fails(403);
    let message = refused["message"].as_str().unwrap();
    assert!(message.contains("match condition \"c1\": no such key: none"), "{message}");
    let mut open = with(&["true", fails]);
    open["failurePolicy"] = "Ignore".into();
    register(&api, "Validating", &[open]).await;
    api.post(MAPS, &map("c")).await.ok();
}

/// Everything that decides about a request has looked at its kind and its namespace.
#[tokio::test]
async fn a_webhook_cannot_move_or_disguise_an_object() {
    let (api, webhook) = (Api::start().await, Webhook::start().await);
    for (path, code) in [("move", 400), ("rename", 500), ("disguise", 500)] {
        register(&api, "Mutating", &[webhook.hook(path)]).await;
        api.post(MAPS, &map("a")).await.fails(code);
    }
    register(&api, "Mutating", &[]).await;
    let all = api.get("/api/v1/configmaps").await.ok();
    let names = all["items"].as_array().unwrap().iter().map(|item| &item["metadata"]["name"]);
    assert_eq!(names.filter(|name| **name == "a").count(), 0);
}

//! Group versions that another API server serves.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::harness::{Api, Watch};
use crate::user::User;

const SERVICES: &str = "/apis/apiregistration.k8s.io/v1/apiservices";

/// Another API server, which tells who asked and knows the front proxy by the authority `clients`. Returns its port and its authority.
async fn other(clients: &str) -> (u16, String, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let ca = pki::Authority::open(dir.path(), "ca").unwrap();
    let subject = pki::Subject {
        name: "other",
        dns: &["other.default.svc"],
        usage: pki::Usage::Server,
        ..Default::default()
    };
    let tls = pki::tls::server(&ca.issue(&subject).unwrap(), clients, &["http/1.1"]).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let serve = service_fn(async |request: Request<Incoming>| {
                    let texts = |name: &str| -> Vec<String> {
                        let all = request.headers().get_all(name).iter();
                        all.map(|v| v.to_str().unwrap().to_owned()).collect()
                    };
                    let answer = match request.uri().path() {
                        "/apis/other.example.com/v1" => json!({
                            "kind": "APIResourceList", "groupVersion": "other.example.com/v1",
                            "resources": [
                                {"name": "things", "singularName": "thing", "namespaced": true,
                                 "kind": "Thing", "verbs": ["get", "list"]},
                                {"name": "things/status", "kind": "Thing", "verbs": ["get"]},
                            ],
                        }),
                        path => json!({
                            "path": path, "query": request.uri().query(),
                            "user": texts("x-remote-user"), "groups": texts("x-remote-group"),
                            "authorization": texts("authorization"),
                        }),
                    };
                    let body = Full::<Bytes>::from(answer.to_string());
                    let response = Response::builder().header("content-type", "application/json");
                    response.body(body)
                });
                let connection = hyper::server::conn::http1::Builder::new();
                let _ = connection.serve_connection(TokioIo::new(stream), serve).await;
            });
        }
    });
    (port, ca.cert().to_owned(), dir)
}

/// Waits until the availability of the registration has this reason.
async fn until(api: &Api, reason: &str) {
    let mut watch = Watch::open(api, &format!("{SERVICES}?watch=true")).await;
    loop {
        let event = watch.event().await;
        let object = &event["object"];
        if object["metadata"]["name"] == "v1.other.example.com"
            && object["status"]["conditions"][0]["reason"] == reason
        {
            return;
        }
    }
}

#[tokio::test]
async fn requests_are_passed_on_with_the_users_name() {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    let api = Api::start().await;
    let (port, authority, _dir) = other(&api.authority()).await;
    let registration = json!({
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
        "metadata": {"name": "v1.other.example.com"},
        "spec": {
            "group": "other.example.com", "version": "v1",
            "service": {"namespace": "default", "name": "other", "port": 443},
            "groupPriorityMinimum": 1000, "versionPriority": 10,
            "caBundle": STANDARD.encode(&authority),
        },
    });
    api.post(SERVICES, &registration).await.ok();
    until(&api, "ServiceNotFound").await;
    let things = "/apis/other.example.com/v1/namespaces/default/things";
    assert_eq!(api.get(things).await.code.as_u16(), 503);
    let service = json!({
        "metadata": {"name": "other"}, "spec": {"ports": [{"port": 443, "name": "https"}]},
    });
    api.post("/api/v1/namespaces/default/services", &service).await.ok();
    until(&api, "MissingEndpoints").await;
    // Endpoints on loopback cannot be written through the API, so they are given no address there.
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"name": "other", "namespace": "default",
            "labels": {"kubernetes.io/service-name": "other"}},
        "addressType": "IPv4", "endpoints": [{"addresses": ["127.0.0.1"]}],
        "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
    });
    api.store(slice).await;
    until(&api, "Passed").await;

    let seen = api
        .ask(Method::GET, &format!("{things}?limit=3"))
        .by(User::new("somebody", &["system:masters"]))
        .header("x-remote-user", "forged")
        .header("authorization", "Bearer secret")
        .send()
        .await
        .ok();
    assert_eq!(seen["path"], things);
    assert_eq!(seen["query"], "limit=3");
    assert_eq!(seen["user"], json!(["somebody"]));
    assert_eq!(seen["groups"], json!(["system:masters", "system:authenticated"]));
    assert_eq!(seen["authorization"], json!([]));
    // A user without rights here does not come through.
    let refused = api.ask(Method::GET, things).by(User::new("nobody", &[])).send().await;
    refused.fails(403);

    let group = api.get("/apis/other.example.com").await.ok();
    assert_eq!(group["preferredVersion"]["groupVersion"], "other.example.com/v1");
    let groups = api
        .ask(Method::GET, "/apis")
        .header("accept", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList")
        .send()
        .await
        .ok();
    let found = groups["items"].as_array().unwrap().iter();
    let found: Vec<&Value> =
        found.filter(|group| group["metadata"]["name"] == "other.example.com").collect();
    let resource = &found[0]["versions"][0]["resources"][0];
    assert_eq!(
        (&resource["resource"], &resource["scope"]),
        (&json!("things"), &json!("Namespaced"))
    );
    assert_eq!(resource["subresources"][0]["subresource"], "status");

    api.ask(Method::DELETE, &format!("{SERVICES}/v1.other.example.com")).send().await.ok();
    while api.get(things).await.code.as_u16() != 404 {
        tokio::task::yield_now().await;
    }
}

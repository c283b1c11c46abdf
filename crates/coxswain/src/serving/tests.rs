use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1 as client_http1;
use kube::client::Body;
use serde_json::{Value, json};
use telemetry::metrics::Desc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::*;

/// An API server that knows one token, whose user may read metrics, and counts what it is asked.
fn api(asked: Arc<AtomicUsize>) -> client::Client {
    let service = tower::service_fn(move |request: Request<Body>| {
        let asked = asked.clone();
        async move {
            let path = request.uri().path().to_owned();
            let bytes = request.into_body().collect().await.unwrap().to_bytes();
            let mut review: Value = serde_json::from_slice(&bytes).unwrap();
            if path.ends_with("/tokenreviews") {
                let known = review["spec"]["token"] == "good";
                review["status"] = json!({"authenticated": known, "user": {"username": "prom"}});
            } else {
                asked.fetch_add(1, Ordering::SeqCst);
                let spec = &review["spec"];
                let reads =
                    spec["nonResourceAttributes"] == json!({"path": "/metrics", "verb": "get"});
                review["status"] = json!({"allowed": spec["user"] == "prom" && reads});
            }
            Ok::<_, Infallible>(hyper::Response::new(Body::from(review.to_string().into_bytes())))
        }
    });
    client::transport::in_process(service, ())
}

struct Rig {
    address: SocketAddr,
    authority: pki::Authority,
    asked: Arc<AtomicUsize>,
    cancel: CancellationToken,
    _dir: tempfile::TempDir,
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

impl Rig {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let authority = pki::Authority::open(dir.path(), "ca").unwrap();
        let (ip, asked) = ([127, 0, 0, 1].into(), Arc::new(AtomicUsize::new(0)));
        let usage = pki::Usage::Server;
        let subject = pki::Subject { name: "n", ips: &[ip], usage, ..Default::default() };
        let issued = pki::self_signed(&subject).unwrap();
        let tls = pki::tls::server(&issued, authority.cert(), &["http/1.1"]).unwrap();
        let registry = registry();
        registry.counter(Desc::alpha("tried_total", "Tries.")).inc();
        let resources = Registry::bare();
        resources.gauge(Desc::stable("pod_resource", "One."));
        let endpoints = Endpoints::new(&registry)
            .with_resources(resources)
            .guarded(Access::new(api(asked.clone())));
        let cancel = CancellationToken::new();
        let address = SocketAddr::new(ip, 0);
        let address = serve(address, Some(tls), endpoints, cancel.clone()).await.unwrap();
        Self { address, authority, asked, cancel, _dir: dir }
    }

    /// By a certificate of this group, if one is named.
    async fn get(&self, path: &str, token: &str, group: &str) -> (u16, String) {
        let mut tls = (*pki::tls::unverified_client().unwrap()).clone();
        if !group.is_empty() {
            let subject = pki::Subject { name: "jane", group, ..Default::default() };
            let issued = self.authority.issue(&subject).unwrap();
            let own = pki::tls::client(&issued, self.authority.cert()).unwrap();
            tls.client_auth_cert_resolver = own.client_auth_cert_resolver;
        }
        let stream = TcpStream::connect(self.address).await.unwrap();
        let name = rustls::pki_types::ServerName::try_from("127.0.0.1").unwrap();
        let stream = TlsConnector::from(Arc::new(tls)).connect(name, stream).await.unwrap();
        let (mut sender, connection) = client_http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let mut request = Request::get(path).header("host", "n");
        if !token.is_empty() {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request.body(Empty::<Bytes>::new()).unwrap();
        let answer = sender.send_request(request).await.unwrap();
        let code = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (code, String::from_utf8(body.to_vec()).unwrap())
    }
}

#[tokio::test]
async fn health_is_everybodys_and_metrics_are_whose_the_api_server_says() {
    let rig = Rig::start().await;
    for path in ["/healthz", "/livez", "/readyz"] {
        assert_eq!(rig.get(path, "", "").await, (200, "ok".to_owned()), "{path}");
    }
    let (code, body) = rig.get("/metrics", "", "").await;
    let status: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((code, &status["reason"]), (403, &json!("Forbidden")));
    let message = "forbidden: User \"system:anonymous\" cannot get path \"/metrics\"";
    assert_eq!(status["message"], message);
    assert_eq!(rig.get("/metrics", "bad", "").await.0, 401);
    assert_eq!(rig.get("/metrics", "", "devs").await.0, 403);
    assert_eq!(rig.get("/metrics/resources", "good", "").await.0, 403);
    let (code, text) = rig.get("/metrics", "good", "").await;
    assert_eq!(code, 200);
    for line in ["tried_total 1", "# TYPE process_resident_memory_bytes gauge"] {
        assert!(text.lines().any(|l| l == line), "{line}\n{text}");
    }
    assert!(text.contains("kubernetes_build_info{"), "{text}");
    let (code, text) = rig.get("/metrics/slis", "", "system:masters").await;
    let line = "kubernetes_healthchecks_total{name=\"ping\",status=\"success\",type=\"livez\"} 1";
    assert!(code == 200 && text.lines().any(|l| l == line), "{text}");
    assert!(!text.contains("tried_total"), "{text}");
    let (code, text) = rig.get("/metrics/resources", "", "system:masters").await;
    assert_eq!((code, text.contains("pod_resource 0")), (200, true), "{text}");
    assert_eq!(rig.get("/nowhere", "", "system:masters").await.0, 404);
}

#[tokio::test]
async fn an_answer_of_the_api_server_holds_for_a_moment() {
    let rig = Rig::start().await;
    for _ in 0..5 {
        assert_eq!(rig.get("/metrics", "good", "").await.0, 200);
        assert_eq!(rig.get("/metrics", "", "").await.0, 403);
    }
    assert_eq!(rig.asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn the_proxy_tells_of_its_health_without_asking_anybody() {
    let registry = registry();
    let health = proxy::Health::new(&registry);
    let endpoints = Endpoints::new(&registry).with_proxy(health);
    let cancel = CancellationToken::new();
    let address = "127.0.0.1:0".parse().unwrap();
    let address = serve(address, None, endpoints, cancel.clone()).await.unwrap();
    for (path, want) in [("/healthz", 503), ("/livez", 503), ("/proxyMode", 200), ("/metrics", 200)]
    {
        let stream = TcpStream::connect(address).await.unwrap();
        let (mut sender, connection) = client_http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let request = Request::get(path).header("host", "n").body(Empty::<Bytes>::new()).unwrap();
        let answer = sender.send_request(request).await.unwrap();
        assert_eq!(answer.status().as_u16(), want, "{path}");
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8(body.to_vec()).unwrap();
        match path {
            "/healthz" => assert!(text.contains("\"nodeEligible\": true"), "{text}"),
            "/metrics" => assert!(text.contains("kubeproxy_proxy_healthz_total{code=\"503\"} 1")),
            _ => {}
        }
    }
    cancel.cancel();
}

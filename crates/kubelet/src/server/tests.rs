//! The server behind real TLS, in front of a simulated runtime.

use std::net::SocketAddr;

use bytes::Bytes;
use client::InformerFactory;
use futures::{SinkExt, StreamExt};
use http::{Method, Request};
use http_body_util::{BodyExt, Empty};
use k8s_openapi::api::core::v1::Pod;
use runtime::{ContainerConfig, ContainerMetadata, Runtime, SandboxConfig, SandboxMetadata};
use serde_json::{Value, json};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use super::*;
use crate::config::KubeletConfig;
use crate::dirs::Dirs;
use crate::spec::labels;
use crate::testing::api::Api;
use crate::testing::runtime::Simulated;

const LOG: &str = "2024-01-01T00:00:01Z stdout F one\n2024-01-01T00:00:02Z stderr F two\n";

struct Rig {
    address: SocketAddr,
    authority: pki::Authority,
    cancel: CancellationToken,
    context: Arc<Context>,
    _dir: tempfile::TempDir,
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

/// A server with one pod, `ns/p`, whose container `a` runs.
async fn rig() -> Rig {
    let dir = tempfile::tempdir().unwrap();
    let authority = pki::Authority::open(dir.path(), "ca").unwrap();
    let address: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let subject = pki::Subject {
        name: "n1",
        ips: &[address.ip()],
        usage: pki::Usage::Server,
        ..Default::default()
    };
    let issued = authority.issue(&subject).unwrap();
    let tls = Arc::new(pki::tls::server(&issued, authority.cert(), &["http/1.1"]).unwrap());
    let runtime = Simulated::default();
    let api = Api::default();
    let pod = crate::testing::pod(json!({"containers": [{"name": "a"}], "nodeName": "n1"}));
    run_container(&runtime, &pod, dir.path()).await;
    api.put("/api/v1/namespaces/ns/pods/p", serde_json::to_value(&pod).unwrap());
    let cancel = CancellationToken::new();
    let config = KubeletConfig {
        informers: InformerFactory::new(api.client(), cancel.clone()),
        client: api.client(),
        runtime: Arc::new(runtime),
        node_name: "n1".into(),
        node_ip: address.ip(),
        data_dir: dir.path().to_owned(),
        cluster_dns: Vec::new(),
        cluster_domain: "cluster.local".into(),
        node_labels: Default::default(),
        max_pods: 110,
        own_ports: Vec::new(),
        allowed_unsafe_sysctls: Vec::new(),
        image_credentials: Default::default(),
        server: None,
        stop_pods_on_exit: false,
        metrics: Default::default(),
        certificate: None,
        cancel: cancel.clone(),
    };
    let context = Arc::new(crate::run::build(config, Dirs::new(dir.path()), &cancel).unwrap());
    context.pods.wait_synced().await;
    let probed = ["Readiness", "failed", "a", "p", "ns", "u"];
    context.metrics.probe_results.with(probed).inc();
    let listen = ServerConfig { listen: address, tls };
    let server = bind(context.clone(), &listen).await.unwrap();
    let address = server.listener.local_addr().unwrap();
    tokio::spawn(server.run(cancel.clone()));
    Rig { address, authority, cancel, context, _dir: dir }
}

async fn run_container(runtime: &Simulated, pod: &Pod, dir: &std::path::Path) {
    let log = dir.join("0.log");
    std::fs::write(&log, LOG).unwrap();
    let metadata = SandboxMetadata { uid: "u".into(), ..Default::default() };
    let labels = labels::of_sandbox(pod);
    let sandbox = SandboxConfig { metadata, labels, ..Default::default() };
    let sandbox = runtime.run_pod_sandbox(sandbox).await.unwrap();
    let container = &crate::pod::spec(pod).containers[0];
    let config = ContainerConfig {
        metadata: ContainerMetadata { name: "a".into(), attempt: 0 },
        labels: labels::of_container(pod, container),
        log_path: log,
        ..Default::default()
    };
    let id = runtime.create_container(&sandbox, config).await.unwrap();
    runtime.start_container(&id).await.unwrap();
}

impl Rig {
    async fn connect(&self, user: Option<(&str, &str)>) -> TlsStream<TcpStream> {
        let (name, group) = user.unwrap_or(("nobody", ""));
        let issued =
            self.authority.issue(&pki::Subject { name, group, ..Default::default() }).unwrap();
        let mut tls = pki::tls::client(&issued, self.authority.cert()).unwrap();
        if user.is_none() {
            tls.client_auth_cert_resolver = Arc::new(NoCertificate);
        }
        let stream = TcpStream::connect(self.address).await.unwrap();
        let name = rustls::pki_types::ServerName::try_from("127.0.0.1").unwrap();
        TlsConnector::from(Arc::new(tls)).connect(name, stream).await.unwrap()
    }

    async fn get(&self, user: Option<(&str, &str)>, path: &str) -> (u16, String) {
        self.ask(user, Method::GET, path).await
    }

    async fn ask(&self, user: Option<(&str, &str)>, method: Method, path: &str) -> (u16, String) {
        let stream = TokioIo::new(self.connect(user).await);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        let request = Request::builder().method(method).uri(path).header("host", "n1");
        let request = request.body(Empty::<Bytes>::new()).unwrap();
        let response = sender.send_request(request).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }
}

#[derive(Debug)]
struct NoCertificate;

impl rustls::client::ResolvesClientCert for NoCertificate {
    fn resolve(
        &self,
        _root_hint_subjects: &[&[u8]],
        _sigschemes: &[rustls::SignatureScheme],
    ) -> Option<Arc<rustls::sign::CertifiedKey>> {
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

const ADMIN: Option<(&str, &str)> = Some(("admin", "system:masters"));

#[tokio::test]
async fn only_the_cluster_and_its_administrators_get_in() {
    let rig = rig().await;
    let status = |body: &str| serde_json::from_str::<Value>(body).unwrap();
    let (code, body) = rig.get(None, "/pods").await;
    assert_eq!((code, &status(&body)["reason"]), (401, &json!("Unauthorized")));
    let (code, body) = rig.get(Some(("jane", "devs")), "/pods").await;
    assert_eq!(code, 403);
    let message =
        "Forbidden (user=jane, verb=get, resource=nodes, subresource(s)=[pods proxy], name=n1)";
    assert_eq!(status(&body)["message"], message);
    assert_eq!(rig.get(None, "/healthz").await, (200, "ok".to_owned()));
    let (code, body) = rig.get(ADMIN, "/pods").await;
    assert_eq!((code, &status(&body)["items"][0]["metadata"]["name"]), (200, &json!("p")));
}

#[tokio::test]
async fn what_runs_and_by_which_rules_is_told() {
    let rig = rig().await;
    let read = async |path: &str| -> Value {
        let (code, body) = rig.get(ADMIN, path).await;
        assert_eq!(code, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap()
    };
    for path in ["/runningpods/", "/runningpods"] {
        let pods = read(path).await;
        assert_eq!(
            (&pods["kind"], &pods["items"].as_array().unwrap().len()),
            (&json!("PodList"), &1)
        );
        let pod = &pods["items"][0];
        assert_eq!(pod["metadata"], json!({"namespace": "ns", "name": "p", "uid": "u"}));
        let containers = pod["spec"]["containers"].as_array().unwrap();
        let names: Vec<&Value> = containers.iter().map(|container| &container["name"]).collect();
        assert_eq!(names, ["a"]);
    }
    let config = &read("/configz").await["kubeletconfig"];
    assert_eq!(config["maxPods"], 110);
    assert_eq!(config["clusterDomain"], "cluster.local");
    assert_eq!(config["nodeStatusReportFrequency"], "5m0s");
    assert_eq!(config["containerLogMaxSize"], "10Mi");
    assert_eq!(config["imagePullCredentialsVerificationPolicy"], "NeverVerifyPreloadedImages");
    assert_eq!(config["enableServer"], false);
    for path in ["/configz", "/runningpods/"] {
        assert_eq!(rig.get(Some(("jane", "devs")), path).await.0, 403);
    }
}

#[tokio::test]
async fn logs_are_served_and_refused() {
    let rig = rig().await;
    let table = [
        ("/containerLogs/ns/p/a", 200, "one\ntwo\n"),
        ("/containerLogs/ns/p/a?tailLines=1&timestamps=true", 200, "2024-01-01T00:00:02Z two\n"),
        ("/containerLogs/ns/p/b", 404, "is not available"),
        ("/containerLogs/ns/q/a", 404, "pod \\\"q\\\" not found"),
        ("/containerLogs/ns/p/a?previous=true", 400, "previous terminated container"),
        ("/containerLogs/ns/p/a?tailLines=x", 400, "tailLines: invalid value"),
        ("/nowhere", 404, "404 page not found"),
    ];
    for (path, code, text) in table {
        let (got, body) = rig.get(ADMIN, path).await;
        assert!(got == code && body.contains(text), "{path}: {got} {body}");
    }
}

#[tokio::test]
async fn a_path_takes_its_own_methods() {
    let rig = rig().await;
    let refused = |code: u16, reason: &str, message: &str| {
        format!(
            "{{\"apiVersion\":\"v1\",\"code\":{code},\"kind\":\"Status\",\"message\":{message:?},\
             \"metadata\":{{}},\"reason\":\"{reason}\",\"status\":\"Failure\"}}"
        )
    };
    let not_allowed = refused(405, "MethodNotAllowed", "405: Method Not Allowed");
    let not_found = refused(404, "NotFound", "404 page not found");
    let no_stream = "you must specify at least 1 of stdin, stdout, stderr";
    for (method, path, code, body) in [
        (Method::PUT, "/pods", 405, not_allowed.as_str()),
        (Method::POST, "/pods", 405, not_allowed.as_str()),
        (Method::DELETE, "/exec/ns/p/a", 405, not_allowed.as_str()),
        (Method::HEAD, "/pods", 405, ""),
        (Method::PUT, "/nowhere", 404, not_found.as_str()),
        (Method::GET, "/pods/x", 404, not_found.as_str()),
        (Method::POST, "/exec/ns/p/a", 400, &refused(400, "BadRequest", no_stream)),
        (Method::GET, "/attach/ns/p/u/a/", 400, &refused(400, "BadRequest", no_stream)),
        (Method::GET, "//healthz/", 200, "ok"),
    ] {
        let got = rig.ask(ADMIN, method.clone(), path).await;
        assert_eq!(got, (code, body.to_owned()), "{method} {path}");
    }
}

#[tokio::test]
async fn logs_are_read_over_a_websocket() {
    let rig = rig().await;
    for (protocol, expected) in [
        ("binary.k8s.io", Message::binary("one\ntwo\n")),
        ("base64.binary.k8s.io", Message::text("b25lCnR3bwo=")),
    ] {
        let mut request = "ws://n1/containerLogs/ns/p/a".into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", protocol.parse().unwrap());
        let stream = rig.connect(ADMIN).await;
        let (mut socket, _) = tokio_tungstenite::client_async(request, stream).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), expected);
        assert!(socket.next().await.unwrap().unwrap().is_close());
    }
}

#[tokio::test]
async fn a_command_runs_over_a_websocket() {
    let rig = rig().await;
    let url = "ws://n1/exec/ns/p/a?command=cat&input=1&output=1";
    let mut request = url.into_client_request().unwrap();
    let protocols = "v5.channel.k8s.io, v4.channel.k8s.io".parse().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", protocols);
    let stream = rig.connect(ADMIN).await;
    let (mut socket, response) = tokio_tungstenite::client_async(request, stream).await.unwrap();
    assert_eq!(response.headers()["sec-websocket-protocol"], "v5.channel.k8s.io");
    assert!(!response.headers().contains_key("content-length"), "{:?}", response.headers());
    socket.send(Message::binary(b"\0hello".to_vec())).await.unwrap();
    socket.send(Message::binary(b"\xff\0".to_vec())).await.unwrap();
    let mut streams = [Vec::new(), Vec::new(), Vec::new(), Vec::new()];
    let mut close = None;
    while let Some(Ok(message)) = socket.next().await {
        match message {
            Message::Close(frame) => close = frame,
            message => {
                let data = message.into_data();
                streams[usize::from(data[0])].extend_from_slice(&data[1..]);
            }
        }
    }
    assert_eq!(streams[1], b"hello");
    let status: Value = serde_json::from_slice(&streams[3]).unwrap();
    assert_eq!(status["details"]["causes"][0]["message"], "7");
    assert_eq!(u16::from(close.unwrap().code), 1000);
}

#[tokio::test]
async fn the_node_tells_of_its_work_and_of_its_pods() {
    let rig = rig().await;
    assert_eq!(rig.get(None, "/metrics").await.0, 401);
    for i in 0..20 {
        assert_eq!(rig.get(ADMIN, &format!("/made-up-{i}/x?y={i}")).await.0, 404);
    }
    for (path, lines) in [
        (
            "/metrics",
            &[
                "kubelet_node_name{node=\"n1\"} 1",
                "kubelet_desired_pods{static=\"\"} 1",
                "kubelet_running_pods 1",
                "kubelet_running_containers{container_state=\"running\"} 1",
                "kubelet_running_containers{container_state=\"exited\"} 0",
                "# TYPE kubelet_runtime_operations_duration_seconds histogram",
                "kubelet_runtime_operations_total{operation_type=\"list_podsandbox\"} 1",
                "kubelet_http_requests_total{long_running=\"false\",method=\"GET\",path=\"other\",server_type=\"readwrite\"} 20",
                "kubelet_http_inflight_requests{long_running=\"false\",method=\"GET\",path=\"metrics\",server_type=\"readwrite\"} 1",
                "# HELP kubelet_pod_start_duration_seconds [ALPHA] Duration in seconds from kubelet seeing a pod for the first time to the pod starting to run",
            ][..],
        ),
        (
            "/metrics/resource",
            &[
                "# TYPE container_cpu_usage_seconds_total counter",
                "# HELP pod_memory_working_set_bytes [STABLE] Current working set of the pod in bytes",
                "resource_scrape_error 0",
            ][..],
        ),
        (
            "/metrics/cadvisor",
            &["# TYPE container_memory_working_set_bytes gauge", "# TYPE machine_cpu_cores gauge"]
                [..],
        ),
        (
            "/metrics/probes",
            &[
                "# TYPE prober_probe_total counter",
                "prober_probe_total{container=\"a\",namespace=\"ns\",pod=\"p\",pod_uid=\"u\",probe_type=\"Readiness\",result=\"failed\"} 1",
            ][..],
        ),
    ] {
        let (code, text) = rig.get(ADMIN, path).await;
        assert_eq!(code, 200, "{path}");
        for line in lines {
            assert!(text.lines().any(|l| l == *line), "{path}: {line}\n{text}");
        }
        assert!(!text.contains("made-up"), "{text}");
    }
    let (_, text) = rig.get(ADMIN, "/metrics/resource").await;
    let sample = "container_memory_working_set_bytes{container=\"a\",namespace=\"ns\",pod=\"p\"} ";
    let line = text.lines().find(|line| line.starts_with(sample)).expect(&text);
    assert!(line.rsplit(' ').next().unwrap().parse::<u64>().is_ok(), "no timestamp: {line}");
    let (_, text) = rig.get(ADMIN, "/metrics/cadvisor").await;
    let sample =
        "container_cpu_usage_seconds_total{container=\"a\",cpu=\"total\",id=\"/kubepods/podu/";
    assert!(text.lines().any(|line| line.starts_with(sample)), "{text}");

    let (_, text) = rig.get(ADMIN, "/configz").await;
    let config: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(config["kubeletconfig"]["maxPods"], 110);
    assert_eq!(config["kubeletconfig"]["clusterDomain"], "cluster.local");
    let (_, text) = rig.get(ADMIN, "/stats/summary").await;
    let summary: Value = serde_json::from_str(&text).unwrap();
    assert!(summary["node"]["cpu"]["usageNanoCores"].is_u64(), "{summary}");
}

#[tokio::test]
async fn the_series_of_a_probe_end_with_it() {
    let rig = rig().await;
    let probe = json!({"exec": {"command": ["true"]}, "periodSeconds": 1});
    let pod = Arc::new(crate::testing::pod(json!({
        "containers": [{"name": "a", "readinessProbe": probe}], "nodeName": "n1"})));
    let containers = rig.context.runtime.list_containers(Default::default()).await.unwrap();
    let member = crate::pod::member(&pod, "a").unwrap();
    let until = async |what: &str, holds: fn(&str) -> bool| {
        let waits = async {
            while !holds(&rig.context.metrics.probes.encode(telemetry::metrics::Format::Text)) {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(10), waits).await.expect(what);
    };
    let mut prober = crate::probes::Prober::default();
    prober.start(&rig.context, &pod, &member, &containers[0], "10.0.0.7");
    let took = "prober_probe_duration_seconds_count{container=\"a\",namespace=\"ns\",pod=\"p\",probe_type=\"Readiness\"} ";
    until("it is told of", |text| text.contains("result=\"successful\"")).await;
    let text = rig.context.metrics.probes.encode(telemetry::metrics::Format::Text);
    assert!(text.contains(took), "{text}");
    prober.stop_except(|_| false);
    until("nothing is left of it", str::is_empty).await;
}

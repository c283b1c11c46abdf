//! Several nodes on one machine, and components that run alone.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use bytes::Bytes;
use e2e::{Cluster, tool};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

const WEB: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 2
      containers:
      - name: web
        image: coxswain.local/demo:v1
        ports: [{containerPort: 8080, hostPort: 8088}]
        readinessProbe: {httpGet: {port: 8080}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  type: NodePort
  selector: {app: web}
  ports: [{port: 80, targetPort: 8080, nodePort: 30880}]
"#;

#[test]
fn pods_of_three_nodes_reach_each_other_and_outlive_a_crash() {
    let mut cluster = Cluster::with(&["--nodes", "3"]);
    let nodes = cluster.kubectl("get nodes --no-headers").ok();
    assert_eq!(nodes.matches(" Ready ").count(), 3, "{nodes}");
    // The host port lets one pod onto each node.
    cluster.apply(WEB);
    cluster.kubectl("rollout status deployment/web --timeout=60s").ok();
    let pods = cluster.kubectl("get pods -o name").ok();
    let names: Vec<&str> = pods.lines().map(|name| name.trim_start_matches("pod/")).collect();
    let ips = cluster.kubectl("get pods -o jsonpath={.items[*].status.podIP}").ok();
    let hosts = cluster.kubectl("get pods -o jsonpath={.items[*].status.hostIP}").ok();
    for from in &names {
        for (to, ip) in names.iter().zip(ips.split(' ')) {
            let get = format!("exec {from} -- /coxswain demo get http://{ip}:8080/");
            assert_eq!(cluster.kubectl(&get).ok(), format!("Hello from {to}\n"));
        }
        let get = format!("exec {from} -- /coxswain demo get http://web.default.svc/");
        assert!(cluster.kubectl(&get).ok().starts_with("Hello from web-"));
        assert!(cluster.kubectl(&format!("logs {from}")).ok().contains("GET /"));
        // By another node's port a pod may be led back to itself: several tries hit that case.
        for host in hosts.split(' ').cycle().take(9) {
            let get = format!("exec {from} -- /coxswain demo get http://{host}:30880/");
            assert!(cluster.kubectl(&get).ok().starts_with("Hello from web-"), "{host}");
        }
    }

    let ids = "get pods -o jsonpath={.items[*].status.containerStatuses[0].containerID}";
    let before = cluster.kubectl(ids).ok();
    cluster.kill();
    cluster.up();
    cluster.wait("--for=condition=Ready pod --all");
    assert_eq!(cluster.kubectl(ids).ok(), before, "containers were replaced");
    let dir = cluster.dir().to_string_lossy().into_owned();
    cluster.stop();
    assert_eq!(e2e::traces(&dir), Vec::<String>::new());
}

#[test]
fn a_node_that_dies_is_started_again_and_a_former_one_is_forgotten() {
    let mut cluster = Cluster::with(&["--nodes", "2"]);
    cluster.apply(&WEB.replace("replicas: 3", "replicas: 2"));
    cluster.kubectl("rollout status deployment/web --timeout=60s").ok();
    let ids = "get pods -o jsonpath={.items[*].status.containerStatuses[0].containerID}";
    let before = cluster.kubectl(ids).ok();
    let nodes = cluster.node_pids();
    let [node] = nodes[..] else { panic!("not one further node: {nodes:?}") };
    let killed = Command::new("kill").args(["-9", &node.to_string()]).status();
    assert!(killed.is_ok_and(|status| status.success()));
    let begun = std::time::Instant::now();
    while !matches!(cluster.node_pids()[..], [again] if again != node) {
        assert!(begun.elapsed().as_secs() < 30, "the node is not started again");
        // Asking the cluster takes its time.
        cluster.kubectl("get --raw /livez").ok();
    }
    // It serves again what runs there.
    let pods = cluster.kubectl("get pods -o name").ok();
    for pod in pods.lines() {
        let logs = || cluster.kubectl(&format!("logs {pod}"));
        while logs().code != 0 {
            assert!(begun.elapsed().as_secs() < 60, "{}", logs().stderr);
        }
    }
    assert_eq!(cluster.kubectl(ids).ok(), before, "containers were replaced");

    cluster.stop();
    cluster.set_options(&[]);
    cluster.up();
    let nodes = cluster.kubectl("get nodes --no-headers").ok();
    assert_eq!(nodes.lines().count(), 1, "{nodes}");
}

/// A component of its own process; ends with the test.
struct Component(Child);

impl Component {
    fn start(words: &str) -> Self {
        let child = Command::new(tool("COXSWAIN"))
            .args(words.split_whitespace())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn();
        Self(child.expect("coxswain starts"))
    }
}

impl Drop for Component {
    fn drop(&mut self) {
        let kill = Command::new("kill").arg(self.0.id().to_string()).status();
        assert!(kill.is_ok_and(|status| status.success()), "a component ended by itself");
        let _ = self.0.wait();
    }
}

/// Requests a path of a port of this machine, with the administrator's certificate from a directory
/// or without any.
// A step that fails here is a failed test.
#[allow(clippy::unwrap_used)]
fn get(port: u16, path: &str, certs: Option<&Path>) -> (u16, String) {
    let read = |dir: &Path, name: &str| std::fs::read_to_string(dir.join(name)).unwrap();
    let mut tls = (*pki::tls::unverified_client().unwrap()).clone();
    if let Some(dir) = certs {
        let issued = pki::Issued { cert: read(dir, "admin.crt"), key: read(dir, "admin.key") };
        let own = pki::tls::client(&issued, &read(dir, "ca.crt")).unwrap();
        tls.client_auth_cert_resolver = own.client_auth_cert_resolver;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let stream = TlsConnector::from(Arc::new(tls)).connect(name, stream).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let request = hyper::Request::get(path).header("host", "localhost");
        let request = request.body(Empty::<Bytes>::new()).unwrap();
        let answer = sender.send_request(request).await.unwrap();
        let code = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (code, String::from_utf8(body.to_vec()).unwrap())
    })
}

#[test]
fn each_component_runs_alone() {
    let cluster = Cluster::place();
    let (dir, listen) = (cluster.dir().display().to_string(), cluster.listen());
    let config = |name: &str| format!("{dir}/kubeconfig/{name}.conf");
    let [scheduler, manager] = [(); 2].map(|()| e2e::free_port().port());
    let _server = Component::start(&format!("apiserver --dir {dir} --listen {listen}"));
    cluster.wait_served();
    let _others = [
        format!("scheduler --kubeconfig {} --secure-port {scheduler}", config("scheduler")),
        format!(
            "controller-manager --kubeconfig {} --secure-port {manager}",
            config("controller-manager")
        ),
        format!(
            "kubelet --kubeconfig {} --runtime simulated --data-dir {dir}/node",
            config(&format!("kubelet-{}", e2e::machine_name()))
        ),
    ]
    .map(|words| Component::start(&words));
    cluster.wait_created("serviceaccount/default");
    cluster.kubectl("create deployment web --image=simulated --replicas=2").ok();
    cluster.kubectl("rollout status deployment/web --timeout=60s").ok();
    // Their metrics are for those whom the cluster's authority has given a certificate.
    for (port, line) in [
        (scheduler, "leader_election_master_status{name=\"kube-scheduler\"} 1"),
        (manager, "leader_election_master_status{name=\"kube-controller-manager\"} 1"),
    ] {
        let certs = cluster.dir().join("certs");
        assert_eq!(get(port, "/healthz", None), (200, "ok".to_owned()));
        assert_eq!(get(port, "/metrics", None).0, 403);
        let (code, text) = get(port, "/metrics", Some(&certs));
        assert!(code == 200 && text.lines().any(|l| l == line), "{line}\n{text}");
    }
    let leases = cluster.kubectl("get leases -n kube-system -o name").ok();
    assert!(leases.contains("kube-scheduler"), "{leases}");
    // Each controller acts as its own service account.
    let managers = "get replicasets -o jsonpath={.items[0].metadata.managedFields[*].manager}";
    assert!(!cluster.kubectl(managers).ok().is_empty());
    let accounts = cluster.kubectl("get serviceaccounts -n kube-system -o name").ok();
    assert!(accounts.contains("deployment-controller"), "{accounts}");
    cluster.kubectl("delete deployment web --cascade=foreground --timeout=30s").ok();
    assert_eq!(cluster.kubectl("get replicasets,pods -o name").ok(), "");
}

//! A whole kubelet between a simulated API server and a simulated runtime.

use super::*;
use crate::testing::api::Api as FakeApi;
use crate::testing::runtime::Simulated;
use client::InformerFactory;
use serde_json::{Value, json};
use telemetry::metrics::{Format, Registry};

mod lifecycle;
mod projected;
mod resize;

struct Rig {
    api: FakeApi,
    runtime: Simulated,
    dir: tempfile::TempDir,
    cancel: CancellationToken,
    task: Option<tokio::task::JoinHandle<Result<(), Error>>>,
    metrics: Registry,
}

impl Rig {
    fn new() -> Self {
        let mut rig = Self {
            api: FakeApi::default(),
            runtime: Simulated::default(),
            dir: tempfile::tempdir().unwrap(),
            cancel: CancellationToken::new(),
            task: None,
            metrics: Registry::new(),
        };
        rig.start();
        rig
    }

    fn start(&mut self) {
        self.cancel = CancellationToken::new();
        self.metrics = Registry::new();
        let client = self.api.client();
        let config = KubeletConfig {
            informers: InformerFactory::new(client.clone(), self.cancel.clone()),
            client,
            runtime: Arc::new(self.runtime.clone()),
            node_name: "n1".into(),
            node_ip: "192.0.2.1".parse().unwrap(),
            data_dir: self.dir.path().to_owned(),
            cluster_dns: vec!["10.96.0.10".parse().unwrap()],
            cluster_domain: "cluster.local".into(),
            node_labels: Default::default(),
            max_pods: 110,
            own_ports: vec![10250],
            allowed_unsafe_sysctls: Vec::new(),
            image_credentials: Default::default(),
            server: None,
            stop_pods_on_exit: false,
            metrics: self.metrics.clone(),
            certificate: None,
            cancel: self.cancel.clone(),
        };
        self.task = Some(tokio::spawn(run(config)));
    }

    async fn stop(&mut self) {
        self.cancel.cancel();
        self.task.take().unwrap().await.unwrap().unwrap();
    }

    fn create(&self, mut spec: Value) {
        spec["nodeName"] = "n1".into();
        let pod = serde_json::to_value(crate::testing::pod(spec)).unwrap();
        self.api.put(POD, pod);
    }

    fn delete(&self, grace: i64) {
        let mut pod = self.api.get(POD).unwrap();
        pod["metadata"]["deletionTimestamp"] = "2024-01-01T00:00:00Z".into();
        pod["metadata"]["deletionGracePeriodSeconds"] = grace.into();
        self.api.put(POD, pod);
    }

    async fn until(&self, what: &str, check: impl Fn(&Value) -> bool) {
        let holds = |api: &FakeApi| api.get(POD).is_some_and(|pod| check(&pod["status"]));
        self.api.until(what, holds).await;
    }

    async fn until_gone(&self) {
        self.api.until("the pod is gone", |api| api.get(POD).is_none()).await;
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.cancel.cancel();
        let _ = crate::volumes::unmount(self.dir.path());
    }
}

const POD: &str = "/api/v1/namespaces/ns/pods/p";

fn condition(status: &Value, kind: &str) -> String {
    let list = status["conditions"].as_array().cloned().unwrap_or_default();
    let found = list.iter().find(|condition| condition["type"] == kind);
    found.map(|c| c["status"].as_str().unwrap().to_owned()).unwrap_or_default()
}

fn ready(status: &Value) -> bool {
    condition(status, "Ready") == "True"
}

fn container(status: &Value, index: usize) -> &Value {
    &status["containerStatuses"][index]
}

#[tokio::test(start_paused = true)]
async fn a_pod_from_assignment_to_deletion() {
    let rig = Rig::new();
    rig.create(json!({"containers": [{"name": "a", "lifecycle":
        {"preStop": {"exec": {"command": ["bye"]}}}}]}));
    rig.until("ready", ready).await;
    let status = rig.api.get(POD).unwrap()["status"].clone();
    assert_eq!(status["phase"], "Running");
    assert_eq!((&status["podIP"], &status["hostIP"]), (&json!("10.0.0.7"), &json!("192.0.2.1")));
    assert_eq!(status["qosClass"], "BestEffort");
    assert!(container(&status, 0)["state"]["running"]["startedAt"].is_string());
    assert!(container(&status, 0)["containerID"].as_str().unwrap().starts_with("coxswain://"));

    rig.delete(20);
    rig.until_gone().await;
    let calls = rig.runtime.calls();
    let order = ["exec a bye", "stop a 20s", "stop sandbox"];
    let at: Vec<_> = order.iter().map(|call| calls.iter().position(|c| c == call)).collect();
    assert!(at.is_sorted() && at[0].is_some(), "{calls:?}");
    let events = rig.api.events();
    for wanted in ["Created: Container created", "Killing: Stopping container a"] {
        assert!(events.iter().any(|event| event == wanted), "{events:?}");
    }
    let node = rig.api.get("/api/v1/nodes/n1").expect("the node registered itself");
    assert_eq!(node["metadata"]["labels"]["kubernetes.io/hostname"], "n1");
    let text = rig.metrics.encode(Format::Text);
    for line in [
        "kubelet_started_pods_total 1",
        "kubelet_started_pods_errors_total 0",
        "kubelet_started_containers_total{container_type=\"container\"} 1",
        "kubelet_pod_start_duration_seconds_count 1",
        "kubelet_runtime_operations_total{operation_type=\"run_podsandbox\"} 1",
        "kubelet_pod_worker_duration_seconds_count{operation_type=\"create\"} 1",
    ] {
        assert!(text.lines().any(|l| l == line), "{line}\n{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn init_containers_then_a_sidecar_then_the_app() {
    let rig = Rig::new();
    rig.create(json!({
        "initContainers": [{"name": "i"}, {"name": "s", "restartPolicy": "Always"}],
        "containers": [{"name": "a"}], "restartPolicy": "Never",
    }));
    let initialising = |status: &Value| {
        status["initContainerStatuses"][0]["state"]["running"].is_object()
            && container(status, 0)["state"]["waiting"]["reason"] == "PodInitializing"
    };
    rig.until("initialising", initialising).await;
    rig.runtime.exit("i", 0);
    rig.until("ready", ready).await;
    rig.runtime.exit("a", 0);
    rig.until("done", |status| status["phase"] == "Succeeded").await;
    let status = rig.api.get(POD).unwrap()["status"].clone();
    assert_eq!(container(&status, 0)["state"]["terminated"]["reason"], "Completed");
    let creations: Vec<_> =
        rig.runtime.calls().into_iter().filter(|call| call.starts_with("create")).collect();
    assert_eq!(creations, ["create i", "create s", "create a"]);
    rig.delete(1);
    rig.until_gone().await;
}

#[tokio::test(start_paused = true)]
async fn a_crashing_container_is_backed_off_and_reported() {
    let rig = Rig::new();
    rig.create(json!({"containers": [{"name": "a"}]}));
    rig.until("ready", ready).await;
    rig.runtime.exit("a", 3);
    rig.until("restarted", |s| container(s, 0)["restartCount"] == 1 && ready(s)).await;
    rig.runtime.exit("a", 3);
    let looping = |status: &Value| {
        let state = &container(status, 0)["state"]["waiting"];
        state["reason"] == "CrashLoopBackOff"
            && state["message"] == "back-off 10s restarting failed container=a pod=p_ns(u)"
    };
    rig.until("backed off", looping).await;
    let status = rig.api.get(POD).unwrap()["status"].clone();
    assert_eq!(container(&status, 0)["lastState"]["terminated"]["exitCode"], 3);
    assert_eq!(status["phase"], "Running");
    assert!(!ready(&status));
    rig.delete(1);
    rig.until_gone().await;
}

#[tokio::test(start_paused = true)]
async fn a_missing_image_and_a_missing_secret_are_named() {
    let rig = Rig::new();
    rig.runtime.lacks("none:1");
    rig.create(json!({"containers": [
        {"name": "a", "image": "none:1"},
        {"name": "b", "envFrom": [{"secretRef": {"name": "s"}}]},
    ]}));
    let reason = |status: &Value, index: usize, wanted: &str| {
        container(status, index)["state"]["waiting"]["reason"] == wanted
    };
    rig.until("pull failed", |status| reason(status, 0, "ErrImagePull")).await;
    rig.until("pull backed off", |status| reason(status, 0, "ImagePullBackOff")).await;
    rig.until("secret is missing", |status| reason(status, 1, "CreateContainerConfigError")).await;
    let status = rig.api.get(POD).unwrap()["status"].clone();
    assert_eq!(container(&status, 1)["state"]["waiting"]["message"], "secret \"s\" not found");
    assert_eq!(status["phase"], "Pending");

    let secret = json!({"metadata": {"namespace": "ns", "name": "s"}, "data": {"K": "dg=="}});
    rig.api.put("/api/v1/namespaces/ns/secrets/s", secret);
    rig.until("b runs", |s| container(s, 1)["state"]["running"].is_object()).await;
    let config = rig.runtime.config("b").unwrap();
    assert!(config.envs.contains(&("K".to_owned(), "v".to_owned())));
}

#[tokio::test(start_paused = true)]
async fn a_failed_liveness_probe_restarts() {
    let rig = Rig::new();
    let probe = |command: &str| json!({"exec": {"command": [command]}, "periodSeconds": 1});
    rig.create(json!({"containers": [
        {"name": "a", "livenessProbe": probe("false"), "terminationGracePeriodSeconds": 3},
        {"name": "b", "readinessProbe": probe("false")},
        {"name": "c", "startupProbe": probe("true"), "readinessProbe": probe("true")},
    ]}));
    rig.until("a restarted", |status| container(status, 0)["restartCount"] == 1).await;
    rig.until("c ready", |status| container(status, 2)["ready"] == true).await;
    let status = rig.api.get(POD).unwrap()["status"].clone();
    assert_eq!(container(&status, 1)["ready"], false);
    let events = rig.api.events();
    let wanted = "Killing: Container a failed liveness probe, will be restarted";
    assert!(events.iter().any(|event| event == wanted), "{events:?}");
}

#[tokio::test(start_paused = true)]
async fn a_new_kubelet_adopts_what_runs_and_removes_what_is_unknown() {
    let mut rig = Rig::new();
    rig.create(json!({"containers": [{"name": "a"}]}));
    rig.until("ready", ready).await;
    let id = container(&rig.api.get(POD).unwrap()["status"], 0)["containerID"].clone();
    rig.stop().await;
    let before = rig.runtime.calls();
    rig.start();
    rig.api.until("the node reported", |api| api.get("/api/v1/nodes/n1").is_some()).await;
    rig.runtime.exit("a", 0);
    rig.until("restarted", |status| container(status, 0)["restartCount"] == 1).await;
    assert_eq!(rig.runtime.calls()[before.len()..], ["create a"]);
    let status = rig.api.get(POD).unwrap()["status"].clone();
    assert_eq!(container(&status, 0)["lastState"]["terminated"]["containerID"], id);

    rig.stop().await;
    rig.api.forget(POD);
    rig.start();
    rig.runtime.until_empty().await;
}

#[tokio::test(start_paused = true)]
async fn a_deadline_fails_the_pod() {
    let rig = Rig::new();
    rig.create(json!({"containers": [{"name": "a"}], "activeDeadlineSeconds": 0}));
    rig.until("failed", |status| status["reason"] == "DeadlineExceeded").await;
    rig.until("failed", |status| status["phase"] == "Failed").await;
}

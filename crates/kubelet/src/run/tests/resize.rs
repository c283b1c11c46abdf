//! Pods resized while they run.

use super::*;
use ::runtime::Resources;

fn resources(cpu: &str, memory: &str) -> Value {
    json!({"requests": {"cpu": cpu, "memory": memory}, "limits": {"cpu": cpu, "memory": memory}})
}

impl Rig {
    /// Gives container `index` other resources, as the resize subresource does.
    fn resize(&self, path: &str, index: usize, resources: Value) {
        let mut pod = self.api.get(path).unwrap();
        pod["spec"]["containers"][index]["resources"] = resources;
        let generation = pod["metadata"]["generation"].as_i64().unwrap_or(1);
        pod["metadata"]["generation"] = (generation + 1).into();
        self.api.put(path, pod);
    }

    async fn resized(&self, index: usize, wanted: Value) {
        let done = |status: &Value| {
            container(status, index)["resources"] == wanted
                && resizing(status).is_empty()
                && ready(status)
        };
        self.until("resized", done).await;
        let status = self.api.get(POD).unwrap()["status"].clone();
        assert_eq!(container(&status, index)["allocatedResources"], wanted["requests"]);
    }

    async fn told(&self, event: &str) {
        let told = |api: &FakeApi| api.events().iter().any(|text| text.starts_with(event));
        self.api.until(event, told).await;
    }

    /// Two pods on a node of two CPUs, the second of which wants more than is left.
    async fn crowded() -> Self {
        let rig = Self::new();
        let cpus = std::thread::available_parallelism().unwrap().get();
        let half = format!("{}m", cpus * 500);
        let spec = |cpu: &str| {
            json!({"nodeName": "n1", "restartPolicy": "Never",
                   "containers": [{"name": "a", "resources": {"requests": {"cpu": cpu}}}]})
        };
        rig.create_other(spec(&half)).await;
        rig.create(spec(&half));
        rig.until("ready", ready).await;
        rig
    }

    /// Makes a second pod and waits until it is ready.
    async fn create_other(&self, spec: Value) {
        let mut other = serde_json::to_value(crate::testing::pod(spec)).unwrap();
        other["metadata"] = json!({"name": "q", "namespace": "ns", "uid": "v"});
        self.api.put(OTHER, other);
        let up = |api: &FakeApi| ready(&api.get(OTHER).unwrap()["status"]);
        self.api.until("the other is ready", up).await;
    }
}

const OTHER: &str = "/api/v1/namespaces/ns/pods/q";

/// The conditions of a resize: type, reason, generation.
fn resizing(status: &Value) -> Vec<(String, String, i64)> {
    let list = status["conditions"].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    list.iter()
        .map(|c| (text(&c["type"]), text(&c["reason"]), c["observedGeneration"].as_i64()))
        .filter(|(kind, ..)| kind.starts_with("PodResize"))
        .map(|(kind, reason, generation)| (kind, reason, generation.unwrap_or_default()))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn limits_change_without_a_restart_and_the_pods_follow() {
    let rig = Rig::new();
    rig.create(json!({"containers": [
        {"name": "a", "resources": resources("20m", "20Mi")},
        {"name": "b", "resources": resources("22m", "22Mi")},
    ]}));
    rig.until("ready", ready).await;
    let before = rig.runtime.calls().len();
    rig.resize(POD, 0, resources("25m", "25Mi"));
    rig.resized(0, resources("25m", "25Mi")).await;
    let calls = rig.runtime.calls()[before..].to_vec();
    assert_eq!(
        calls,
        ["update pod", "update a", "update pod", "update pod", "update a"],
        "memory, then CPU, the pod first"
    );
    let limits = rig.runtime.pod_limits();
    assert_eq!(
        (limits.memory_limit, limits.cpu_quota, limits.cpu_shares),
        (Some(47 << 20), Some(4700), Some(48))
    );
    rig.resize(POD, 0, resources("20m", "20Mi"));
    rig.resized(0, resources("20m", "20Mi")).await;
    assert_eq!(rig.runtime.pod_limits().memory_limit, Some(42 << 20));
    let status = rig.api.get(POD).unwrap()["status"].clone();
    assert_eq!(container(&status, 0)["restartCount"], 0);
    rig.told("ResizeStarted: Pod resize started: {\"containers\":[{\"name\":\"a\"").await;
    rig.told("ResizeCompleted: Pod resize completed: ").await;
}

#[tokio::test(start_paused = true)]
async fn a_policy_asks_for_a_new_instance() {
    let rig = Rig::new();
    let policy = json!([{"resourceName": "memory", "restartPolicy": "RestartContainer"}]);
    rig.create(json!({"restartPolicy": "OnFailure", "containers": [
        {"name": "a", "resizePolicy": policy, "resources": resources("20m", "20Mi")},
    ]}));
    rig.until("ready", ready).await;
    rig.resize(POD, 0, resources("25m", "20Mi"));
    rig.resized(0, resources("25m", "20Mi")).await;
    // It ends with code 0, which is no failure, and still has to come back: twice, and at once.
    for (memory, restarts) in [("25Mi", 1), ("20Mi", 2)] {
        rig.resize(POD, 0, resources("25m", memory));
        rig.resized(0, resources("25m", memory)).await;
        let status = rig.api.get(POD).unwrap()["status"].clone();
        assert_eq!(container(&status, 0)["restartCount"], restarts);
        assert_eq!(status["phase"], "Running");
    }
    let wanted = Some(20 << 20);
    assert_eq!(rig.runtime.config("a").unwrap().resources.memory_limit, wanted);
    assert_eq!(rig.runtime.pod_limits().memory_limit, wanted);
    rig.told("Killing: Container a resize requires restart").await;
}

#[tokio::test(start_paused = true)]
async fn memory_in_use_is_not_taken_away() {
    let rig = Rig::new();
    rig.runtime.use_memory(10 << 20);
    rig.create(json!({"containers": [{"name": "a", "resources": resources("20m", "20Mi")}]}));
    rig.until("ready", ready).await;
    rig.resize(POD, 0, resources("20m", "5Mi"));
    let failed = ("PodResizeInProgress".to_owned(), "Error".to_owned(), 2);
    rig.until("failed", |status| resizing(status) == [failed.clone()]).await;
    let status = rig.api.get(POD).unwrap()["status"].clone();
    assert_eq!(container(&status, 0)["resources"]["limits"]["memory"], "20Mi");
    rig.told("ResizeError: Pod resize error: ").await;
    rig.runtime.use_memory(1 << 20);
    rig.resized(0, resources("20m", "5Mi")).await;
}

#[tokio::test(start_paused = true)]
async fn a_resize_waits_for_room() {
    let rig = Rig::crowded().await;
    let cpus = std::thread::available_parallelism().unwrap().get();
    let wanted = json!({"requests": {"cpu": format!("{}m", cpus * 500 + 100)}});
    rig.resize(POD, 0, wanted.clone());
    let deferred = ("PodResizePending".to_owned(), "Deferred".to_owned(), 2);
    rig.until("deferred", |status| resizing(status) == [deferred.clone()]).await;
    rig.told("ResizeDeferred: Pod resize Deferred: ").await;
    rig.resize(OTHER, 0, json!({"requests": {"cpu": "100m"}}));
    rig.resized(0, wanted).await;
}

#[tokio::test(start_paused = true)]
async fn a_resize_that_waits_outlives_the_kubelet() {
    let mut rig = Rig::crowded().await;
    let cpus = std::thread::available_parallelism().unwrap().get();
    let wanted = json!({"requests": {"cpu": format!("{}m", cpus * 500 + 100)}});
    rig.resize(POD, 0, wanted.clone());
    rig.until("deferred", |status| !resizing(status).is_empty()).await;
    rig.stop().await;
    let before = rig.runtime.calls().len();
    rig.start();
    rig.resize(OTHER, 0, json!({"requests": {"cpu": "10"}}));
    let infeasible = |api: &FakeApi| {
        resizing(&api.get(OTHER).unwrap()["status"]).iter().any(|(_, r, _)| r == "Infeasible")
            || cpus >= 10
    };
    rig.api.until("infeasible", infeasible).await;
    let status = rig.api.get(POD).unwrap()["status"].clone();
    assert_eq!(container(&status, 0)["resources"]["requests"]["cpu"], format!("{}m", cpus * 500));
    let mut other = rig.api.get(OTHER).unwrap();
    other["metadata"]["deletionTimestamp"] = "2024-01-01T00:00:00Z".into();
    other["metadata"]["deletionGracePeriodSeconds"] = 1.into();
    rig.api.put(OTHER, other);
    rig.resized(0, wanted).await;
    let calls = rig.runtime.calls()[before..].to_vec();
    assert!(calls.contains(&"update a".to_owned()) && !calls.contains(&"create a".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_resize_that_began_is_finished_by_the_next_kubelet() {
    let mut rig = Rig::new();
    rig.create(json!({"containers": [{"name": "a", "resources": resources("20m", "20Mi")}]}));
    rig.until("ready", ready).await;
    rig.runtime.use_memory(1 << 40);
    rig.resize(POD, 0, resources("20m", "10Mi"));
    rig.until("begun", |status| !resizing(status).is_empty()).await;
    rig.stop().await;
    // It was allocated: what the spec says by now has to ask again.
    rig.runtime.use_memory(0);
    rig.start();
    rig.resized(0, resources("20m", "10Mi")).await;
    let limits = rig.runtime.pod_limits();
    assert_eq!(limits, Resources { memory_limit: Some(10 << 20), ..limits.clone() });
}

#[tokio::test(start_paused = true)]
async fn pods_without_a_checkpoint_are_resized_too() {
    let mut rig = Rig::new();
    rig.create(json!({"containers": [{"name": "a", "resources": resources("20m", "20Mi")}]}));
    rig.until("ready", ready).await;
    rig.stop().await;
    std::fs::remove_file(rig.dir.path().join("pods/u/resources.json")).unwrap();
    let before = rig.runtime.calls().len();
    rig.start();
    // Pods that come later are looked at later.
    rig.create_other(json!({"nodeName": "n1", "containers": [{"name": "b"}]})).await;
    rig.resize(POD, 0, resources("25m", "20Mi"));
    rig.resized(0, resources("25m", "20Mi")).await;
    let mut calls = rig.runtime.calls()[before..].to_vec();
    calls.retain(|call| call.starts_with("update"));
    assert_eq!(calls, ["update pod", "update pod", "update a"]);
}

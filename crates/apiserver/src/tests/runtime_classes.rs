//! Pods of a runtime class.

use serde_json::{Value, json};

use super::harness::Api;

const CLASSES: &str = "/apis/node.k8s.io/v1/runtimeclasses";
const PODS: &str = "/api/v1/namespaces/default/pods";

fn pod(spec: Value) -> Value {
    let mut pod = json!({"metadata": {"name": "a"},
        "spec": {"containers": [{"name": "c", "image": "i"}]}});
    pod["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    pod
}

#[tokio::test]
async fn a_pod_takes_overhead_and_place_from_its_class() {
    let api = Api::start().await;
    let class = json!({"metadata": {"name": "heavy"}, "handler": "h",
        "overhead": {"podFixed": {"cpu": "100m", "memory": "64Mi"}},
        "scheduling": {"nodeSelector": {"runtime": "heavy"},
            "tolerations": [{"key": "heavy", "operator": "Exists", "effect": "NoSchedule"}]}});
    api.post(CLASSES, &class).await.ok();
    let refused = |answer: super::harness::Answer, why: &str| {
        assert_eq!(answer.fails(403)["message"], format!("pods \"a\" is forbidden: {why}"));
    };
    let post = async |spec: Value| api.post(PODS, &pod(spec)).await;
    refused(
        post(json!({"runtimeClassName": "none"})).await,
        "pod rejected: RuntimeClass \"none\" not found",
    );
    refused(
        post(json!({"overhead": {"cpu": "1"}})).await,
        "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead",
    );
    refused(
        post(json!({"runtimeClassName": "heavy", "overhead": {"cpu": "1"}})).await,
        "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead",
    );
    refused(
        post(json!({"runtimeClassName": "heavy", "nodeSelector": {"runtime": "light"}})).await,
        "conflict: runtimeClass.scheduling.nodeSelector[runtime] = heavy; pod.spec.nodeSelector[runtime] = light",
    );
    let made =
        post(json!({"runtimeClassName": "heavy", "nodeSelector": {"disk": "ssd"}})).await.ok();
    let spec = &made["spec"];
    assert_eq!(spec["overhead"], class["overhead"]["podFixed"]);
    assert_eq!(spec["nodeSelector"], json!({"disk": "ssd", "runtime": "heavy"}));
    let tolerations = spec["tolerations"].as_array().unwrap();
    assert!(tolerations.contains(&class["scheduling"]["tolerations"][0]), "{tolerations:?}");
}

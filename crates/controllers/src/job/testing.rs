//! Jobs and pods for the tests of this controller.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::finalizer::FINALIZER;

/// A Job with defaults and what `spec` says.
pub(super) fn job(spec: Value) -> Job {
    let mut whole = json!({"completions": 1, "parallelism": 1, "backoffLimit": 6,
        "completionMode": "NonIndexed", "suspend": false,
        "podReplacementPolicy": "TerminatingOrFailed",
        "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c"}]}}});
    for (key, value) in spec.as_object().unwrap() {
        whole[key] = value.clone();
    }
    serde_json::from_value(json!({
        "metadata": {"name": "pi", "namespace": "ns", "uid": "j", "generation": 1},
        "spec": whole, "status": {"startTime": "2024-01-01T00:00:00Z"},
    }))
    .unwrap()
}

/// A pod in the making.
pub(super) struct Made(Value);

impl Made {
    pub(super) fn new(name: &str) -> Self {
        Self(json!({
            "metadata": {"name": name, "namespace": "ns", "uid": name, "annotations": {},
                "creationTimestamp": "2024-01-01T00:00:00Z"},
            "spec": {"containers": [{"name": "c"}]}, "status": {"phase": "Running"},
        }))
    }

    pub(super) fn phase(mut self, phase: &str) -> Self {
        self.0["status"]["phase"] = phase.into();
        self
    }

    pub(super) fn note(mut self, key: &str, value: &str) -> Self {
        self.0["metadata"]["annotations"][key] = value.into();
        self
    }

    pub(super) fn index(self, index: i32) -> Self {
        self.note("batch.kubernetes.io/job-completion-index", &index.to_string())
    }

    /// With the finalizer.
    pub(super) fn held(mut self) -> Self {
        self.0["metadata"]["finalizers"] = json!([FINALIZER]);
        self
    }

    pub(super) fn deleted(mut self) -> Self {
        self.0["metadata"]["deletionTimestamp"] = "2024-01-01T00:01:00Z".into();
        self
    }

    pub(super) fn restarts(mut self, count: i32) -> Self {
        self.0["status"]["containerStatuses"] = json!([{"name": "c", "image": "", "imageID": "",
            "ready": true, "restartCount": count}]);
        self
    }

    pub(super) fn exit(mut self, code: i32) -> Self {
        self.0["status"]["containerStatuses"] = json!([{"name": "c", "image": "", "imageID": "",
            "ready": false, "restartCount": 0, "state": {"terminated": {"exitCode": code,
                "finishedAt": "2024-01-01T00:00:30Z"}}}]);
        self
    }

    pub(super) fn pod(self) -> Pod {
        serde_json::from_value(self.0).unwrap()
    }
}

//! Small builders for tests, and a simulated API server and runtime.

pub(crate) mod api;
pub(crate) mod runtime;

use ::runtime::{
    ContainerMetadata, ContainerState, ContainerStatus, NamespaceOptions, SandboxMetadata,
    SandboxState, SandboxStatus, Usage,
};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use crate::spec::labels;

/// A pod with this spec; containers get an image and a restart policy where they have none.
pub(crate) fn pod(mut spec: Value) -> Pod {
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        for container in spec[list].as_array_mut().into_iter().flatten() {
            if container["image"].is_null() {
                container["image"] = "image:1".into();
            }
        }
    }
    if spec["containers"].is_null() {
        spec["containers"] = json!([]);
    }
    if spec["restartPolicy"].is_null() {
        spec["restartPolicy"] = "Always".into();
    }
    let metadata = json!({"name": "p", "namespace": "ns", "uid": "u"});
    serde_json::from_value(json!({"metadata": metadata, "spec": spec})).expect("a pod")
}

pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("in range")
}

/// The usage of something that has this much memory, in bytes.
pub(crate) fn usage(bytes: u64) -> Usage {
    Usage {
        timestamp: at(0),
        cpu_usage_nanos: 0,
        memory_working_set: bytes,
        memory_usage: bytes,
        memory_rss: bytes,
        page_faults: 0,
        major_page_faults: 0,
        memory_limit: None,
        pids: 1,
        memory_cache: None,
        memory_swap: None,
        throttling: None,
        disks: Vec::new(),
    }
}

/// A sandbox with an address.
pub(crate) fn sandbox(attempt: u32, state: SandboxState) -> SandboxStatus {
    SandboxStatus {
        id: format!("sandbox{attempt}"),
        metadata: SandboxMetadata { attempt, ..SandboxMetadata::default() },
        state,
        created_at: at(i64::from(attempt)),
        ips: vec!["10.0.0.7".parse().expect("an address")],
        namespaces: NamespaceOptions::default(),
        labels: Default::default(),
        annotations: Default::default(),
    }
}

/// A container from a text such as `name:running`, `name:exited=1`, `name:created`, with `@0` for
/// another sandbox than the first replacement.
pub(crate) fn container(text: &str, attempt: u32) -> ContainerStatus {
    let (text, sandbox) = text.split_once('@').unwrap_or((text, "1"));
    let (name, state) = text.split_once(':').expect("name:state");
    let (state, code) = state.split_once('=').unwrap_or((state, "0"));
    let state = match state {
        "running" => ContainerState::Running,
        "created" => ContainerState::Created,
        _ => ContainerState::Exited,
    };
    let exit_code: i32 = code.parse().expect("an exit code");
    let spec = k8s_openapi::api::core::v1::Container {
        name: name.to_owned(),
        image: Some("image:1".to_owned()),
        ..Default::default()
    };
    let exited = state == ContainerState::Exited;
    ContainerStatus {
        id: format!("{name}-{attempt}"),
        sandbox_id: format!("sandbox{sandbox}"),
        metadata: ContainerMetadata { name: name.to_owned(), attempt },
        state,
        created_at: at(100 + i64::from(attempt)),
        started_at: (state != ContainerState::Created).then(|| at(110 + i64::from(attempt))),
        finished_at: exited.then(|| at(120 + i64::from(attempt))),
        exit_code,
        reason: match (exited, exit_code) {
            (false, _) => String::new(),
            (true, 0) => "Completed".to_owned(),
            (true, _) => "Error".to_owned(),
        },
        message: String::new(),
        image: "image".to_owned(),
        image_ref: "image@sha256:00".to_owned(),
        image_id: "sha256:11".to_owned(),
        mounts: Vec::new(),
        log_path: Default::default(),
        resources: Default::default(),
        user: None,
        stop_signal: String::new(),
        labels: labels::of_container(&pod(json!({})), &spec),
        annotations: labels::annotations(&pod(json!({})), &spec, attempt),
    }
}

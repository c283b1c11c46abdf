//! Cases of sig-apps.

mod cron_jobs;
mod daemon_sets;
mod deployments;
mod disruption;
mod indexed_jobs;
mod jobs;
mod kinds;
mod replicas;
mod stateful_sets;

use serde_json::{Value, json};

use crate::case::Case;
use crate::test::Test;

pub(super) fn cases() -> Vec<Case> {
    [
        cron_jobs::cases(),
        daemon_sets::cases(),
        deployments::cases(),
        disruption::cases(),
        indexed_jobs::cases(),
        jobs::cases(),
        kinds::cases(),
        replicas::cases(),
        stateful_sets::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A pod template with a label that its workload selects by.
fn template(label: &str, container: Value) -> Value {
    json!({"metadata": {"labels": {"app": label}}, "spec": {
        "terminationGracePeriodSeconds": 1, "containers": [container],
    }})
}

/// A workload of paused pods, selected by its own name.
fn workload(test: &Test, name: &str, replicas: u32) -> Value {
    json!({"metadata": {"name": name, "labels": {"app": name}}, "spec": {
        "replicas": replicas,
        "selector": {"matchLabels": {"app": name}},
        "template": template(name, test.pause("c")),
    }})
}

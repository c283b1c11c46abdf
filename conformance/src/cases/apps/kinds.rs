//! Workload kinds in the API.

use serde_json::json;

use crate::api::{CRON_JOB, POD_DISRUPTION_BUDGET};
use crate::case::Case;
use crate::cases::lifecycle::{Life, life_case};

pub(super) fn cases() -> Vec<Case> {
    let pod = json!({"spec": {"restartPolicy": "OnFailure",
        "containers": [{"name": "c", "image": "never-run"}]}});
    let lives = [
        (
            "CronJob should support CronJob API operations",
            Life {
                kind: CRON_JOB,
                object: json!({"spec": {"schedule": "0 0 1 1 *", "concurrencyPolicy": "Allow",
                    "jobTemplate": {"spec": {"template": pod}}}}),
                change: json!({"spec": {"suspend": true}}),
                status: Some(json!({"lastScheduleTime": "2020-01-01T00:00:00Z"})),
            },
        ),
        (
            "DisruptionController should create a PodDisruptionBudget",
            Life {
                kind: POD_DISRUPTION_BUDGET,
                object: json!({"spec": {"minAvailable": 1, "selector": {"matchLabels": {"a": "b"}}}}),
                change: json!({"spec": {"minAvailable": 2}}),
                status: None,
            },
        ),
        (
            "DisruptionController Listing PodDisruptionBudgets for all namespaces should list and delete a \
             collection of PodDisruptionBudgets",
            Life {
                kind: POD_DISRUPTION_BUDGET,
                object: json!({"spec": {"maxUnavailable": "25%", "selector": {"matchLabels": {"a": "b"}}}}),
                change: json!({"metadata": {"labels": {"changed": "yes"}}}),
                status: None,
            },
        ),
    ];
    lives.map(|(title, life)| life_case(&format!("[sig-apps] {title} [Conformance]"), life)).into()
}

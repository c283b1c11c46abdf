//! Takes back the word that a pod is about to be disrupted, when nothing came of it.

use std::time::Duration;

use client::ObjectKey;
use client::helpers::{is_not_found, now};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::Controller;
use crate::Outcome;
use crate::common::{meta, pod};

/// How long the word may stand (upstream's `stalePodDisruptionTimeout`).
const TIMEOUT: Duration = Duration::from_secs(2 * 60);

/// How long the word still stands; `None` if it was not given, or may stand for ever.
pub(super) fn left(member: &Pod, now: Timestamp) -> Option<Duration> {
    if meta::deleting(member) || pod::is_terminal(member) {
        return None;
    }
    let condition = pod::condition(member, "DisruptionTarget")?;
    // The kubelet takes the time it needs.
    let by_kubelet = condition.reason.as_deref() == Some("TerminationByKubelet");
    if condition.status != "True" || by_kubelet {
        return None;
    }
    let since = condition.last_transition_time.as_ref();
    Some(since.and_then(|since| meta::remaining(since, TIMEOUT, now)).unwrap_or_default())
}

impl Controller {
    pub(super) async fn sync_stale(&self, key: ObjectKey) -> Outcome {
        let Some(member) = self.pods.get(&key) else { return Ok(None) };
        match left(&member, Timestamp::now()) {
            Some(Duration::ZERO) => {}
            wait => return Ok(wait),
        }
        let patch = json!({
            "metadata": {"uid": meta::uid(&*member)},
            "status": {"conditions": [{"type": "DisruptionTarget", "status": "False",
                "reason": Value::Null, "message": Value::Null, "lastTransitionTime": now()}]},
        });
        let api = self.context.api::<Pod>(&key.namespace);
        let patch = Patch::Strategic(patch);
        match api.patch_status(&key.name, &PatchParams::default(), &patch).await {
            Err(error) if !is_not_found(&error) => Err(error.into()),
            _ => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_vain_word_is_taken_back() {
        let now = "2024-01-01T00:01:30Z".parse().unwrap();
        for (phase, status, reason, expected) in [
            ("Running", "True", "EvictionByEvictionAPI", Some(30)),
            ("Running", "False", "EvictionByEvictionAPI", None),
            ("Running", "True", "TerminationByKubelet", None),
            ("Failed", "True", "EvictionByEvictionAPI", None),
        ] {
            let member = serde_json::from_value(json!({"status": {"phase": phase, "conditions": [
                {"type": "DisruptionTarget", "status": status, "reason": reason,
                    "lastTransitionTime": "2024-01-01T00:00:00Z"}]}}))
            .unwrap();
            assert_eq!(left(&member, now).map(|left| left.as_secs()), expected, "{reason}");
        }
    }
}

//! The computed columns of pods.

use apimachinery::ObjectExt;
use rules::container::RestartPolicy;
use serde_json::Value;

use crate::registry::column::since;

fn statuses<'a>(pod: &'a Value, field: &str) -> impl DoubleEndedIterator<Item = &'a Value> {
    pod.get_path(&["status", field]).and_then(Value::as_array).into_iter().flatten()
}

fn list_len(pod: &Value, path: &[&str]) -> usize {
    pod.get_path(path).and_then(Value::as_array).map_or(0, Vec::len)
}

/// Returns true if the init container of this name is a sidecar.
fn is_sidecar(pod: &Value, name: &Value) -> bool {
    let init = pod.get_path(&["spec", "initContainers"]).and_then(Value::as_array);
    init.into_iter().flatten().any(|c| c["name"] == *name && c.is_sidecar())
}

fn sidecars(pod: &Value) -> usize {
    let init = pod.get_path(&["spec", "initContainers"]).and_then(Value::as_array);
    init.into_iter().flatten().filter(|c| c.is_sidecar()).count()
}

/// `ready/total`, counting sidecars.
pub(super) fn ready(pod: &Value) -> Value {
    let ready = statuses(pod, "containerStatuses").filter(|s| s["ready"] == true).count()
        + statuses(pod, "initContainerStatuses")
            .filter(|s| s["ready"] == true && is_sidecar(pod, &s["name"]))
            .count();
    format!("{ready}/{}", list_len(pod, &["spec", "containers"]) + sidecars(pod)).into()
}

/// The state of incomplete initialization: `Init:…`.
fn init_reason(pod: &Value) -> Option<String> {
    for (i, status) in statuses(pod, "initContainerStatuses").enumerate() {
        let (terminated, waiting) = (&status["state"]["terminated"], &status["state"]["waiting"]);
        let sidecar = is_sidecar(pod, &status["name"]);
        if terminated["exitCode"] == 0 || (sidecar && status["started"] == true) {
            continue;
        }
        return Some(if terminated.is_object() {
            match (terminated.str_at(&["reason"]), terminated["signal"].as_i64().unwrap_or(0)) {
                ("", 0) => format!("Init:ExitCode:{}", terminated["exitCode"]),
                ("", signal) => format!("Init:Signal:{signal}"),
                (reason, _) => format!("Init:{reason}"),
            }
        } else {
            match waiting.str_at(&["reason"]) {
                "" | "PodInitializing" => {
                    format!("Init:{i}/{}", list_len(pod, &["spec", "initContainers"]))
                }
                reason => format!("Init:{reason}"),
            }
        });
    }
    None
}

fn condition<'a>(pod: &'a Value, of: &str) -> Option<&'a Value> {
    statuses(pod, "conditions").find(|c| c["type"] == of)
}

/// The word that kubectl prints as STATUS.
pub(super) fn status(pod: &Value) -> Value {
    let phase = pod.str_at(&["status", "phase"]);
    let mut reason = match pod.str_at(&["status", "reason"]) {
        "" => phase.to_owned(),
        reason => reason.to_owned(),
    };
    let own_reason = reason.clone();
    if condition(pod, "PodScheduled").is_some_and(|c| c["reason"] == "SchedulingGated") {
        reason = "SchedulingGated".into();
    }
    let initializing = init_reason(pod);
    let initialized = condition(pod, "Initialized").is_some_and(|c| c["status"] == "True");
    if let (Some(why), true) = (&initializing, initializing.is_some()) {
        reason = why.clone();
    }
    if initializing.is_none() || initialized {
        let mut running = false;
        for status in statuses(pod, "containerStatuses").rev() {
            let state = &status["state"];
            match (state["waiting"].str_at(&["reason"]), &state["terminated"]) {
                ("", terminated) if terminated.is_object() => {
                    let signal = terminated["signal"].as_i64().unwrap_or(0);
                    reason = match terminated.str_at(&["reason"]) {
                        "" if signal != 0 => format!("Signal:{signal}"),
                        "" => format!("ExitCode:{}", terminated["exitCode"]),
                        why => why.to_owned(),
                    };
                }
                ("", _) => running |= status["ready"] == true && state["running"].is_object(),
                (why, _) => reason = why.to_owned(),
            }
        }
        if reason == "Completed" && running {
            let ready = condition(pod, "Ready").is_some_and(|c| c["status"] == "True");
            reason = if ready { "Running".into() } else { "NotReady".into() };
        }
    }
    if pod.deletion_timestamp().is_some() {
        if own_reason == "NodeLost" {
            reason = "Unknown".into();
        } else if !matches!(phase, "Succeeded" | "Failed") {
            reason = "Terminating".into();
        }
    }
    reason.into()
}

/// The number of restarts and the time since the last one.
pub(super) fn restarts(pod: &Value) -> Value {
    let sidecars = statuses(pod, "initContainerStatuses").filter(|s| is_sidecar(pod, &s["name"]));
    let counted: Vec<&Value> = if init_reason(pod).is_some() {
        statuses(pod, "initContainerStatuses").collect()
    } else {
        statuses(pod, "containerStatuses").chain(sidecars).collect()
    };
    let total: i64 = counted.iter().filter_map(|s| s["restartCount"].as_i64()).sum();
    let last = counted
        .iter()
        .filter_map(|s| s.get_path(&["lastState", "terminated", "finishedAt"]))
        .max_by_key(|t| t.as_str().unwrap_or_default().to_owned());
    match last {
        Some(at) if total > 0 => format!("{total} ({} ago)", since(Some(at))).into(),
        _ => total.to_string().into(),
    }
}

/// `passed/total` readiness gates.
pub(super) fn gates(pod: &Value) -> Value {
    let gates = pod.get_path(&["spec", "readinessGates"]).and_then(Value::as_array);
    let Some(gates) = gates.filter(|g| !g.is_empty()) else { return "<none>".into() };
    let passed = gates
        .iter()
        .filter(|g| {
            condition(pod, g.str_at(&["conditionType"])).is_some_and(|c| c["status"] == "True")
        })
        .count();
    format!("{passed}/{}", gates.len()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn status_is_the_word_kubectl_shows() {
        let running = json!({"name": "a", "ready": true, "state": {"running": {}}});
        let done = json!({"name": "b", "ready": false, "state": {"terminated": {"reason": "Completed", "exitCode": 0}}});
        let init = |state: Value| json!([{"name": "i", "state": state}]);
        for (pod, want) in [
            (json!({"status": {"phase": "Pending"}}), "Pending"),
            (json!({"status": {"phase": "Failed", "reason": "Evicted"}}), "Evicted"),
            (json!({"status": {"phase": "Running", "containerStatuses": [running]}}), "Running"),
            (
                json!({"metadata": {"deletionTimestamp": "x"}, "status": {"phase": "Running"}}),
                "Terminating",
            ),
            (
                json!({"status": {"phase": "Running", "containerStatuses": [running, done]}}),
                "NotReady",
            ),
            (
                json!({"status": {"phase": "Pending", "containerStatuses": [{"state": {"waiting": {"reason": "CrashLoopBackOff"}}}]}}),
                "CrashLoopBackOff",
            ),
            (
                json!({"spec": {"initContainers": [{"name": "i"}]}, "status": {"phase": "Pending", "initContainerStatuses": init(json!({"running": {}}))}}),
                "Init:0/1",
            ),
            (
                json!({"status": {"phase": "Pending", "initContainerStatuses": init(json!({"terminated": {"exitCode": 3}}))}}),
                "Init:ExitCode:3",
            ),
        ] {
            assert_eq!(status(&pod), want, "{pod}");
        }
    }
}

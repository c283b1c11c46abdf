//! Which pod to part with first.

use std::cmp::{Ordering, Reverse};

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use super::{meta, pod};

const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// Orders the less valuable pod first. `doubled` is the number of related pods on the same node:
/// pods on crowded nodes go earlier.
pub(crate) fn compare(a: (&Pod, usize), b: (&Pod, usize), now: Timestamp) -> Ordering {
    let ((a, a_doubled), (b, b_doubled)) = (a, b);
    pod::node(a)
        .is_some()
        .cmp(&pod::node(b).is_some())
        .then_with(|| phase_value(a).cmp(&phase_value(b)))
        .then_with(|| pod::is_ready(a).cmp(&pod::is_ready(b)))
        .then_with(|| deletion_cost(a).cmp(&deletion_cost(b)))
        .then_with(|| Reverse(a_doubled).cmp(&Reverse(b_doubled)))
        .then_with(|| {
            if pod::is_ready(a) && pod::is_ready(b) {
                younger_first(pod::ready_since(a), pod::ready_since(b), a, b, now)
            } else {
                Ordering::Equal
            }
        })
        .then_with(|| Reverse(restarts(a)).cmp(&Reverse(restarts(b))))
        .then_with(|| {
            let time = |pod: &Pod| pod.metadata.creation_timestamp.clone();
            younger_first(time(a).as_ref(), time(b).as_ref(), a, b, now)
        })
}

fn phase_value(pod: &Pod) -> u8 {
    match pod::phase(pod) {
        "Running" => 2,
        "Unknown" => 1,
        _ => 0,
    }
}

fn deletion_cost(pod: &Pod) -> i32 {
    meta::annotation(pod, DELETION_COST).and_then(|cost| cost.parse().ok()).unwrap_or(0)
}

/// Restarts of the container that restarted most, then of the sidecar that did.
fn restarts(pod: &Pod) -> (i32, i32) {
    let most = |statuses: Option<&Vec<ContainerStatus>>| {
        statuses.into_iter().flatten().map(|status| status.restart_count).max().unwrap_or(0)
    };
    let Some(status) = &pod.status else { return (0, 0) };
    (most(status.container_statuses.as_ref()), most(status.init_container_statuses.as_ref()))
}

/// Ages are compared by order of magnitude, and then by uid, which is as good as chance: else all
/// pods of one age would come from one place.
fn younger_first(
    a_time: Option<&Time>,
    b_time: Option<&Time>,
    a: &Pod,
    b: &Pod,
    now: Timestamp,
) -> Ordering {
    match (a_time, b_time) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Less,
        (Some(_), None) => Ordering::Greater,
        (Some(x), Some(y)) if x == y => Ordering::Equal,
        (Some(x), Some(y)) => {
            magnitude(x, now).cmp(&magnitude(y, now)).then_with(|| meta::uid(a).cmp(meta::uid(b)))
        }
    }
}

fn magnitude(time: &Time, now: Timestamp) -> i64 {
    let nanos = now.duration_since(time.0).as_nanos();
    if nanos > 0 { i64::from(nanos.ilog2()) } else { -1 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pod(name: &str, change: impl FnOnce(&mut Value)) -> Pod {
        let mut value = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "uid": name, "creationTimestamp": "2024-01-01T00:00:00Z"},
            "spec": {"nodeName": "n1", "containers": []},
            "status": {"phase": "Running", "conditions": [
                {"type": "Ready", "status": "True", "lastTransitionTime": "2024-01-01T00:00:00Z"}],
                "containerStatuses": [{"name": "c", "restartCount": 0, "ready": true,
                    "image": "i", "imageID": ""}]},
        });
        change(&mut value);
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn each_criterion_decides_in_its_turn() {
        let now: Timestamp = "2024-01-02T00:00:00Z".parse().unwrap();
        let steady = || pod("z", |_| {});
        // From the first to go to the last; each differs from the next in one criterion.
        let order = [
            pod("a", |p| p["spec"]["nodeName"] = Value::Null),
            pod("b", |p| p["status"]["phase"] = "Pending".into()),
            pod("c", |p| p["status"]["phase"] = "Unknown".into()),
            pod("d", |p| p["status"]["conditions"][0]["status"] = "False".into()),
            pod("e", |p| p["metadata"]["annotations"] = json!({DELETION_COST: "-5"})),
            pod("f", |p| {
                p["status"]["conditions"][0]["lastTransitionTime"] = "2024-01-01T23:59:00Z".into();
            }),
            pod("g", |p| p["status"]["containerStatuses"][0]["restartCount"] = 4.into()),
            pod("h", |p| p["metadata"]["creationTimestamp"] = "2024-01-01T23:59:00Z".into()),
            steady(),
            pod("zz", |p| p["metadata"]["annotations"] = json!({DELETION_COST: "7"})),
        ];
        for (i, first) in order.iter().enumerate() {
            for later in &order[i + 1..] {
                let names = (meta::name(first), meta::name(later));
                assert_eq!(compare((first, 0), (later, 0), now), Ordering::Less, "{names:?}");
                assert_eq!(compare((later, 0), (first, 0), now), Ordering::Greater, "{names:?}");
            }
        }
        assert_eq!(compare((&steady(), 2), (&steady(), 1), now), Ordering::Less);
    }
}

//! Requests and limits as cgroup settings.

use k8s_openapi::api::core::v1::{Container, Pod};
use runtime::Resources;

use crate::pod::qos;

const PERIOD: u64 = 100_000;
const MIN_QUOTA: i64 = 1000;
const MIN_SHARES: i64 = 2;
const MAX_SHARES: i64 = 262_144;

/// CPU weight for a request.
fn shares(milli: i64) -> u64 {
    (milli * 1024 / 1000).clamp(MIN_SHARES, MAX_SHARES) as u64
}

/// CPU time per period for a limit.
fn quota(milli: i64) -> i64 {
    (milli * PERIOD as i64 / 1000).max(MIN_QUOTA)
}

/// Settings of a container's cgroup.
pub(crate) fn of_container(pod: &Pod, container: &Container, memory_capacity: i64) -> Resources {
    let resources = container.resources.as_ref();
    // A container without a limit of its own may use what its pod may.
    let limit = |name: &str| qos::limit(resources, name).or_else(|| qos::whole_limit(pod, name));
    let cpu_limit = limit("cpu");
    Resources {
        cpu_shares: Some(shares(qos::request(resources, "cpu").unwrap_or(0))),
        cpu_period: cpu_limit.map(|_| PERIOD),
        cpu_quota: cpu_limit.map(quota),
        memory_limit: limit("memory"),
        memory_swap_limit: limit("memory"),
        oom_score_adj: Some(qos::oom_score_adj(pod, container, memory_capacity)),
        ..Resources::default()
    }
}

/// Settings of the pod's cgroup: its requests, and its limits where every container has one.
pub(crate) fn of_pod(pod: &Pod) -> Resources {
    let limit = |resource: &str| qos::pod_limit(pod, resource).filter(|limit| *limit > 0);
    let cpu = limit("cpu");
    Resources {
        cpu_shares: Some(shares(qos::pod_request(pod, "cpu"))),
        cpu_period: cpu.map(|_| PERIOD),
        cpu_quota: cpu.map(quota),
        memory_limit: limit("memory"),
        ..Resources::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn requests_become_shares_and_limits_quotas() {
        let pod: Pod = serde_json::from_value(json!({"spec": {"containers": [
            {"name": "a", "resources": {"requests": {"cpu": "500m"}}},
            {"name": "b", "resources": {
                "requests": {"cpu": "5m", "memory": "64Mi"},
                "limits": {"cpu": "5m", "memory": "64Mi"}}},
        ]}}))
        .unwrap();
        let containers = &crate::pod::spec(&pod).containers;
        let a = of_container(&pod, &containers[0], 1 << 30);
        assert_eq!((a.cpu_shares, a.cpu_quota, a.memory_limit), (Some(512), None, None));
        let b = of_container(&pod, &containers[1], 1 << 30);
        assert_eq!((b.cpu_shares, b.cpu_quota), (Some(5), Some(MIN_QUOTA)));
        assert_eq!(b.memory_limit, Some(64 << 20));
        let whole = of_pod(&pod);
        assert_eq!((whole.cpu_shares, whole.memory_limit), (Some(517), None));
    }
}

//! Checks that the node has room for a resize, and orders the pods that ask.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod};

use crate::admission;
use crate::pod::qos::{class, pod_request};
use crate::pod::spec;
use rules::resources::QosClass;

/// A resize that the node may have room for later.
pub(crate) const DEFERRED: &str = "Deferred";
/// A resize that the node never has room for.
pub(crate) const INFEASIBLE: &str = "Infeasible";

/// Checks a pod as it wants to be against the node and the other pods as they are.
///
/// # Errors
/// Reason and message of the `PodResizePending` condition.
pub(crate) fn check(
    wanted: &Pod,
    node: Option<&Node>,
    others: &[Arc<Pod>],
    allocatable: &BTreeMap<String, i64>,
    max_pods: u32,
) -> Result<(), (&'static str, String)> {
    for resource in ["memory", "cpu"] {
        let requested = pod_request(wanted, resource);
        let capacity = allocatable.get(resource).copied().unwrap_or(i64::MAX);
        if requested > capacity {
            let message = format!(
                "Node didn't have enough capacity: {resource}, requested: {requested}, capacity: \
                 {capacity}"
            );
            return Err((INFEASIBLE, message));
        }
    }
    match admission::check(wanted, node, others, allocatable, max_pods) {
        None => Ok(()),
        Some(verdict) => Err((DEFERRED, verdict.message)),
    }
}

/// Where a waiting resize stands in the line, the smallest first: those that ask for no more, then
/// by priority, then guaranteed pods. Who is equal keeps the order of arrival.
pub(crate) fn rank(wanted: &Pod, allocated: &Pod) -> (bool, i64, bool) {
    let grows = ["cpu", "memory"]
        .iter()
        .any(|resource| pod_request(wanted, resource) > pod_request(allocated, resource));
    let priority = i64::from(spec(wanted).priority.unwrap_or(0));
    (grows, -priority, class(wanted) != QosClass::Guaranteed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::pod;
    use serde_json::{Value, json};

    fn with(requests: Value) -> Pod {
        pod(json!({"containers": [{"name": "a", "resources": {"requests": requests}}]}))
    }

    #[test]
    fn some_resizes_wait_and_some_cannot_be() {
        let allocatable = [("cpu".to_owned(), 2000), ("memory".to_owned(), 1 << 30)].into();
        let other = Arc::new(with(json!({"cpu": "500m"})));
        let table = [
            (json!({"cpu": "1500m"}), Ok(())),
            (
                json!({"cpu": "1501m"}),
                Err((
                    DEFERRED,
                    "Node didn't have enough resource: cpu, requested: 1501, used: 500, \
                     capacity: 2000",
                )),
            ),
            (
                json!({"cpu": "3", "memory": "2Gi"}),
                Err((
                    INFEASIBLE,
                    "Node didn't have enough capacity: memory, requested: 2147483648, capacity: \
                     1073741824",
                )),
            ),
            (
                json!({"cpu": "3"}),
                Err((
                    INFEASIBLE,
                    "Node didn't have enough capacity: cpu, requested: 3000, capacity: 2000",
                )),
            ),
        ];
        for (requests, wanted) in table {
            let others = [other.clone()];
            let got = check(&with(requests), None, &others, &allocatable, 110);
            let wanted = wanted.map_err(|(reason, message)| (reason, message.to_owned()));
            assert_eq!(got, wanted);
        }
    }

    #[test]
    fn the_line() {
        let (small, large) = (with(json!({"cpu": "1"})), with(json!({"cpu": "2"})));
        let mut important = large.clone();
        important.spec.as_mut().unwrap().priority = Some(7);
        let mut line = [rank(&large, &small), rank(&important, &small), rank(&small, &large)];
        line.sort_unstable();
        assert_eq!(line, [rank(&small, &large), rank(&important, &small), rank(&large, &small)]);
    }
}

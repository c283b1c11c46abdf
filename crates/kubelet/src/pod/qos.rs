//! Quality of service: which pods the kernel should spare.

use std::collections::BTreeMap;

use apimachinery::resources::at_once;
use k8s_openapi::api::core::v1::{Container, Pod, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::{is_sidecar, spec, uid};
use crate::quantity::{milli, value};

/// Quality of service class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Qos {
    Guaranteed,
    Burstable,
    BestEffort,
}

impl Qos {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Guaranteed => "Guaranteed",
            Self::Burstable => "Burstable",
            Self::BestEffort => "BestEffort",
        }
    }
}

type Amounts = BTreeMap<String, Quantity>;

fn amount(of: Option<&Amounts>, resource: &str) -> Option<i64> {
    let quantity = of?.get(resource)?;
    Some(if resource == "cpu" { milli(quantity) } else { value(quantity) }).filter(|v| *v > 0)
}

/// The limit of a container: milli-CPUs, or bytes.
pub(crate) fn limit(resources: Option<&ResourceRequirements>, resource: &str) -> Option<i64> {
    amount(resources?.limits.as_ref(), resource)
}

/// The request of a container, which defaults to its limit: milli-CPUs, or bytes.
pub(crate) fn request(resources: Option<&ResourceRequirements>, resource: &str) -> Option<i64> {
    amount(resources?.requests.as_ref(), resource).or_else(|| limit(resources, resource))
}

/// The class of a pod, from the cpu and memory of all its init and app containers.
pub(crate) fn class(pod: &Pod) -> Qos {
    let spec = spec(pod);
    let containers = || spec.init_containers.iter().flatten().chain(&spec.containers);
    let any = containers().any(|container| {
        let resources = container.resources.as_ref();
        ["cpu", "memory"].iter().any(|name| request(resources, name).is_some())
    });
    if !any {
        return Qos::BestEffort;
    }
    let guaranteed = containers().all(|container| {
        let resources = container.resources.as_ref();
        ["cpu", "memory"].iter().all(|name| {
            limit(resources, name).is_some() && limit(resources, name) == request(resources, name)
        })
    });
    if guaranteed { Qos::Guaranteed } else { Qos::Burstable }
}

/// Cgroup of the pod below the hierarchy's root, in cgroupfs naming.
pub(crate) fn cgroup(pod: &Pod) -> String {
    let uid = uid(pod);
    match class(pod) {
        Qos::Guaranteed => format!("/kubepods/pod{uid}"),
        Qos::Burstable => format!("/kubepods/burstable/pod{uid}"),
        Qos::BestEffort => format!("/kubepods/besteffort/pod{uid}"),
    }
}

/// How eagerly the kernel kills a container when `memory_capacity` bytes are used up.
pub(crate) fn oom_score_adj(pod: &Pod, container: &Container, memory_capacity: i64) -> i32 {
    const CRITICAL_PRIORITY: i32 = 2_000_000_000;
    if spec(pod).priority.is_some_and(|priority| priority >= CRITICAL_PRIORITY) {
        return -997;
    }
    match class(pod) {
        Qos::Guaranteed => -997,
        Qos::BestEffort => 1000,
        Qos::Burstable => {
            let own = own_score(container, memory_capacity);
            if !is_sidecar(container) {
                return own;
            }
            // A sidecar lives at least as long as the app that needs most.
            let apps = spec(pod).containers.iter();
            apps.map(|app| own_score(app, memory_capacity)).fold(own, i32::min)
        }
    }
}

fn own_score(container: &Container, memory_capacity: i64) -> i32 {
    let requested = amount(
        container.resources.as_ref().and_then(|resources| resources.requests.as_ref()),
        "memory",
    )
    .unwrap_or(0);
    let score = 1000 - 1000 * requested / memory_capacity.max(1);
    score.clamp(3, 999) as i32
}

/// Sum of what a pod asks for, as the scheduler counts it.
pub(crate) fn pod_request(pod: &Pod, resource: &str) -> i64 {
    let of = |container: &Container| request(container.resources.as_ref(), resource).unwrap_or(0);
    together(pod, of) + overhead(pod, resource)
}

/// Sum of what a pod holds: what it asks for, or where it is being made smaller, what its
/// containers still have.
pub(crate) fn pod_held(pod: &Pod, resource: &str) -> i64 {
    let status = super::status(pod);
    let lists = [&status.init_container_statuses, &status.container_statuses];
    let has = |name: &str| {
        let mut all = lists.into_iter().flat_map(|list| list.iter().flatten());
        let resources = all.find(|status| status.name == name)?.resources.as_ref()?;
        amount(resources.requests.as_ref(), resource)
    };
    let of = |container: &Container| {
        let asked = request(container.resources.as_ref(), resource).unwrap_or(0);
        asked.max(has(&container.name).unwrap_or(0))
    };
    together(pod, of) + overhead(pod, resource)
}

/// What a pod may use, if each of its containers has a limit.
pub(crate) fn pod_limit(pod: &Pod, resource: &str) -> Option<i64> {
    let spec = spec(pod);
    let of = |container: &Container| limit(container.resources.as_ref(), resource);
    let mut containers = spec.init_containers.iter().flatten().chain(&spec.containers);
    let sum = together(pod, |container| of(container).unwrap_or(0));
    containers.all(|container| of(container).is_some()).then(|| sum + overhead(pod, resource))
}

fn overhead(pod: &Pod, resource: &str) -> i64 {
    amount(spec(pod).overhead.as_ref(), resource).unwrap_or(0)
}

/// The most that containers have at one time.
fn together(pod: &Pod, of: impl Fn(&Container) -> i64) -> i64 {
    let inits = spec(pod).init_containers.iter().flatten();
    at_once(
        spec(pod).containers.iter().map(&of),
        inits.map(|container| (is_sidecar(container), of(container))),
        |sum, more| *sum += more,
        |peak, now| *peak = *now.max(peak),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(containers: serde_json::Value) -> Pod {
        serde_json::from_value(
            json!({"metadata": {"uid": "u"}, "spec": {"containers": containers}}),
        )
        .unwrap()
    }

    #[test]
    fn classes_and_their_cgroups() {
        let both = json!({"cpu": "1", "memory": "1Gi"});
        let table = [
            (json!([{"name": "a"}]), Qos::BestEffort, "/kubepods/besteffort/podu"),
            (
                json!([{"name": "a", "resources": {"requests": {"cpu": "1m"}}}]),
                Qos::Burstable,
                "/kubepods/burstable/podu",
            ),
            (
                json!([{"name": "a", "resources": {"limits": both}}]),
                Qos::Guaranteed,
                "/kubepods/podu",
            ),
            (
                json!([{"name": "a", "resources": {"limits": both}}, {"name": "b"}]),
                Qos::Burstable,
                "/kubepods/burstable/podu",
            ),
        ];
        for (containers, wanted, path) in table {
            let pod = pod(containers);
            assert_eq!(class(&pod), wanted);
            assert_eq!(cgroup(&pod), path);
        }
    }

    #[test]
    fn burstable_scores_fall_with_the_request() {
        let pod = pod(json!([
            {"name": "half", "resources": {"requests": {"memory": "512Mi"}}},
            {"name": "none"},
            {"name": "all", "resources": {"requests": {"memory": "1Gi"}}},
        ]));
        let scores: Vec<_> =
            spec(&pod).containers.iter().map(|c| oom_score_adj(&pod, c, 1 << 30)).collect();
        assert_eq!(scores, [500, 999, 3]);
    }
}

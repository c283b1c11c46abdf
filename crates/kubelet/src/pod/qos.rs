//! Quality of service: which pods the kernel should spare.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use rules::container::RestartPolicy;
use rules::resources::{Amounts, PodResources, QosClass};

use super::{spec, uid};
use crate::quantity::{milli, value};

type List = BTreeMap<String, Quantity>;

fn amount(of: Option<&List>, resource: &str) -> Option<i64> {
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

/// The class of a pod: the one that the API server gave it, which nobody may change, else that of
/// what it asks for.
pub(crate) fn class(pod: &Pod) -> QosClass {
    let given = super::status(pod).qos_class.as_deref().and_then(QosClass::parse);
    given.unwrap_or_else(|| PodResources::of(pod).qos_class())
}

/// The pod-level request or limit: milli-CPUs, or bytes.
fn whole(pod: &Pod, resource: &str, of: fn(&ResourceRequirements) -> Option<&List>) -> Option<i64> {
    amount(of(spec(pod).resources.as_ref()?), resource)
}

/// The limit of the pod as a whole, where its spec has one: milli-CPUs, or bytes.
pub(crate) fn whole_limit(pod: &Pod, resource: &str) -> Option<i64> {
    whole(pod, resource, |resources| resources.limits.as_ref())
}

/// Cgroup of the pod below the hierarchy's root, in cgroupfs naming.
pub(crate) fn cgroup(pod: &Pod) -> String {
    let uid = uid(pod);
    match class(pod) {
        QosClass::Guaranteed => format!("/kubepods/pod{uid}"),
        QosClass::Burstable => format!("/kubepods/burstable/pod{uid}"),
        QosClass::BestEffort => format!("/kubepods/besteffort/pod{uid}"),
    }
}

/// How eagerly the kernel kills a container when `memory_capacity` bytes are used up.
pub(crate) fn oom_score_adj(pod: &Pod, container: &Container, memory_capacity: i64) -> i32 {
    const CRITICAL_PRIORITY: i32 = 2_000_000_000;
    if spec(pod).priority.is_some_and(|priority| priority >= CRITICAL_PRIORITY) {
        return -997;
    }
    match class(pod) {
        QosClass::Guaranteed => -997,
        QosClass::BestEffort => 1000,
        QosClass::Burstable => {
            let extra = unclaimed_memory(pod);
            let own_score = |container: &Container| own_score(container, extra, memory_capacity);
            let own = own_score(container);
            if !container.is_sidecar() {
                return own;
            }
            // A sidecar lives at least as long as the app that needs most.
            let apps = spec(pod).containers.iter();
            apps.map(own_score).fold(own, i32::min)
        }
    }
}

/// The part of each container in what the pod as a whole asks for beyond its containers.
fn unclaimed_memory(pod: &Pod) -> i64 {
    let resources = PodResources::of(pod);
    if resources.whole.is_none() {
        return 0;
    }
    let without_overhead = PodResources { overhead: Amounts::default(), ..resources.clone() };
    let sharing = resources.containers.len()
        + resources.init_containers.iter().filter(|container| container.is_sidecar).count();
    let whole = units(&without_overhead.requests(), "memory");
    let claimed = units(&resources.of_containers().requests, "memory");
    (whole - claimed).max(0) / sharing.max(1) as i64
}

fn own_score(container: &Container, extra: i64, memory_capacity: i64) -> i32 {
    let requested = amount(
        container.resources.as_ref().and_then(|resources| resources.requests.as_ref()),
        "memory",
    )
    .unwrap_or(0)
    .saturating_add(extra);
    let score = 1000 - (requested / (memory_capacity / 1000).max(1)).min(1000);
    score.clamp(3, 999) as i32
}

/// Milli-CPUs, or whole units of anything else.
fn units(amounts: &Amounts, resource: &str) -> i64 {
    let amount = amounts.get(resource).unwrap_or_default();
    if resource == "cpu" { amount.milli_value() } else { amount.value() }
}

/// Sum of what the pod's spec asks for, as the scheduler counts it.
pub(crate) fn pod_request(pod: &Pod, resource: &str) -> i64 {
    units(&PodResources::of_pod_spec(pod).requests(), resource)
}

/// Sum of what a pod holds: what it asks for, or where it is being made smaller, what its
/// containers still have.
pub(crate) fn pod_held(pod: &Pod, resource: &str) -> i64 {
    units(&PodResources::of(pod).requests(), resource)
}

/// The limit of a pod, if it has a pod-level limit or each of its containers has one.
pub(crate) fn pod_limit(pod: &Pod, resource: &str) -> Option<i64> {
    let resources = PodResources::of_pod_spec(pod);
    let limited = |amounts: &Amounts| units(amounts, resource) > 0;
    let whole = resources.whole.as_ref().is_some_and(|whole| limited(&whole.limits));
    let each = resources.each().all(|container| limited(&container.wanted.limits));
    (whole || each).then(|| units(&resources.limits(), resource))
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
            (json!([{"name": "a"}]), QosClass::BestEffort, "/kubepods/besteffort/podu"),
            (
                json!([{"name": "a", "resources": {"requests": {"cpu": "1m"}}}]),
                QosClass::Burstable,
                "/kubepods/burstable/podu",
            ),
            (
                json!([{"name": "a", "resources": {"limits": both}}]),
                QosClass::Guaranteed,
                "/kubepods/podu",
            ),
            (
                json!([{"name": "a", "resources": {"limits": both}}, {"name": "b"}]),
                QosClass::Burstable,
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
    fn resources_of_the_pod_as_a_whole_decide() {
        let both = json!({"cpu": "2", "memory": "1Gi"});
        let mut pod = pod(json!([{"name": "a"}, {"name": "b", "resources":
            {"requests": {"cpu": "1", "memory": "512Mi"}}}]));
        let spec = pod.spec.as_mut().unwrap();
        spec.resources = serde_json::from_value(json!({"requests": both, "limits": both})).unwrap();
        assert_eq!(
            (class(&pod), cgroup(&pod)),
            (QosClass::Guaranteed, "/kubepods/podu".to_owned())
        );
        assert_eq!(pod_request(&pod, "cpu"), 2000);
        assert_eq!(pod_limit(&pod, "memory"), Some(1 << 30));
        pod.spec.as_mut().unwrap().resources.as_mut().unwrap().limits = None;
        assert_eq!(class(&pod), QosClass::Burstable);
        let scores: Vec<_> = super::super::spec(&pod)
            .containers
            .iter()
            .map(|c| oom_score_adj(&pod, c, 1 << 30))
            .collect();
        // Each has half of the unclaimed rest.
        assert_eq!(scores, [750, 250]);
    }

    #[test]
    fn the_class_that_the_api_gave_stays() {
        let mut pod = pod(json!([{"name": "a"}]));
        pod.status = Some(serde_json::from_value(json!({"qosClass": "Burstable"})).unwrap());
        assert_eq!(class(&pod), QosClass::Burstable);
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

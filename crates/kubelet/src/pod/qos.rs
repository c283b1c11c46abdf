//! Quality of service: which pods the kernel should spare.

use std::collections::BTreeMap;

use apimachinery::resources::{at_once, qos_class};
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

/// The class of a pod: the one that the API server gave it, which nobody may change, else that of
/// what it asks for.
pub(crate) fn class(pod: &Pod) -> Qos {
    let given = super::status(pod).qos_class.as_deref();
    let computed = || {
        // What does not serialise cannot have come from the API.
        let spec = serde_json::to_value(spec(pod)).unwrap_or_default();
        qos_class(&serde_json::json!({ "spec": spec }))
    };
    match given.unwrap_or_else(computed) {
        "Guaranteed" => Qos::Guaranteed,
        "Burstable" => Qos::Burstable,
        _ => Qos::BestEffort,
    }
}

/// What the pod as a whole asks for, or may use: milli-CPUs, or bytes.
fn whole(
    pod: &Pod,
    resource: &str,
    of: fn(&ResourceRequirements) -> Option<&Amounts>,
) -> Option<i64> {
    amount(of(spec(pod).resources.as_ref()?), resource)
}

/// The limit of the pod as a whole, where its spec has one: milli-CPUs, or bytes.
pub(crate) fn whole_limit(pod: &Pod, resource: &str) -> Option<i64> {
    whole(pod, resource, |resources| resources.limits.as_ref())
}

fn whole_request(pod: &Pod, resource: &str) -> Option<i64> {
    whole(pod, resource, |resources| resources.requests.as_ref())
        .or_else(|| whole_limit(pod, resource))
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
            let extra = unclaimed_memory(pod);
            let own_score = |container: &Container| own_score(container, extra, memory_capacity);
            let own = own_score(container);
            if !is_sidecar(container) {
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
    let Some(whole) = whole_request(pod, "memory") else { return 0 };
    let sidecars = spec(pod).init_containers.iter().flatten().filter(|c| is_sidecar(c)).count();
    let sharing = spec(pod).containers.len() + sidecars;
    let claimed = together(pod, |c| request(c.resources.as_ref(), "memory").unwrap_or(0));
    (whole - claimed).max(0) / sharing.max(1) as i64
}

fn own_score(container: &Container, extra: i64, memory_capacity: i64) -> i32 {
    let requested = amount(
        container.resources.as_ref().and_then(|resources| resources.requests.as_ref()),
        "memory",
    )
    .unwrap_or(0)
        + extra;
    let score = 1000 - 1000 * requested / memory_capacity.max(1);
    score.clamp(3, 999) as i32
}

/// Sum of what a pod asks for, as the scheduler counts it.
pub(crate) fn pod_request(pod: &Pod, resource: &str) -> i64 {
    let of = |container: &Container| request(container.resources.as_ref(), resource).unwrap_or(0);
    let sum = whole_request(pod, resource).unwrap_or_else(|| together(pod, of));
    sum + overhead(pod, resource)
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
    let sum = whole_request(pod, resource).unwrap_or_else(|| together(pod, of));
    sum + overhead(pod, resource)
}

/// What a pod may use, if it has a limit as a whole or each of its containers has one.
pub(crate) fn pod_limit(pod: &Pod, resource: &str) -> Option<i64> {
    if let Some(whole) = whole_limit(pod, resource) {
        return Some(whole + overhead(pod, resource));
    }
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
    fn resources_of_the_pod_as_a_whole_decide() {
        let both = json!({"cpu": "2", "memory": "1Gi"});
        let mut pod = pod(json!([{"name": "a"}, {"name": "b", "resources":
            {"requests": {"cpu": "1", "memory": "512Mi"}}}]));
        let spec = pod.spec.as_mut().unwrap();
        spec.resources = serde_json::from_value(json!({"requests": both, "limits": both})).unwrap();
        assert_eq!((class(&pod), cgroup(&pod)), (Qos::Guaranteed, "/kubepods/podu".to_owned()));
        assert_eq!(pod_request(&pod, "cpu"), 2000);
        assert_eq!(pod_limit(&pod, "memory"), Some(1 << 30));
        pod.spec.as_mut().unwrap().resources.as_mut().unwrap().limits = None;
        assert_eq!(class(&pod), Qos::Burstable);
        let scores: Vec<_> = super::super::spec(&pod)
            .containers
            .iter()
            .map(|c| oom_score_adj(&pod, c, 1 << 30))
            .collect();
        // Each has half of what nobody claims.
        assert_eq!(scores, [750, 250]);
    }

    #[test]
    fn the_class_that_the_api_gave_stays() {
        let mut pod = pod(json!([{"name": "a"}]));
        pod.status = Some(serde_json::from_value(json!({"qosClass": "Burstable"})).unwrap());
        assert_eq!(class(&pod), Qos::Burstable);
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

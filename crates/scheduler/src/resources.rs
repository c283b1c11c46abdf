//! Amounts of what pods ask for and nodes have.

use std::collections::BTreeMap;

use apimachinery::quantity::Quantity;
use apimachinery::resources::{at_once, is_pod_level};
use k8s_openapi::api::core::v1::{Container, Pod};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;

/// Assumed for scoring when a container asks for nothing (upstream's non-zero defaults).
const DEFAULT_MILLI_CPU: i64 = 100;
const DEFAULT_MEMORY: i64 = 200 << 20;

/// Amounts by resource name: milli-units of `cpu`, whole units of everything else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Amounts(pub(crate) BTreeMap<String, i64>);

impl Amounts {
    pub(crate) fn parse(quantities: Option<&BTreeMap<String, ApiQuantity>>) -> Self {
        let parsed = quantities.into_iter().flatten().filter_map(|(name, text)| {
            let quantity = Quantity::parse(&text.0).ok()?;
            let amount = if name == "cpu" { quantity.milli_value() } else { quantity.value() };
            Some((name.clone(), amount))
        });
        Self(parsed.collect())
    }

    pub(crate) fn get(&self, name: &str) -> i64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.change(other, 1);
    }

    pub(crate) fn subtract(&mut self, other: &Self) {
        self.change(other, -1);
    }

    fn change(&mut self, other: &Self, sign: i64) {
        for (name, amount) in &other.0 {
            match self.0.get_mut(name) {
                Some(own) => *own = own.saturating_add(sign * amount),
                None => {
                    self.0.insert(name.clone(), sign * amount);
                }
            }
        }
    }

    fn at_least(&mut self, other: &Self) {
        for (name, amount) in &other.0 {
            let own = self.0.entry(name.clone()).or_default();
            *own = (*own).max(*amount);
        }
    }
}

/// What a container asks for. A running container also holds what it was given, which a resize in
/// place may not have taken back yet (KEP-1287).
fn requests(pod: &Pod, container: &Container, defaults: &[(&str, i64)]) -> Amounts {
    let resources = container.resources.as_ref();
    let asked = resources.and_then(|r| r.requests.as_ref());
    // A limit stands in for a request only where defaulting did not run.
    let mut amounts = Amounts::parse(resources.and_then(|r| r.limits.as_ref()));
    amounts.0.extend(Amounts::parse(asked).0);
    let status = pod.status.as_ref();
    let listed = status
        .into_iter()
        .flat_map(|s| s.container_statuses.iter().chain(&s.init_container_statuses).flatten());
    let running = listed.into_iter().find(|status| status.name == container.name);
    if let Some((status, actual)) = running.and_then(|s| Some((s, s.resources.as_ref()?))) {
        if is_infeasible(pod) {
            amounts = Amounts::default();
        }
        amounts.at_least(&Amounts::parse(actual.requests.as_ref()));
        amounts.at_least(&Amounts::parse(status.allocated_resources.as_ref()));
    }
    for (name, amount) in defaults {
        amounts.0.entry((*name).to_owned()).or_insert(*amount);
    }
    amounts
}

/// Whether a resize of the pod has been refused, so that its spec asks in vain.
fn is_infeasible(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|s| s.conditions.iter().flatten());
    let mut pending = conditions.filter(|c| c.type_ == "PodResizePending");
    pending.any(|c| c.reason.as_deref() == Some("Infeasible"))
}

/// Whether an init container keeps running beside the others.
fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

/// What a pod asks for (KEP-753: sidecars count with the containers, and with every init container
/// that starts after them).
pub(crate) fn of_pod(pod: &Pod) -> Amounts {
    sum(pod, &[])
}

/// CPU (milli) and memory (bytes) for scoring, where no container asks for nothing.
pub(crate) fn for_scoring(pod: &Pod) -> (i64, i64) {
    let amounts = sum(pod, &[("cpu", DEFAULT_MILLI_CPU), ("memory", DEFAULT_MEMORY)]);
    (amounts.get("cpu"), amounts.get("memory"))
}

fn sum(pod: &Pod, defaults: &[(&str, i64)]) -> Amounts {
    let Some(spec) = &pod.spec else { return Amounts::default() };
    let of = |container: &Container| requests(pod, container, defaults);
    let inits = spec.init_containers.iter().flatten();
    let mut total = at_once(
        spec.containers.iter().map(of),
        inits.map(|container| (is_sidecar(container), of(container))),
        Amounts::add,
        Amounts::at_least,
    );
    if let Some(own) = spec.resources.as_ref().and_then(|r| r.requests.as_ref()) {
        let own = Amounts::parse(Some(own)).0.into_iter().filter(|(name, _)| is_pod_level(name));
        total.0.extend(own);
    }
    total.add(&Amounts::parse(spec.overhead.as_ref()));
    total
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn init_containers_and_sidecars_count_as_they_run() {
        let container = |name: &str, cpu: &str, restart: Option<&str>| {
            let mut c =
                json!({"name": name, "image": "i", "resources": {"requests": {"cpu": cpu}}});
            if let Some(restart) = restart {
                c["restartPolicy"] = restart.into();
            }
            c
        };
        for (containers, init, want) in [
            (vec![container("a", "1", None), container("b", "500m", None)], vec![], 1500),
            (vec![container("a", "1", None)], vec![container("i", "3", None)], 3000),
            (
                vec![container("a", "1", None)],
                vec![container("s", "1", Some("Always")), container("i", "3", None)],
                4000,
            ),
            (
                vec![container("a", "4", None)],
                vec![container("i", "3", None), container("s", "1", Some("Always"))],
                5000,
            ),
        ] {
            let pod: Pod = serde_json::from_value(json!({
                "metadata": {"name": "p"}, "spec": {"containers": containers, "initContainers": init},
            }))
            .unwrap();
            assert_eq!(of_pod(&pod).get("cpu"), want);
        }
    }

    #[test]
    fn overhead_is_added_to_what_the_pod_asks_for_as_a_whole() {
        let container = json!({"name": "a", "image": "i", "resources": {
            "requests": {"cpu": "1", "memory": "1Gi", "example.com/gpu": "1"}}});
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "p"},
            "spec": {
                "containers": [container],
                "overhead": {"cpu": "250m", "memory": "1Mi"},
                "resources": {"requests": {"cpu": "2", "example.com/gpu": "7"}},
            },
        }))
        .unwrap();
        let amounts = of_pod(&pod);
        assert_eq!(amounts.get("cpu"), 2250);
        assert_eq!(amounts.get("memory"), (1 << 30) + (1 << 20));
        assert_eq!(amounts.get("example.com/gpu"), 1);
    }

    #[test]
    fn a_container_holds_what_it_has_until_it_is_resized() {
        for (reason, want) in [(None, 3000), (Some("Infeasible"), 2000)] {
            let mut pod = json!({
                "metadata": {"name": "p"},
                "spec": {"containers": [
                    {"name": "a", "image": "i", "resources": {"requests": {"cpu": "3"}}}]},
                "status": {"containerStatuses": [{
                    "name": "a", "image": "i", "imageID": "", "ready": true, "restartCount": 0,
                    "resources": {"requests": {"cpu": "2"}}}]},
            });
            if let Some(reason) = reason {
                pod["status"]["conditions"] =
                    json!([{"type": "PodResizePending", "status": "True", "reason": reason}]);
            }
            assert_eq!(of_pod(&serde_json::from_value(pod).unwrap()).get("cpu"), want);
        }
    }
}

//! Amounts of what pods ask for and nodes have.

use std::collections::BTreeMap;

use apimachinery::quantity::Quantity;
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
        for (name, amount) in &other.0 {
            *self.0.entry(name.clone()).or_default() += amount;
        }
    }

    pub(crate) fn subtract(&mut self, other: &Self) {
        for (name, amount) in &other.0 {
            *self.0.entry(name.clone()).or_default() -= amount;
        }
    }

    fn at_least(&mut self, other: &Self) {
        for (name, amount) in &other.0 {
            let own = self.0.entry(name.clone()).or_default();
            *own = (*own).max(*amount);
        }
    }
}

fn requests(container: &Container) -> Amounts {
    let resources = container.resources.as_ref();
    let mut amounts = Amounts::parse(resources.and_then(|r| r.limits.as_ref()));
    amounts.0.extend(Amounts::parse(resources.and_then(|r| r.requests.as_ref())).0);
    // A limit stands in for a request only where defaulting did not run.
    amounts
}

/// Whether an init container keeps running beside the others.
fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

/// What a pod asks for (KEP-753: sidecars count with the containers, and with every init container
/// that starts after them).
pub(crate) fn of_pod(pod: &Pod) -> Amounts {
    let Some(spec) = &pod.spec else { return Amounts::default() };
    let mut total = Amounts::default();
    for container in &spec.containers {
        total.add(&requests(container));
    }
    let mut sidecars = Amounts::default();
    let mut starting = Amounts::default();
    for container in spec.init_containers.iter().flatten() {
        let mut own = requests(container);
        if is_sidecar(container) {
            total.add(&own);
            sidecars.add(&own);
            starting.at_least(&sidecars);
        } else {
            own.add(&sidecars);
            starting.at_least(&own);
        }
    }
    total.at_least(&starting);
    if let Some(own) = spec.resources.as_ref().and_then(|r| r.requests.as_ref()) {
        // Requests of the pod as a whole take the place of the sum (KEP-2837).
        total.0.extend(Amounts::parse(Some(own)).0);
    }
    total.add(&Amounts::parse(spec.overhead.as_ref()));
    total
}

/// CPU (milli) and memory (bytes) for scoring, where nobody asks for nothing.
pub(crate) fn for_scoring(pod: &Pod) -> (i64, i64) {
    let mut totals = (0, 0);
    for container in pod.spec.iter().flat_map(|s| &s.containers) {
        let own = requests(container);
        let or = |name, default| own.0.get(name).copied().unwrap_or(default);
        totals.0 += or("cpu", DEFAULT_MILLI_CPU);
        totals.1 += or("memory", DEFAULT_MEMORY);
    }
    totals
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
}

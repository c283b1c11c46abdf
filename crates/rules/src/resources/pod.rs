//! The resource requests and limits of a pod.

use super::{Amounts, is_pod_level};

/// Requests and limits, as a container and a pod as a whole have them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    /// Amounts that are reserved for it.
    pub requests: Amounts,
    /// Amounts that it cannot exceed.
    pub limits: Amounts,
}

/// The resources a container has by its status, which a resize in place may not have changed yet
/// (KEP-1287).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Given {
    /// The resources that the container runs with.
    pub actual: Demand,
    /// The requests that the node has admitted.
    pub allocated: Amounts,
}

/// Resources of one container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerResources {
    /// An init container that keeps running.
    pub is_sidecar: bool,
    /// The resources in its spec.
    pub wanted: Demand,
    /// The resources in its status, for containers that can be resized.
    pub given: Option<Given>,
}

/// All that decides what a pod takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodResources {
    /// The containers, without ephemeral ones, which have no resources.
    pub containers: Vec<ContainerResources>,
    /// The init containers in their order.
    pub init_containers: Vec<ContainerResources>,
    /// Resources of the pod as a whole (KEP-2837), where its spec has them.
    pub whole: Option<Demand>,
    /// The overhead of the sandbox.
    pub overhead: Amounts,
    /// The node has refused the resize for good: the spec asks in vain.
    pub resize_infeasible: bool,
}

impl ContainerResources {
    /// Nothing is free before it is given back, nor is what cannot be had taken.
    fn requests(&self, resize_infeasible: bool) -> Amounts {
        let Some(given) = &self.given else { return self.wanted.requests.clone() };
        let mut amounts = self.effective(|demand| &demand.requests, resize_infeasible);
        amounts.raise_to(&given.allocated);
        amounts
    }

    fn limits(&self, resize_infeasible: bool) -> Amounts {
        self.effective(|demand| &demand.limits, resize_infeasible)
    }

    fn effective(&self, list: fn(&Demand) -> &Amounts, resize_infeasible: bool) -> Amounts {
        let mut amounts = match &self.given {
            Some(_) if resize_infeasible => Amounts::default(),
            _ => list(&self.wanted).clone(),
        };
        if let Some(given) = &self.given {
            amounts.raise_to(list(&given.actual));
        }
        amounts
    }
}

impl PodResources {
    /// The requests of the pod: the sum of its containers, with resizes that are under way,
    /// unless the pod as a whole says otherwise, and its overhead.
    #[must_use]
    pub fn requests(&self) -> Amounts {
        self.requests_assuming(&Amounts::default())
    }

    /// As [`requests`](Self::requests), where a container that does not name a resource of
    /// `assumed` asks for so much of it.
    #[must_use]
    pub fn requests_assuming(&self, assumed: &Amounts) -> Amounts {
        let mut total = self.at_once(|container| {
            let mut own = assumed.clone();
            for (name, amount) in container.requests(self.resize_infeasible).iter() {
                own.set(name, amount);
            }
            own
        });
        self.overrule(&mut total, |whole| &whole.requests);
        // Without a request of any container, the limit of the pod as a whole is its request.
        for (name, limit) in self.whole.iter().flat_map(|whole| whole.limits.iter()) {
            if is_pod_level(name) && total.get(name).is_none() {
                total.set(name, limit);
            }
        }
        total.add(&self.overhead);
        total
    }

    /// The limits of the pod, counted in the same way. A resource without a limit gets none from
    /// the overhead.
    #[must_use]
    pub fn limits(&self) -> Amounts {
        let mut total = self.at_once(|container| container.limits(self.resize_infeasible));
        self.overrule(&mut total, |whole| &whole.limits);
        for (name, more) in self.overhead.iter() {
            if total.get(name).is_some_and(|limit| !limit.is_zero()) {
                total.add_to(name, more);
            }
        }
        total
    }

    /// The requests and limits of all containers together by their specs, whatever the pod as a
    /// whole says.
    #[must_use]
    pub fn of_containers(&self) -> Demand {
        Demand {
            requests: self.at_once(|container| container.wanted.requests.clone()),
            limits: self.at_once(|container| container.wanted.limits.clone()),
        }
    }

    /// The most that the containers take at one time (KEP-753): what runs at once is added up,
    /// and init containers need their share while they run, beside the sidecars before them.
    #[must_use]
    pub fn at_once(&self, of: impl Fn(&ContainerResources) -> Amounts) -> Amounts {
        let (mut running, mut sidecars, mut peak) =
            (Amounts::default(), Amounts::default(), Amounts::default());
        for container in &self.containers {
            running.add(&of(container));
        }
        for container in &self.init_containers {
            let own = of(container);
            let mut now = sidecars.clone();
            now.add(&own);
            peak.raise_to(&now);
            if container.is_sidecar {
                running.add(&own);
                sidecars = now;
            }
        }
        running.raise_to(&peak);
        running
    }

    /// Every container with resources, init containers first.
    pub fn each(&self) -> impl Iterator<Item = &ContainerResources> {
        self.init_containers.iter().chain(&self.containers)
    }

    /// The pod has resources of its own beside those of its containers.
    #[must_use]
    pub fn has_pod_level(&self) -> bool {
        let lists = self.whole.iter().flat_map(|whole| [&whole.requests, &whole.limits]);
        lists.flat_map(Amounts::names).any(is_pod_level)
    }

    /// Requests or limits of the pod as a whole take the place of the sum (KEP-2837).
    fn overrule(&self, total: &mut Amounts, list: fn(&Demand) -> &Amounts) {
        let own = self.whole.iter().flat_map(|whole| list(whole).iter());
        for (name, amount) in own.filter(|(name, _)| is_pod_level(name)) {
            total.set(name, amount);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::Pod;
    use serde_json::{Value, json};

    /// Reads a pod in both forms, which must say the same.
    fn read(pod: &Value) -> PodResources {
        let of_tree = PodResources::of_tree(pod);
        let typed: Pod = serde_json::from_value(pod.clone()).unwrap();
        assert_eq!(of_tree, PodResources::of(&typed), "{pod}");
        of_tree
    }

    fn container(name: &str, cpu: &str) -> Value {
        json!({"name": name, "resources": {"requests": {"cpu": cpu}, "limits": {"cpu": cpu}}})
    }

    fn sidecar(name: &str, cpu: &str) -> Value {
        let mut sidecar = container(name, cpu);
        sidecar["restartPolicy"] = "Always".into();
        sidecar
    }

    #[test]
    fn init_containers_and_sidecars_count_as_they_run() {
        for (containers, init, want) in [
            (vec![container("a", "1"), container("b", "500m")], vec![], "cpu=1500m"),
            (vec![container("a", "1")], vec![container("i", "3")], "cpu=3"),
            (vec![container("a", "1")], vec![sidecar("s", "1"), container("i", "3")], "cpu=4"),
            (vec![container("a", "4")], vec![container("i", "3"), sidecar("s", "1")], "cpu=5"),
        ] {
            let pod = read(&json!({"spec": {"containers": containers, "initContainers": init}}));
            assert_eq!(pod.of_containers().requests.to_string(), want, "{pod:?}");
            assert_eq!(pod.limits().to_string(), want);
        }
    }

    #[test]
    fn the_pod_as_a_whole_and_its_overhead_have_a_say() {
        let pod = read(&json!({"spec": {
            "containers": [container("a", "1")],
            "resources": {"requests": {"cpu": "3", "example.com/x": "1"}, "limits": {"memory": "1Gi"}},
            "overhead": {"cpu": "100m", "ephemeral-storage": "1M"},
        }}));
        assert!(pod.has_pod_level());
        assert!(!read(&json!({"spec": {"containers": [], "resources": {}}})).has_pod_level());
        assert_eq!(pod.requests().to_string(), "cpu=3100m,ephemeral-storage=1M,memory=1Gi");
        assert_eq!(pod.limits().to_string(), "cpu=1100m,memory=1Gi");
    }

    #[test]
    fn a_resize_under_way_counts_at_its_highest() {
        let status = |name: &str, resources: Value| {
            json!({"name": name, "image": "i", "imageID": "", "ready": true, "restartCount": 0,
                "resources": resources})
        };
        let mut running = status("a", json!({"requests": {"cpu": "2"}, "limits": {"cpu": "2"}}));
        running["allocatedResources"] = json!({"cpu": "3"});
        let mut pod = json!({
            "spec": {"containers": [container("a", "1")], "initContainers": [container("i", "1")]},
            "status": {
                "containerStatuses": [running],
                "initContainerStatuses": [status("i", json!({"requests": {"cpu": "9"}}))],
            },
        });
        assert_eq!(read(&pod).requests().to_string(), "cpu=3");
        assert_eq!(read(&pod).limits().to_string(), "cpu=2");
        pod["spec"]["containers"][0] = container("a", "8");
        assert_eq!(read(&pod).requests().to_string(), "cpu=8");
        pod["status"]["conditions"] =
            json!([{"type": "PodResizePending", "status": "True", "reason": "Infeasible"}]);
        assert_eq!(read(&pod).requests().to_string(), "cpu=3");
    }

    #[test]
    fn what_is_assumed_fills_what_no_container_names() {
        let pod = read(&json!({"spec": {"containers": [container("a", "1"), {"name": "b"}]}}));
        let assumed = Amounts::read(&json!({"cpu": "100m", "memory": "200Mi"}));
        assert_eq!(pod.requests_assuming(&assumed).to_string(), "cpu=1100m,memory=400Mi");
    }
}

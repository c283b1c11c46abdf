//! Reading what decides a pod's resources from its two forms.

use std::collections::BTreeMap;

use apimachinery::ObjectExt;
use apimachinery::quantity::Quantity;
use k8s_openapi::api::core::v1::{Container, ContainerStatus, Pod, PodCondition};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;
use serde_json::Value;

use super::{Amounts, ContainerResources, Demand, Given, PodResources};
use crate::container::RestartPolicy;

type List = BTreeMap<String, ApiQuantity>;

impl Amounts {
    /// Reads a resource list. What is no quantity, which the API server does not admit, is zero.
    #[must_use]
    pub fn of(list: Option<&List>) -> Self {
        let entries = list.into_iter().flatten();
        entries
            .map(|(name, text)| (name.clone(), Quantity::parse(&text.0).unwrap_or_default()))
            .collect()
    }
}

impl Demand {
    /// Requests and limits of a `resources` field.
    #[must_use]
    pub fn read(resources: &Value) -> Self {
        let list = |name: &str| Amounts::read(&resources[name]);
        Self { requests: list("requests"), limits: list("limits") }
    }

    fn of(requests: Option<&List>, limits: Option<&List>) -> Self {
        Self { requests: Amounts::of(requests), limits: Amounts::of(limits) }
    }
}

const INFEASIBLE: &str = "Infeasible";
const PENDING: &str = "PodResizePending";

impl PodResources {
    /// Reads a typed pod.
    #[must_use]
    pub fn of(pod: &Pod) -> Self {
        let Some(spec) = &pod.spec else { return Self::default() };
        let status = pod.status.as_ref();
        let apps = status.and_then(|s| s.container_statuses.as_deref()).unwrap_or_default();
        let inits = status.and_then(|s| s.init_container_statuses.as_deref()).unwrap_or_default();
        let mut conditions = status.iter().flat_map(|s| s.conditions.iter().flatten());
        let pending = conditions.find(|condition: &&PodCondition| condition.type_ == PENDING);
        let inits_of = spec.init_containers.iter().flatten();
        Self {
            containers: spec.containers.iter().map(|c| of_container(c, Some(apps))).collect(),
            init_containers: inits_of
                .map(|c| of_container(c, c.is_sidecar().then_some(inits)))
                .collect(),
            whole: spec
                .resources
                .as_ref()
                .map(|own| Demand::of(own.requests.as_ref(), own.limits.as_ref())),
            overhead: Amounts::of(spec.overhead.as_ref()),
            resize_infeasible: pending.is_some_and(|c| c.reason.as_deref() == Some(INFEASIBLE)),
        }
    }

    /// Reads the spec of a typed pod, as if no node had given it anything.
    #[must_use]
    pub fn of_pod_spec(pod: &Pod) -> Self {
        let mut resources = Self::of(pod);
        resources.resize_infeasible = false;
        let all = resources.containers.iter_mut().chain(&mut resources.init_containers);
        all.for_each(|container| container.given = None);
        resources
    }

    /// Reads a pod that is a tree.
    #[must_use]
    pub fn of_tree(pod: &Value) -> Self {
        Self::of_parts(&pod["spec"], &pod["status"])
    }

    /// Reads the spec of a pod or of a template, which is a tree.
    #[must_use]
    pub fn of_spec(spec: &Value) -> Self {
        Self::of_parts(spec, &Value::Null)
    }

    fn of_parts(spec: &Value, status: &Value) -> Self {
        let read = |list: &str, statuses: &str| {
            let statuses = items(status, statuses);
            let containers = items(spec, list).iter();
            let read = |container: &Value| {
                let resizable = list == "containers" || container.is_sidecar();
                read_container(container, resizable.then_some(statuses))
            };
            containers.map(read).collect()
        };
        let pending = items(status, "conditions").iter().find(|c| c["type"] == PENDING);
        let whole = &spec["resources"];
        Self {
            containers: read("containers", "containerStatuses"),
            init_containers: read("initContainers", "initContainerStatuses"),
            whole: whole.is_object().then(|| Demand::read(whole)),
            overhead: Amounts::read(&spec["overhead"]),
            resize_infeasible: pending.is_some_and(|c| c.str_at(&["reason"]) == INFEASIBLE),
        }
    }
}

fn items<'a>(part: &'a Value, field: &str) -> &'a [Value] {
    part[field].as_array().map_or(&[], Vec::as_slice)
}

/// A container with its status among these, if it is one that can be resized.
fn of_container(container: &Container, statuses: Option<&[ContainerStatus]>) -> ContainerResources {
    let own = container.resources.as_ref();
    let wanted = Demand::of(
        own.and_then(|own| own.requests.as_ref()),
        own.and_then(|own| own.limits.as_ref()),
    );
    let status = statuses.and_then(|all| all.iter().find(|s| s.name == container.name));
    let given = status.and_then(|status| {
        let actual = status.resources.as_ref()?;
        Some(Given {
            actual: Demand::of(actual.requests.as_ref(), actual.limits.as_ref()),
            allocated: Amounts::of(status.allocated_resources.as_ref()),
        })
    });
    ContainerResources { is_sidecar: container.is_sidecar(), wanted, given }
}

fn read_container(container: &Value, statuses: Option<&[Value]>) -> ContainerResources {
    let status = statuses.and_then(|all| all.iter().find(|s| s["name"] == container["name"]));
    let status = status.filter(|status| status["resources"].is_object());
    ContainerResources {
        is_sidecar: container.is_sidecar(),
        wanted: Demand::read(&container["resources"]),
        given: status.map(|status| Given {
            actual: Demand::read(&status["resources"]),
            allocated: Amounts::read(&status["allocatedResources"]),
        }),
    }
}

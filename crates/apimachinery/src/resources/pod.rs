//! What a pod asks for ("requests") and may use ("limits").

use serde_json::Value;

use super::{Amounts, is_pod_level};
use crate::ObjectExt;

fn items<'a>(object: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    object[field].as_array().into_iter().flatten()
}

fn is_sidecar(container: &Value) -> bool {
    container["restartPolicy"] == "Always"
}

/// What the containers of a pod spec ask for or may use together, by `list`, which is `requests`
/// or `limits`.
#[must_use]
pub fn of_containers(spec: &Value, list: &str) -> Amounts {
    combine(spec, |container| Amounts::read(&container["resources"][list]))
}

fn combine(spec: &Value, of: impl Fn(&Value) -> Amounts) -> Amounts {
    at_once(
        items(spec, "containers").map(&of),
        items(spec, "initContainers").map(|container| (is_sidecar(container), of(container))),
        Amounts::add,
        Amounts::raise_to,
    )
}

/// The most that a pod's containers take at one time (KEP-753): what runs at once is added up, and
/// init containers, each with whether it is a sidecar, need their share while they run, beside the
/// sidecars before them.
pub fn at_once<T: Clone + Default>(
    containers: impl Iterator<Item = T>,
    init_containers: impl Iterator<Item = (bool, T)>,
    add: impl Fn(&mut T, &T),
    raise: impl Fn(&mut T, &T),
) -> T {
    let (mut running, mut sidecars, mut peak) = (T::default(), T::default(), T::default());
    containers.for_each(|own| add(&mut running, &own));
    for (is_sidecar, own) in init_containers {
        let mut now = sidecars.clone();
        add(&mut now, &own);
        raise(&mut peak, &now);
        if is_sidecar {
            add(&mut running, &own);
            sidecars = now;
        }
    }
    raise(&mut running, &peak);
    running
}

/// Whether a pod spec has resources of its own beside those of its containers.
#[must_use]
pub fn has_pod_level(spec: &Value) -> bool {
    let lists = ["requests", "limits"].map(|list| &spec["resources"][list]);
    let mut names = lists.iter().filter_map(|list| list.as_object()).flatten();
    names.any(|(name, _)| is_pod_level(name))
}

/// What a pod asks for or may use, by `list`: the sum of its containers with what is under way in
/// a resize, unless the pod as a whole says otherwise, and its overhead.
#[must_use]
pub fn of_pod(pod: &Value, list: &str) -> Amounts {
    let spec = &pod["spec"];
    let infeasible = is_resize_infeasible(pod);
    let mut total = combine(spec, |container| {
        let wanted = Amounts::read(&container["resources"][list]);
        match status_of(pod, container) {
            Some(status) => effective(wanted, status, list, infeasible),
            None => wanted,
        }
    });
    // Requests or limits of the pod as a whole take the place of the sum (KEP-2837).
    for (name, own) in Amounts::read(&spec["resources"][list]).iter() {
        if is_pod_level(name) {
            total.set(name, own);
        }
    }
    for (name, more) in Amounts::read(&spec["overhead"]).iter() {
        // Where there is no limit, overhead must not make one.
        if list == "requests" || total.get(name).is_some_and(|limit| !limit.is_zero()) {
            total.add_to(name, more);
        }
    }
    total
}

/// The status of a container that can be resized, if its node reports resources.
fn status_of<'a>(pod: &'a Value, container: &Value) -> Option<&'a Value> {
    let init = items(&pod["spec"], "initContainers").any(|other| std::ptr::eq(other, container));
    if init && !is_sidecar(container) {
        return None;
    }
    let field = if init { "initContainerStatuses" } else { "containerStatuses" };
    let mut statuses = items(&pod["status"], field);
    statuses.find(|s| s["name"] == container["name"]).filter(|s| s["resources"].is_object())
}

/// Nothing is free before it is given back, nor is what cannot be had taken (KEP-1287).
fn effective(wanted: Amounts, status: &Value, list: &str, infeasible: bool) -> Amounts {
    let mut amounts = if infeasible { Amounts::default() } else { wanted };
    amounts.raise_to(&Amounts::read(&status["resources"][list]));
    if list == "requests" {
        amounts.raise_to(&Amounts::read(&status["allocatedResources"]));
    }
    amounts
}

fn is_resize_infeasible(pod: &Value) -> bool {
    let mut conditions = items(&pod["status"], "conditions");
    let pending = conditions.find(|c| c["type"] == "PodResizePending");
    pending.is_some_and(|c| c.str_at(&["reason"]) == "Infeasible")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

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
            let spec = json!({"containers": containers, "initContainers": init});
            assert_eq!(of_containers(&spec, "requests").to_string(), want, "{spec}");
            assert_eq!(of_pod(&json!({"spec": spec}), "limits").to_string(), want);
        }
    }

    #[test]
    fn the_pod_as_a_whole_and_its_overhead_have_a_say() {
        let pod = json!({"spec": {
            "containers": [container("a", "1")],
            "resources": {"requests": {"cpu": "3", "example.com/x": "1"}, "limits": {"memory": "1Gi"}},
            "overhead": {"cpu": "100m", "ephemeral-storage": "1M"},
        }});
        assert!(has_pod_level(&pod["spec"]) && !has_pod_level(&json!({"resources": {}})));
        for (list, want) in
            [("requests", "cpu=3100m,ephemeral-storage=1M"), ("limits", "cpu=1100m,memory=1Gi")]
        {
            assert_eq!(of_pod(&pod, list).to_string(), want);
        }
    }

    #[test]
    fn a_resize_under_way_counts_at_its_highest() {
        let mut pod = json!({
            "spec": {"containers": [container("a", "1")], "initContainers": [container("i", "1")]},
            "status": {
                "containerStatuses": [{"name": "a", "allocatedResources": {"cpu": "3"},
                    "resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "2"}}}],
                "initContainerStatuses": [{"name": "i", "resources": {"requests": {"cpu": "9"}}}],
            },
        });
        assert_eq!(of_pod(&pod, "requests").to_string(), "cpu=3");
        assert_eq!(of_pod(&pod, "limits").to_string(), "cpu=2");
        pod["spec"]["containers"][0] = container("a", "8");
        assert_eq!(of_pod(&pod, "requests").to_string(), "cpu=8");
        pod["status"]["conditions"] = json!([{"type": "PodResizePending", "reason": "Infeasible"}]);
        assert_eq!(of_pod(&pod, "requests").to_string(), "cpu=3");
    }
}

//! Requests and limits of each pod: as many series as there are pods and resources, so that they
//! are served by themselves.

use client::Store;
use k8s_openapi::api::core::v1::Pod;
use rules::resources::{Amounts, PodResources, is_huge_page};
use telemetry::metrics::{Desc, Kind, Registry, Samples};

use crate::pod::is_over;

/// The unit that amounts of a resource are in.
fn unit(resource: &str) -> &'static str {
    match resource {
        "cpu" => "cores",
        "memory" | "storage" | "ephemeral-storage" => "bytes",
        name if is_huge_page(name) => "bytes",
        name if name.starts_with("attachable-volumes-") => "integer",
        _ => "",
    }
}

/// The part of a pod's resources that a metric exposes.
type List = fn(&PodResources) -> Amounts;

/// Adds the requests and limits of all pods in `pods`.
pub(crate) fn add(registry: &Registry, pods: &Store<Pod>) {
    let kinds: [(List, Desc); 2] = [
        (
            PodResources::requests,
            Desc::stable(
                "kube_pod_resource_request",
                "Resources requested by workloads on the cluster, broken down by pod. This shows the resource usage the scheduler and kubelet expect per pod for resources along with the unit for the resource if any.",
            ),
        ),
        (
            PodResources::limits,
            Desc::stable(
                "kube_pod_resource_limit",
                "Resources limit for workloads on the cluster, broken down by pod. This shows the resource usage the scheduler and kubelet expect per pod for resources along with the unit for the resource if any.",
            ),
        ),
    ];
    for (of, desc) in kinds {
        let pods = pods.clone();
        let labels = ["namespace", "pod", "node", "scheduler", "priority", "resource", "unit"];
        registry.collect(desc, Kind::Gauge, labels, move |samples: &mut Samples<7>| {
            for pod in pods.list().into_iter().filter(|pod| !is_over(pod)) {
                sample(&pod, of, samples);
            }
        });
    }
}

fn sample(pod: &Pod, of: List, samples: &mut Samples<7>) {
    let Some(spec) = &pod.spec else { return };
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let (namespace, name) = (text(&pod.metadata.namespace), text(&pod.metadata.name));
    let (node, scheduler) = (text(&spec.node_name), text(&spec.scheduler_name));
    let priority = spec.priority.map(|priority| priority.to_string()).unwrap_or_default();
    for (resource, amount) in
        of(&PodResources::of(pod)).iter().filter(|(_, amount)| !amount.is_zero())
    {
        let labels =
            [&*namespace, &*name, &*node, &*scheduler, &*priority, resource, unit(resource)];
        samples.add(labels, amount.as_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use telemetry::metrics::Format;

    #[test]
    fn each_pod_tells_of_its_resources() {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "ns"},
            "spec": {"nodeName": "n", "schedulerName": "default-scheduler", "priority": 7,
                "containers": [{"name": "c", "resources": {
                    "requests": {"cpu": "250m", "memory": "1Mi", "example.com/gpu": "2"},
                    "limits": {"cpu": "1"}}}]},
        }))
        .unwrap();
        let registry = Registry::bare();
        registry.collect(
            Desc::stable("x", "x"),
            Kind::Gauge,
            ["namespace", "pod", "node", "scheduler", "priority", "resource", "unit"],
            move |samples: &mut Samples<7>| sample(&pod, PodResources::requests, samples),
        );
        let text = registry.encode(Format::Text);
        let lines: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let of = |resource: &str, unit: &str, value: &str| {
            format!(
                "x{{namespace=\"ns\",node=\"n\",pod=\"p\",priority=\"7\",resource=\"{resource}\",scheduler=\"default-scheduler\",unit=\"{unit}\"}} {value}"
            )
        };
        assert_eq!(
            lines,
            [
                of("cpu", "cores", "0.25"),
                of("example.com/gpu", "", "2"),
                of("memory", "bytes", "1048576"),
            ]
        );
    }
}

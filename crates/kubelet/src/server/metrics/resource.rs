//! CPU and memory of containers, pods and the node, each with the time it was read at.

use std::collections::HashMap;
use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use runtime::{ContainerFilter, Usage};
use telemetry::metrics::{Desc, Kind, Registry, Samples};

use crate::context::Context;
use crate::pod::{name, namespace, uid};

/// One container or pod.
#[derive(Debug)]
pub(super) struct Row<const N: usize> {
    labels: [String; N],
    usage: Usage,
    started: Option<Timestamp>,
}

/// Everything, as it was read once.
#[derive(Debug, Default)]
pub(super) struct Reading {
    containers: Vec<Row<3>>,
    pods: Vec<Row<2>>,
    node: Option<Usage>,
    complete: bool,
}

/// CPU time of a kernel's clock in seconds.
fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

/// Reads the usage of everything.
async fn read(context: &Context) -> Reading {
    let (all, complete) = super::usage(context).await;
    let containers = context.runtime.list_containers(ContainerFilter::default()).await;
    let started: HashMap<String, Option<Timestamp>> =
        containers.unwrap_or_default().into_iter().map(|c| (c.id, c.started_at)).collect();
    let pods = context.pods.store().list();
    let mut reading = Reading { complete, ..Reading::default() };
    for (id, stats) in &all {
        let Some(pod) = pods.iter().find(|pod| uid(pod) == id) else { continue };
        let (name, namespace) = (name(pod).to_owned(), namespace(pod).to_owned());
        for container in &stats.containers {
            reading.containers.push(Row {
                labels: [container.metadata.name.clone(), name.clone(), namespace.clone()],
                usage: container.usage.clone(),
                started: started.get(&container.id).copied().flatten(),
            });
        }
        let usage = stats.usage.clone();
        reading.pods.push(Row { labels: [name, namespace], usage, started: None });
    }
    reading.node = Some(crate::server::stats::node(&all));
    reading
}

pub(super) async fn registry(context: &Context) -> Registry {
    of(read(context).await)
}

fn of(reading: Reading) -> Registry {
    let registry = Registry::bare();
    let reading = Arc::new(reading);
    let cpu = |usage: &Usage| seconds(usage.cpu_usage_nanos);
    let memory = |usage: &Usage| usage.memory_working_set as f64;
    containers(
        &registry,
        &reading,
        Desc::stable(
            "container_cpu_usage_seconds_total",
            "Cumulative cpu time consumed by the container in core-seconds",
        ),
        Kind::Counter,
        move |row| Some(cpu(&row.usage)),
    );
    containers(
        &registry,
        &reading,
        Desc::stable(
            "container_memory_working_set_bytes",
            "Current working set of the container in bytes",
        ),
        Kind::Gauge,
        move |row| Some(memory(&row.usage)),
    );
    containers(
        &registry,
        &reading,
        Desc::alpha(
            "container_swap_usage_bytes",
            "Current amount of the container swap usage in bytes. Reported only on non-windows systems",
        ),
        Kind::Gauge,
        |row| row.usage.memory_swap.map(|bytes| bytes as f64),
    );
    containers(
        &registry,
        &reading,
        Desc::stable(
            "container_start_time_seconds",
            "Start time of the container since unix epoch in seconds",
        ),
        Kind::Gauge,
        |row| row.started.map(|at| at.as_millisecond() as f64 / 1e3),
    );
    for (desc, kind, of) in [
        (
            Desc::stable(
                "pod_cpu_usage_seconds_total",
                "Cumulative cpu time consumed by the pod in core-seconds",
            ),
            Kind::Counter,
            cpu as fn(&Usage) -> f64,
        ),
        (
            Desc::stable("pod_memory_working_set_bytes", "Current working set of the pod in bytes"),
            Kind::Gauge,
            memory as fn(&Usage) -> f64,
        ),
    ] {
        let reading = reading.clone();
        registry.collect(desc, kind, ["pod", "namespace"], move |samples: &mut Samples<2>| {
            for row in &reading.pods {
                let labels = std::array::from_fn(|i| row.labels[i].as_str());
                samples.add_at(labels, of(&row.usage), row.usage.timestamp.as_millisecond());
            }
        });
    }
    for (desc, kind, of) in [
        (
            Desc::stable(
                "node_cpu_usage_seconds_total",
                "Cumulative cpu time consumed by the node in core-seconds",
            ),
            Kind::Counter,
            cpu as fn(&Usage) -> f64,
        ),
        (
            Desc::stable(
                "node_memory_working_set_bytes",
                "Current working set of the node in bytes",
            ),
            Kind::Gauge,
            memory as fn(&Usage) -> f64,
        ),
    ] {
        let reading = reading.clone();
        registry.collect(desc, kind, [], move |samples: &mut Samples<0>| {
            if let Some(usage) = &reading.node {
                samples.add_at([], of(usage), usage.timestamp.as_millisecond());
            }
        });
    }
    registry
        .gauge(Desc::stable(
            "resource_scrape_error",
            "1 if there was an error while getting container metrics, 0 otherwise",
        ))
        .set(f64::from(u8::from(!reading.complete)));
    registry
}

fn containers(
    registry: &Registry,
    reading: &Arc<Reading>,
    desc: Desc,
    kind: Kind,
    of: impl Fn(&Row<3>) -> Option<f64> + Send + Sync + 'static,
) {
    let reading = reading.clone();
    let labels = ["container", "pod", "namespace"];
    registry.collect(desc, kind, labels, move |samples: &mut Samples<3>| {
        for row in &reading.containers {
            if let Some(value) = of(row) {
                let labels = std::array::from_fn(|i| row.labels[i].as_str());
                samples.add_at(labels, value, row.usage.timestamp.as_millisecond());
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use telemetry::metrics::stable;

    use super::*;

    #[test]
    fn all_that_upstream_promises_is_there() {
        let registry = of(Reading::default());
        assert_eq!(stable::differences(&registry, &["kubelet/resource"]), [""; 0]);
    }
}

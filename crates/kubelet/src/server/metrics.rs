//! Metrics in Prometheus' text format.

use std::fmt::Write;

use http::header::{CONTENT_TYPE, HeaderValue};
use runtime::{SandboxFilter, SandboxState, SandboxStats};

use super::{Answer, full};
use crate::context::Context;
use crate::pod::{members, name, namespace, uid};
use crate::spec::labels::POD_UID;

fn answer(body: String) -> Answer {
    let mut response = http::Response::new(full(body));
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// The kubelet's own metrics.
pub(super) fn own(context: &Context) -> Answer {
    let pods = context.pods.store().list();
    let containers: usize = pods.iter().map(|pod| members(pod).len()).sum();
    let mut out = String::new();
    let mut gauge = |name: &str, help: &str, labels: &str, value: usize| {
        // Writing to a string does not fail.
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} gauge\n{name}{labels} {value}");
    };
    let node = format!("{{node=\"{}\"}}", context.config.node_name);
    gauge("kubelet_node_name", "The node's name. The count is always 1.", &node, 1);
    gauge("kubelet_desired_pods", "Pods the API wants on this node.", "", pods.len());
    gauge("kubelet_desired_containers", "Containers of those pods.", "", containers);
    answer(out)
}

/// Usage of all running pods.
pub(super) async fn usage(context: &Context) -> Vec<(String, SandboxStats)> {
    let filter = SandboxFilter { state: Some(SandboxState::Ready), ..SandboxFilter::default() };
    let sandboxes = context.runtime.list_pod_sandboxes(filter).await.unwrap_or_default();
    let mut out = Vec::new();
    for sandbox in sandboxes {
        let Some(uid) = sandbox.labels.get(POD_UID) else { continue };
        if let Ok(stats) = context.runtime.pod_sandbox_stats(&sandbox.id).await {
            out.push((uid.clone(), stats));
        }
    }
    out
}

/// The metrics that autoscaling is made from.
pub(super) async fn resource(context: &Context) -> Answer {
    let all = usage(context).await;
    let pods = context.pods.store().list();
    let mut out = String::new();
    let seconds = |nanos: u64| nanos as f64 / 1e9;
    let families = [
        ("container_cpu_usage_seconds_total", "counter"),
        ("container_memory_working_set_bytes", "gauge"),
        ("pod_cpu_usage_seconds_total", "counter"),
        ("pod_memory_working_set_bytes", "gauge"),
    ];
    for (family, kind) in families {
        let _ = writeln!(out, "# TYPE {family} {kind}");
        for (id, stats) in &all {
            let Some(pod) = pods.iter().find(|pod| uid(pod) == id) else { continue };
            let place = format!("namespace=\"{}\",pod=\"{}\"", namespace(pod), name(pod));
            let mut line = |labels: String, usage: &runtime::Usage| {
                let at = usage.timestamp.as_millisecond();
                let _ = if family.contains("cpu") {
                    writeln!(out, "{family}{{{labels}}} {} {at}", seconds(usage.cpu_usage_nanos))
                } else {
                    writeln!(out, "{family}{{{labels}}} {} {at}", usage.memory_working_set)
                };
            };
            if family.starts_with("pod_") {
                line(place, &stats.usage);
            } else {
                for container in &stats.containers {
                    let name = &container.metadata.name;
                    line(format!("container=\"{name}\",{place}"), &container.usage);
                }
            }
        }
    }
    let (cpu, memory) = super::stats::node_usage(&all);
    let _ = writeln!(out, "# TYPE node_cpu_usage_seconds_total counter");
    let _ = writeln!(out, "node_cpu_usage_seconds_total {}", seconds(cpu));
    let _ = writeln!(out, "# TYPE node_memory_working_set_bytes gauge");
    let _ = writeln!(out, "node_memory_working_set_bytes {memory}");
    answer(out)
}

//! The kubelet's metrics.

mod runtime;

use std::collections::BTreeMap;

use ::runtime::{ContainerFilter, ContainerState, SandboxFilter, SandboxState};
use telemetry::metrics::{
    Counter, Desc, Family, Gauge, Histogram, Kind, Registry, Samples, buckets,
};

use crate::context::Context;
use crate::pod::Role;

pub(crate) use runtime::Measured;

/// Seconds that pods take to start.
const START: [f64; 25] = [
    0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 20.0, 30.0, 45.0, 60.0, 120.0, 180.0, 240.0,
    300.0, 360.0, 480.0, 600.0, 900.0, 1200.0, 1800.0, 2700.0, 3600.0,
];

/// All metrics of one kubelet.
#[derive(Debug)]
pub(crate) struct Metrics {
    /// The registry behind `/metrics`.
    pub(crate) main: Registry,
    /// The registry behind `/metrics/probes`.
    pub(crate) probes: Registry,
    pub(crate) probe_results: Family<Counter, 6>,
    pub(crate) probe_times: Family<Histogram, 4>,
    desired: Family<Gauge, 1>,
    running_pods: Gauge,
    running_containers: Family<Gauge, 1>,
    pub(crate) passes: Family<Histogram, 1>,
    pub(crate) worker_starts: Histogram,
    pub(crate) starts: Histogram,
    pub(crate) containers_per_pod: Histogram,
    pub(crate) started_pods: Counter,
    pub(crate) failed_pods: Counter,
    started_containers: Family<Counter, 1>,
    failed_containers: Family<Counter, 2>,
    pub(crate) rejections: Family<Counter, 1>,
    pub(crate) images: ImageVolumes,
    pub(crate) requests: Requests,
}

/// Those of volumes that are images.
#[derive(Debug)]
pub(crate) struct ImageVolumes {
    pub(crate) requested: Counter,
    pub(crate) mounted: Counter,
    pub(crate) failed: Counter,
}

/// Those of the kubelet's server.
#[derive(Debug)]
pub(crate) struct Requests {
    pub(crate) total: Family<Counter, 4>,
    pub(crate) times: Family<Histogram, 4>,
    pub(crate) in_flight: Family<Gauge, 4>,
}

/// Upstream's word for the kind of a container.
fn word(role: Role) -> &'static str {
    match role {
        Role::Init | Role::Sidecar => "init_container",
        Role::App => "container",
        Role::Ephemeral => "ephemeral_container",
    }
}

impl Metrics {
    /// Adds the kubelet's metrics to `main`.
    pub(crate) fn new(main: Registry, node: &str) -> Self {
        main.gauges(
            Desc::alpha("kubelet_node_name", "The node's name. The count is always 1."),
            ["node"],
        )
        .with([node])
        .set(1.0);
        let probes = Registry::bare();
        Self {
            probe_results: probes.counters(
                Desc::beta(
                    "prober_probe_total",
                    "Cumulative number of a liveness, readiness or startup probe for a container by result.",
                ),
                ["probe_type", "result", "container", "pod", "namespace", "pod_uid"],
            ),
            probe_times: probes.histograms(
                Desc::alpha(
                    "prober_probe_duration_seconds",
                    "Duration in seconds for a probe response.",
                ),
                ["probe_type", "container", "pod", "namespace"],
                &buckets::DEFAULT,
            ),
            probes,
            desired: main.gauges(
                Desc::alpha(
                    "kubelet_desired_pods",
                    "The number of pods the kubelet is being instructed to run. static is true if the pod is not from the apiserver.",
                ),
                ["static"],
            ),
            running_pods: main.gauge(Desc::alpha(
                "kubelet_running_pods",
                "Number of pods that have a running pod sandbox",
            )),
            running_containers: main.gauges(
                Desc::alpha("kubelet_running_containers", "Number of containers currently running"),
                ["container_state"],
            ),
            passes: main.histograms(
                Desc::alpha(
                    "kubelet_pod_worker_duration_seconds",
                    "Duration in seconds to sync a single pod. Broken down by operation type: create, update, or sync",
                ),
                ["operation_type"],
                &buckets::DEFAULT,
            ),
            worker_starts: main.histogram(
                Desc::alpha(
                    "kubelet_pod_worker_start_duration_seconds",
                    "Duration in seconds from kubelet seeing a pod to starting a worker.",
                ),
                &buckets::DEFAULT,
            ),
            starts: main.histogram(
                Desc::alpha(
                    "kubelet_pod_start_duration_seconds",
                    "Duration in seconds from kubelet seeing a pod for the first time to the pod starting to run",
                ),
                &START,
            ),
            containers_per_pod: main.histogram(
                Desc::alpha("kubelet_containers_per_pod_count", "The number of containers per pod."),
                &buckets::exponential(1.0, 2.0, 5),
            ),
            started_pods: main.counter(Desc::alpha(
                "kubelet_started_pods_total",
                "Cumulative number of pods started",
            )),
            failed_pods: main.counter(Desc::alpha(
                "kubelet_started_pods_errors_total",
                "Cumulative number of errors when starting pods",
            )),
            started_containers: main.counters(
                Desc::alpha(
                    "kubelet_started_containers_total",
                    "Cumulative number of containers started",
                ),
                ["container_type"],
            ),
            failed_containers: main.counters(
                Desc::alpha(
                    "kubelet_started_containers_errors_total",
                    "Cumulative number of errors when starting containers",
                ),
                ["container_type", "code"],
            ),
            rejections: main.counters(
                Desc::alpha(
                    "kubelet_admission_rejections_total",
                    "Cumulative number pod admission rejections by the Kubelet.",
                ),
                ["reason"],
            ),
            images: ImageVolumes {
                requested: main.counter(Desc::beta(
                    "kubelet_image_volume_requested_total",
                    "Number of requested image volumes.",
                )),
                mounted: main.counter(Desc::beta(
                    "kubelet_image_volume_mounted_succeed_total",
                    "Number of successful image volume mounts.",
                )),
                failed: main.counter(Desc::beta(
                    "kubelet_image_volume_mounted_errors_total",
                    "Number of failed image volume mounts.",
                )),
            },
            requests: Requests::new(&main),
            main,
        }
    }

    /// A container was started, or was not, with the reason that its status tells.
    pub(crate) fn started(&self, role: Role, failed: Option<&str>) {
        self.started_containers.with([word(role)]).inc();
        if let Some(reason) = failed {
            self.failed_containers.with([word(role), reason]).inc();
        }
    }

    /// Asks the runtime what there is, for a scrape.
    pub(crate) async fn look(&self, context: &Context) {
        self.desired.with([""]).set(context.pods.store().list().len() as f64);
        let ready = SandboxFilter { state: Some(SandboxState::Ready), ..SandboxFilter::default() };
        if let Ok(sandboxes) = context.runtime.list_pod_sandboxes(ready).await {
            self.running_pods.set(sandboxes.len() as f64);
        }
        if let Ok(all) = context.runtime.list_containers(ContainerFilter::default()).await {
            let mut counts = BTreeMap::from([("created", 0), ("exited", 0), ("running", 0)]);
            for container in all {
                let state = match container.state {
                    ContainerState::Created => "created",
                    ContainerState::Running => "running",
                    ContainerState::Exited => "exited",
                    _ => "unknown",
                };
                *counts.entry(state).or_default() += 1;
            }
            for (state, count) in counts {
                self.running_containers.with([state]).set(f64::from(count));
            }
        }
    }
}

impl Requests {
    fn new(main: &Registry) -> Self {
        let labels = ["method", "path", "server_type", "long_running"];
        Self {
            total: main.counters(
                Desc::alpha(
                    "kubelet_http_requests_total",
                    "Number of the http requests received since the server started",
                ),
                labels,
            ),
            times: main.histograms(
                Desc::alpha(
                    "kubelet_http_requests_duration_seconds",
                    "Duration in seconds to serve http requests",
                ),
                labels,
                &buckets::DEFAULT,
            ),
            in_flight: main.gauges(
                Desc::alpha(
                    "kubelet_http_inflight_requests",
                    "Number of the inflight http requests",
                ),
                labels,
            ),
        }
    }
}

/// Adds how long the certificate that the kubelet presents and acts with is valid.
pub(crate) fn certificate(main: &Registry, remaining: impl Fn() -> f64 + Send + Sync + 'static) {
    let remaining = std::sync::Arc::new(remaining);
    for desc in [
        Desc::alpha(
            "kubelet_certificate_manager_client_ttl_seconds",
            "Gauge of the TTL (time-to-live) of the Kubelet's client certificate. The value is in seconds until certificate expiry (negative if already expired). If client certificate is invalid or unused, the value will be +INF.",
        ),
        Desc::alpha(
            "kubelet_certificate_manager_server_ttl_seconds",
            "Gauge of the shortest TTL (time-to-live) of the Kubelet's serving certificate. The value is in seconds until certificate expiry (negative if already expired). If serving certificate is invalid or unused, the value will be +INF.",
        ),
    ] {
        let remaining = remaining.clone();
        main.collect(desc, Kind::Gauge, [], move |samples: &mut Samples<0>| {
            samples.add([], remaining());
        });
    }
}

#[cfg(test)]
mod tests {
    use telemetry::metrics::stable;

    use super::*;

    #[test]
    fn all_that_upstream_promises_is_there() {
        let main = Registry::bare();
        let metrics = Metrics::new(main.clone(), "n");
        assert_eq!(stable::differences(&main, &["kubelet"]), [""; 0]);
        assert_eq!(stable::differences(&metrics.probes, &["kubelet/probes"]), [""; 0]);
    }
}

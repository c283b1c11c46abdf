//! Metrics of the controllers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use client::InformerFactory;
use k8s_openapi::api::core::v1::Node;
use telemetry::metrics::{
    Counter, Desc, Family, Gauge, Histogram, Kind, Registry, Samples, buckets,
};

use crate::common::meta;

/// All metrics of controllers.
pub(crate) struct Metrics {
    pub(crate) registry: Registry,
    pub(crate) jobs: Jobs,
    /// Seconds from when a CronJob was due to when its Job was made.
    pub(crate) cron_skew: Histogram,
    /// Nodes whose pods were told to leave, by zone.
    pub(crate) evictions: Family<Counter, 1>,
    pub(crate) taint_deletions: Counter,
    pub(crate) taint_deletion_times: Histogram,
    /// Controllers that run.
    pub(crate) running: Family<Gauge, 2>,
}

/// Those of the Job controller.
pub(crate) struct Jobs {
    durations: Family<Histogram, 3>,
    syncs: Family<Counter, 3>,
    finished: Family<Counter, 3>,
    pods: Family<Counter, 2>,
}

impl Metrics {
    /// Those of a registry.
    pub(crate) fn of(registry: &Registry, informers: &InformerFactory) -> Arc<Self> {
        registry.shared(|registry| {
            zones(registry, informers);
            Self::new(registry)
        })
    }

    fn new(registry: &Registry) -> Self {
        Self {
            registry: registry.clone(),
            jobs: Jobs::new(registry),
            cron_skew: registry.histogram(
                Desc::stable(
                    "cronjob_controller_job_creation_skew_duration_seconds",
                    "Time between when a cronjob is scheduled to be run, and when the corresponding job is created",
                ),
                &buckets::exponential(1.0, 2.0, 10),
            ),
            evictions: registry.counters(
                Desc::stable(
                    "node_collector_evictions_total",
                    "Number of Node evictions that happened since current instance of NodeController started.",
                ),
                ["zone"],
            ),
            taint_deletions: registry.counter(Desc::alpha(
                "taint_eviction_controller_pod_deletions_total",
                "Total number of Pods deleted by TaintEvictionController since its start.",
            )),
            taint_deletion_times: registry.histogram(
                Desc::alpha(
                    "taint_eviction_controller_pod_deletion_duration_seconds",
                    "Latency, in seconds, between the time when a taint effect has been activated for the Pod and its deletion via TaintEvictionController.",
                ),
                &[0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 10.0, 30.0, 60.0, 120.0, 180.0, 240.0],
            ),
            running: registry.gauges(
                Desc::alpha(
                    "running_managed_controllers",
                    "Indicates where instances of a controller are currently running",
                ),
                ["manager", "name"],
            ),
        }
    }
}

/// Upstream's key of a node's zone.
pub(crate) fn zone(node: &Node) -> String {
    let label = |names: [&str; 2]| names.into_iter().find_map(|name| meta::label(node, name));
    let region =
        label(["failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region"]);
    let zone = label(["failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"]);
    match (region.unwrap_or_default(), zone.unwrap_or_default()) {
        ("", "") => String::new(),
        (region, zone) => format!("{region}:\0:{zone}"),
    }
}

fn is_ready(node: &Node) -> bool {
    let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// Nodes by zone: read when somebody asks.
fn zones(registry: &Registry, informers: &InformerFactory) {
    let nodes = informers.informer::<Node>().store().clone();
    let add = |desc: Desc, of: fn(f64, f64) -> f64| {
        let nodes = nodes.clone();
        registry.collect(desc, Kind::Gauge, ["zone"], move |samples: &mut Samples<1>| {
            let mut zones: BTreeMap<String, (f64, f64)> = BTreeMap::new();
            for node in nodes.list() {
                let (all, ready) = zones.entry(zone(&node)).or_default();
                *all += 1.0;
                *ready += f64::from(u8::from(is_ready(&node)));
            }
            for (zone, (all, ready)) in zones {
                samples.add([&zone], of(all, ready));
            }
        });
    };
    add(
        Desc::alpha(
            "node_collector_zone_health",
            "Gauge measuring percentage of healthy nodes per zone.",
        ),
        |all, ready| 100.0 * ready / all,
    );
    add(
        Desc::alpha(
            "node_collector_zone_size",
            "Gauge measuring number of registered Nodes per zones.",
        ),
        |all, _| all,
    );
    add(
        Desc::alpha(
            "node_collector_unhealthy_nodes_in_zone",
            "Gauge measuring number of not Ready Nodes per zones.",
        ),
        |all, ready| all - ready,
    );
}

/// Reasons of the end of a Job that this controller gives. Conditions are written by others too, and
/// their words are no labels.
const REASONS: [&str; 7] = [
    "BackoffLimitExceeded",
    "CompletionsReached",
    "DeadlineExceeded",
    "FailedIndexes",
    "MaxFailedIndexesExceeded",
    "PodFailurePolicy",
    "SuccessPolicy",
];

const fn mode(indexed: bool) -> &'static str {
    if indexed { "Indexed" } else { "NonIndexed" }
}

impl Jobs {
    fn new(registry: &Registry) -> Self {
        let sync = ["completion_mode", "result", "action"];
        Self {
            durations: registry.histograms(
                Desc::stable(
                    "job_controller_job_sync_duration_seconds",
                    "The time it took to sync a job",
                ),
                sync,
                &buckets::exponential(0.004, 2.0, 15),
            ),
            syncs: registry.counters(
                Desc::stable("job_controller_job_syncs_total", "The number of job syncs"),
                sync,
            ),
            finished: registry.counters(
                Desc::stable("job_controller_jobs_finished_total", "The number of finished jobs"),
                ["completion_mode", "result", "reason"],
            ),
            pods: registry.counters(
                Desc::stable(
                    "job_controller_job_pods_finished_total",
                    "The number of finished Pods that are fully tracked",
                ),
                ["completion_mode", "result"],
            ),
        }
    }

    /// A Job was looked at since `begun`, with `action` taken.
    pub(crate) fn synced(&self, indexed: bool, success: bool, action: &str, begun: Instant) {
        let values = [mode(indexed), if success { "success" } else { "error" }, action];
        self.durations.with(values).observe(begun.elapsed().as_secs_f64());
        self.syncs.with(values).inc();
    }

    /// A Job has ended.
    pub(crate) fn finished(&self, indexed: bool, succeeded: bool, reason: &str) {
        let reason = REASONS.into_iter().find(|known| *known == reason).unwrap_or_default();
        let result = if succeeded { "succeeded" } else { "failed" };
        self.finished.with([mode(indexed), result, reason]).inc();
    }

    /// So many pods more have ended and are counted for good.
    pub(crate) fn pods(&self, indexed: bool, succeeded: i32, failed: i32) {
        for (result, count) in [("succeeded", succeeded), ("failed", failed)] {
            // It is less than before when an Indexed Job wants fewer indexes than it has.
            let count = u64::try_from(count).unwrap_or(0);
            self.pods.with([mode(indexed), result]).inc_by(count);
        }
    }
}

#[cfg(test)]
mod tests {
    use telemetry::metrics::{Format, stable};

    use super::*;

    #[test]
    fn all_that_upstream_promises_is_there() {
        let registry = Registry::bare();
        Metrics::new(&registry);
        assert_eq!(stable::differences(&registry, &["controllers"]), [""; 0]);
    }

    #[test]
    fn a_made_up_reason_is_no_label() {
        let registry = Registry::bare();
        let metrics = Metrics::new(&registry);
        for i in 0..100 {
            metrics.jobs.finished(false, false, &format!("made-up-{i}"));
        }
        metrics.jobs.finished(true, true, "SuccessPolicy");
        let text = registry.encode(Format::Text);
        let finished: Vec<_> =
            text.lines().filter(|l| l.starts_with("job_controller_jobs_finished_total")).collect();
        let name = "job_controller_jobs_finished_total";
        let indexed = r#"completion_mode="Indexed",reason="SuccessPolicy",result="succeeded""#;
        let other = r#"completion_mode="NonIndexed",reason="",result="failed""#;
        assert_eq!(finished, [format!("{name}{{{indexed}}} 1"), format!("{name}{{{other}}} 100")]);
    }
}

//! The proxy's metrics.

use std::sync::Arc;
use std::time::Instant;

use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::jiff::Timestamp;
use telemetry::metrics::{Counter, Desc, Family, Gauge, Histogram, Registry, buckets};

/// When what a slice tells of has happened, by who wrote it.
const TRIGGERED: &str = "endpoints.kubernetes.io/last-change-trigger-time";
/// The one family of rules: what is of the other is in the same transaction.
const FAMILY: [&str; 1] = ["IPv4"];

/// All metrics of the proxy.
#[derive(Debug)]
pub(crate) struct Metrics {
    syncs: Histogram,
    full: Histogram,
    partial: Histogram,
    programming: Histogram,
    last: Gauge,
    queued: Gauge,
    failures: Counter,
    services: Counter,
    services_pending: Gauge,
    endpoints: Counter,
    endpoints_pending: Gauge,
    pub(crate) healthz: Family<Counter, 1>,
    pub(crate) livez: Family<Counter, 1>,
}

/// Seconds from a change in the cluster to the rules that follow from it.
fn programming() -> Vec<f64> {
    let mut bounds = vec![0.25, 0.5];
    bounds.extend(buckets::linear(1.0, 1.0, 59));
    bounds.extend(buckets::linear(60.0, 5.0, 12));
    bounds.extend(buckets::linear(120.0, 30.0, 7));
    bounds
}

impl Metrics {
    /// Those of a registry.
    pub(crate) fn of(registry: &Registry) -> Arc<Self> {
        registry.shared(Self::new)
    }

    fn new(registry: &Registry) -> Self {
        let family = ["ip_family"];
        let durations = buckets::exponential(0.001, 2.0, 15);
        let sync = |name, help| {
            registry.histograms(Desc::alpha(name, help), family, &durations).with(FAMILY)
        };
        let stamp = |name, help| registry.gauges(Desc::alpha(name, help), family).with(FAMILY);
        Self {
            syncs: sync(
                "kubeproxy_sync_proxy_rules_duration_seconds",
                "SyncProxyRules latency in seconds",
            ),
            full: sync(
                "kubeproxy_sync_full_proxy_rules_duration_seconds",
                "SyncProxyRules latency in seconds for full resyncs",
            ),
            partial: sync(
                "kubeproxy_sync_partial_proxy_rules_duration_seconds",
                "SyncProxyRules latency in seconds for partial resyncs",
            ),
            programming: registry
                .histograms(
                    Desc::alpha(
                        "kubeproxy_network_programming_duration_seconds",
                        "In Cluster Network Programming Latency in seconds",
                    ),
                    family,
                    &programming(),
                )
                .with(FAMILY),
            last: stamp(
                "kubeproxy_sync_proxy_rules_last_timestamp_seconds",
                "The last time proxy rules were successfully synced",
            ),
            queued: stamp(
                "kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds",
                "The last time a sync of proxy rules was queued",
            ),
            failures: registry
                .counters(
                    Desc::alpha(
                        "kubeproxy_sync_proxy_rules_nftables_sync_failures_total",
                        "Cumulative proxy nftables sync failures",
                    ),
                    family,
                )
                .with(FAMILY),
            services: registry.counter(Desc::alpha(
                "kubeproxy_sync_proxy_rules_service_changes_total",
                "Cumulative proxy rules Service changes",
            )),
            services_pending: registry.gauge(Desc::alpha(
                "kubeproxy_sync_proxy_rules_service_changes_pending",
                "Pending proxy rules Service changes",
            )),
            endpoints: registry.counter(Desc::alpha(
                "kubeproxy_sync_proxy_rules_endpoint_changes_total",
                "Cumulative proxy rules Endpoint changes",
            )),
            endpoints_pending: registry.gauge(Desc::alpha(
                "kubeproxy_sync_proxy_rules_endpoint_changes_pending",
                "Pending proxy rules Endpoint changes",
            )),
            healthz: registry.counters(
                Desc::alpha(
                    "kubeproxy_proxy_healthz_total",
                    "Cumulative proxy healthz HTTP status",
                ),
                ["code"],
            ),
            livez: registry.counters(
                Desc::alpha("kubeproxy_proxy_livez_total", "Cumulative proxy livez HTTP status"),
                ["code"],
            ),
        }
    }

    /// A service has changed.
    pub(crate) fn service(&self) {
        self.services.inc();
        self.services_pending.inc();
        self.queued.set(now());
    }

    /// The endpoints of a service have changed.
    pub(crate) fn endpoints(&self) {
        self.endpoints.inc();
        self.endpoints_pending.inc();
        self.queued.set(now());
    }

    /// Rules were written since `begun`, all of them or those that have changed, for changes of
    /// these times.
    pub(crate) fn synced(&self, begun: Instant, whole: bool, done: bool, triggers: &[Timestamp]) {
        let took = begun.elapsed().as_secs_f64();
        self.syncs.observe(took);
        if whole { &self.full } else { &self.partial }.observe(took);
        if !done {
            self.failures.inc();
            return;
        }
        self.last.set(now());
        let present = Timestamp::now();
        for trigger in triggers {
            let seconds = present.duration_since(*trigger).as_secs_f64();
            self.programming.observe(seconds.max(0.0));
        }
    }

    /// Nothing waits any more.
    pub(crate) fn settled(&self) {
        self.services_pending.set(0.0);
        self.endpoints_pending.set(0.0);
    }
}

fn now() -> f64 {
    Timestamp::now().as_millisecond() as f64 / 1e3
}

/// When what a slice tells of has happened, if it says.
pub(crate) fn trigger(slice: &EndpointSlice) -> Option<Timestamp> {
    slice.metadata.annotations.as_ref()?.get(TRIGGERED)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use telemetry::metrics::Format;

    use super::*;

    #[test]
    fn programming_has_upstreams_bounds() {
        let bounds = programming();
        assert_eq!((bounds.len(), bounds[2], bounds[60], bounds[61]), (80, 1.0, 59.0, 60.0));
        assert_eq!(bounds.last(), Some(&300.0));
    }

    #[test]
    fn changes_and_syncs_are_told() {
        let registry = Registry::bare();
        let metrics = Metrics::of(&registry);
        metrics.service();
        metrics.endpoints();
        let long_ago = Timestamp::now().as_second() - 3;
        let trigger = Timestamp::from_second(long_ago).unwrap();
        metrics.synced(Instant::now(), false, true, &[trigger]);
        metrics.synced(Instant::now(), true, false, &[]);
        let text = registry.encode(Format::Text);
        for line in [
            "kubeproxy_sync_proxy_rules_service_changes_pending 1",
            "kubeproxy_sync_proxy_rules_duration_seconds_count{ip_family=\"IPv4\"} 2",
            "kubeproxy_sync_full_proxy_rules_duration_seconds_count{ip_family=\"IPv4\"} 1",
            "kubeproxy_sync_proxy_rules_nftables_sync_failures_total{ip_family=\"IPv4\"} 1",
            "kubeproxy_network_programming_duration_seconds_bucket{ip_family=\"IPv4\",le=\"2\"} 0",
            "kubeproxy_network_programming_duration_seconds_bucket{ip_family=\"IPv4\",le=\"5\"} 1",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
        metrics.settled();
        let text = registry.encode(Format::Text);
        assert!(text.contains("kubeproxy_sync_proxy_rules_endpoint_changes_pending 0\n"), "{text}");
    }
}

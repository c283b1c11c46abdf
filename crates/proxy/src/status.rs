//! The health of the proxy, for load balancers in front of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Node;
use k8s_openapi::jiff::Timestamp;
use parking_lot::Mutex;
use telemetry::metrics::Registry;

use crate::metrics::Metrics;

/// Rules that wait for longer are not going to be written (upstream: twice the sync period).
const PATIENCE: Duration = Duration::from_secs(60);
/// A node that is about to be taken away.
const LEAVING: &str = "ToBeDeletedByClusterAutoscaler";

/// The state behind `/healthz` and `/livez`. Clones share it.
#[derive(Clone, Debug)]
pub struct Health(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    metrics: Arc<Metrics>,
}

#[derive(Debug)]
struct State {
    /// When rules were last up to date.
    updated: Option<Timestamp>,
    /// Since when changes wait.
    waiting: Option<Instant>,
    eligible: bool,
}

/// An answer to a check.
#[derive(Debug, PartialEq, Eq)]
pub struct Report {
    /// True if the check passed.
    pub healthy: bool,
    /// Upstream's JSON.
    pub body: String,
}

impl Health {
    /// The health of a proxy that has not written any rules yet; checks are counted in `metrics`.
    pub fn new(metrics: &Registry) -> Self {
        let state = State { updated: None, waiting: Some(Instant::now()), eligible: true };
        Self(Arc::new(Inner { state: Mutex::new(state), metrics: Metrics::of(metrics) }))
    }

    pub(crate) fn queued(&self) {
        self.0.state.lock().waiting.get_or_insert_with(Instant::now);
    }

    pub(crate) fn synced(&self) {
        let mut state = self.0.state.lock();
        state.updated = Some(Timestamp::now());
        state.waiting = None;
    }

    pub(crate) fn has_synced(&self) -> bool {
        self.0.state.lock().updated.is_some()
    }

    pub(crate) fn node(&self, node: Option<&Node>) {
        let leaves = |node: &Node| {
            let taints = node.spec.iter().flat_map(|spec| spec.taints.iter().flatten());
            node.metadata.deletion_timestamp.is_some()
                || taints.into_iter().any(|taint| taint.key == LEAVING)
        };
        self.0.state.lock().eligible = !node.is_some_and(leaves);
    }

    /// `/healthz`: whether traffic may come here.
    pub fn healthz(&self) -> Report {
        let (live, eligible, body) = self.look(true);
        self.tell(live && eligible, body, &self.0.metrics.healthz)
    }

    /// `/livez`: whether the proxy does its work.
    pub fn livez(&self) -> Report {
        let (live, _, body) = self.look(false);
        self.tell(live, body, &self.0.metrics.livez)
    }

    fn tell(
        &self,
        healthy: bool,
        body: String,
        counts: &telemetry::metrics::Family<telemetry::metrics::Counter, 1>,
    ) -> Report {
        counts.with([if healthy { "200" } else { "503" }]).inc();
        Report { healthy, body }
    }

    fn look(&self, node: bool) -> (bool, bool, String) {
        let state = self.0.state.lock();
        let live =
            state.waiting.is_none_or(|since| since.elapsed() < PATIENCE) && state.updated.is_some();
        let now = Timestamp::now();
        // Without waiting changes, the rules are up to date as of now.
        let updated = if state.waiting.is_none() { Some(now) } else { state.updated };
        let updated = updated.map(|at| at.to_string()).unwrap_or_default();
        let eligible = match node {
            true => format!(", \"nodeEligible\": {}", state.eligible),
            false => String::new(),
        };
        let body =
            format!("{{\"lastUpdated\": \"{updated}\",\"currentTime\": \"{now}\"{eligible}}}");
        (live, state.eligible, body)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use telemetry::metrics::Format;

    use super::*;

    #[test]
    fn a_proxy_is_healthy_once_it_has_written_its_rules_and_while_its_node_stays() {
        let registry = Registry::bare();
        let health = Health::new(&registry);
        assert!(!health.healthz().healthy && !health.livez().healthy, "nothing is written yet");
        health.synced();
        let report = health.healthz();
        assert!(report.healthy && report.body.contains("\"nodeEligible\": true"), "{report:?}");
        let parsed: serde_json::Value = serde_json::from_str(&report.body).unwrap();
        assert_eq!(parsed["lastUpdated"], parsed["currentTime"]);
        let node: Node = serde_json::from_value(json!({"metadata": {"name": "n"}, "spec": {
            "taints": [{"key": LEAVING, "effect": "NoSchedule"}]}}))
        .unwrap();
        health.node(Some(&node));
        assert!(!health.healthz().healthy && health.livez().healthy);
        health.queued();
        assert!(health.livez().healthy, "it has not waited for long");
        let text = registry.encode(Format::Text);
        for line in [
            "kubeproxy_proxy_healthz_total{code=\"200\"} 1",
            "kubeproxy_proxy_healthz_total{code=\"503\"} 2",
            "kubeproxy_proxy_livez_total{code=\"200\"} 2",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
    }
}

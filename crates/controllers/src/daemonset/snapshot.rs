//! The state that one reconciliation of a DaemonSet works on.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::{DaemonSet, DaemonSetStatus, RollingUpdateDaemonSet};
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use k8s_openapi::jiff::Timestamp;

use super::template::{self, Wants};
use crate::common::{meta, pod};

/// The nodes, what is wanted of them, and the pods that are there.
pub(super) struct Snapshot {
    pub(super) set: Arc<DaemonSet>,
    pub(super) hash: String,
    pub(super) nodes: BTreeMap<String, Wants>,
    /// By node, the longest there first.
    pub(super) pods: BTreeMap<String, Vec<Arc<Pod>>>,
    pub(super) now: Timestamp,
}

/// The pods to create and delete.
#[derive(Default)]
pub(super) struct Plan {
    /// Nodes that get a pod.
    pub(super) create: Vec<String>,
    pub(super) delete: Vec<Arc<Pod>>,
}

impl Plan {
    pub(super) fn is_empty(&self) -> bool {
        self.create.is_empty() && self.delete.is_empty()
    }
}

impl Snapshot {
    pub(super) fn new(
        set: Arc<DaemonSet>,
        hash: String,
        nodes: &[Arc<Node>],
        pods: Vec<Arc<Pod>>,
        now: Timestamp,
    ) -> Self {
        let spec = template::spec(&set);
        let wants =
            |node: &Arc<Node>| (meta::name(&**node).to_owned(), template::wants(&spec, node));
        let mut by_node: BTreeMap<String, Vec<Arc<Pod>>> = BTreeMap::new();
        for member in pods {
            // Nothing is left to do about what has ended and is being deleted.
            if pod::is_terminal(&member) && meta::deleting(&*member) {
                continue;
            }
            if let Some(node) = template::target(&member) {
                by_node.entry(node.to_owned()).or_default().push(member.clone());
            }
        }
        for pods in by_node.values_mut() {
            pods.sort_by_key(|member| {
                let name = meta::name(&**member).to_owned();
                (pod::node(member).is_none(), meta::created(&**member), name)
            });
        }
        Self { set, hash, nodes: nodes.iter().map(wants).collect(), pods: by_node, now }
    }

    pub(super) fn on(&self, node: &str) -> &[Arc<Pod>] {
        self.pods.get(node).map(Vec::as_slice).unwrap_or_default()
    }

    pub(super) fn wants(&self, node: &str) -> Wants {
        self.nodes.get(node).copied().unwrap_or(Wants::Nothing)
    }

    pub(super) fn is_updated(&self, pod: &Pod) -> bool {
        template::is_updated(&self.hash, pod)
    }

    fn min_ready(&self) -> i32 {
        self.set.spec.min_ready_seconds.unwrap_or(0)
    }

    pub(super) fn is_available(&self, pod: &Pod) -> bool {
        pod::is_available(pod, self.min_ready(), self.now)
    }

    /// When the next pod becomes available, if it stays ready.
    pub(super) fn next_available(&self) -> Option<std::time::Duration> {
        let all = self.pods.values().flatten();
        let waits = all.filter_map(|p| match pod::availability(p, self.min_ready(), self.now) {
            pod::Availability::In(wait) => Some(wait),
            _ => None,
        });
        waits.min()
    }

    /// Nodes that want a pod.
    pub(super) fn desired(&self) -> i32 {
        let wanted = self.nodes.values().filter(|wants| **wants == Wants::Run).count();
        i32::try_from(wanted).unwrap_or(i32::MAX)
    }

    /// The strategy of an update that rolls; `None` where pods wait to be deleted by hand.
    pub(super) fn rolling(&self) -> Option<RollingUpdateDaemonSet> {
        let strategy = self.set.spec.update_strategy.as_ref();
        match strategy.and_then(|strategy| strategy.type_.as_deref()) {
            Some("OnDelete") => None,
            _ => Some(strategy.and_then(|s| s.rolling_update.clone()).unwrap_or_default()),
        }
    }

    /// How many nodes of `desired` may have a second pod for a time.
    pub(super) fn max_surge(&self, desired: i32) -> i32 {
        let surge = self.rolling().and_then(|rolling| rolling.max_surge);
        surge.map_or(0, |surge| meta::scaled(&surge, desired, true))
    }

    /// How many nodes of `desired` may be without an available pod; at least one if no node may
    /// have a second.
    pub(super) fn max_unavailable(&self, desired: i32) -> i32 {
        let Some(rolling) = self.rolling() else { return 0 };
        let most = rolling.max_unavailable.unwrap_or(IntOrString::Int(1));
        let most = meta::scaled(&most, desired, true);
        if most == 0 && self.max_surge(desired) == 0 { 1 } else { most }
    }

    /// The new status.
    pub(super) fn status(&self) -> DaemonSetStatus {
        let mut status = self.set.status.clone().unwrap_or_default();
        let (mut current, mut misscheduled, mut ready, mut updated, mut available) =
            (0, 0, 0, 0, 0);
        for (node, wants) in &self.nodes {
            let Some(oldest) = self.on(node).first() else { continue };
            if *wants != Wants::Run {
                misscheduled += 1;
                continue;
            }
            current += 1;
            ready += i32::from(pod::is_ready(oldest));
            available += i32::from(self.is_available(oldest));
            updated += i32::from(self.is_updated(oldest));
        }
        status.desired_number_scheduled = self.desired();
        status.current_number_scheduled = current;
        status.number_misscheduled = misscheduled;
        status.number_ready = ready;
        status.updated_number_scheduled = Some(updated);
        status.number_available = Some(available);
        status.number_unavailable = Some(self.desired() - available);
        status
    }
}

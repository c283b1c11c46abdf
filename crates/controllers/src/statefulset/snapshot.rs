//! The state that one reconciliation of a StatefulSet works on.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::{
    RollingUpdateStatefulSetStrategy, StatefulSet, StatefulSetSpec, StatefulSetStatus,
};
use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use k8s_openapi::jiff::Timestamp;

use super::identity;
use crate::common::{meta, pod};

/// A template and the name of its revision.
pub(super) struct Version {
    pub(super) name: String,
    pub(super) template: PodTemplateSpec,
}

/// One ordinal that is to be.
pub(super) enum Replica {
    Present(Arc<Pod>),
    /// With the pod to be made.
    Missing(Box<Pod>),
}

impl Replica {
    pub(super) fn present(&self) -> Option<&Arc<Pod>> {
        match self {
            Self::Present(pod) => Some(pod),
            Self::Missing(_) => None,
        }
    }
}

pub(super) struct Snapshot {
    pub(super) set: Arc<StatefulSet>,
    pub(super) spec: StatefulSetSpec,
    current: String,
    pub(super) update: String,
    /// By ordinal.
    pub(super) replicas: Vec<Replica>,
    /// Pods beyond the wanted ordinals, the highest first.
    pub(super) condemned: Vec<Arc<Pod>>,
    now: Timestamp,
}

/// The strategy of an update that rolls; `None` where pods wait to be deleted by hand.
fn rolling(spec: &StatefulSetSpec) -> Option<Option<&RollingUpdateStatefulSetStrategy>> {
    let strategy = spec.update_strategy.as_ref();
    match strategy.and_then(|strategy| strategy.type_.as_deref()) {
        Some("OnDelete") => None,
        _ => Some(strategy.and_then(|strategy| strategy.rolling_update.as_ref())),
    }
}

impl Snapshot {
    pub(super) fn new(
        set: Arc<StatefulSet>,
        current: &Version,
        update: &Version,
        pods: Vec<Arc<Pod>>,
        now: Timestamp,
    ) -> Self {
        let spec = set.spec.clone();
        let range = identity::ordinals(&set);
        let (mut wanted, mut condemned): (Vec<_>, Vec<_>) = pods
            .into_iter()
            .filter_map(|pod| Some((identity::ordinal(&pod)?, pod)))
            .partition(|(ordinal, _)| range.contains(ordinal));
        condemned.sort_by_key(|(ordinal, _)| std::cmp::Reverse(*ordinal));
        wanted.sort_by_key(|(ordinal, _)| *ordinal);
        let mut wanted = wanted.into_iter().peekable();
        // Below this ordinal pods are still of the current revision.
        let old = match rolling(&spec) {
            Some(Some(strategy)) => strategy.partition.unwrap_or(0),
            Some(None) => set.status.as_ref().and_then(|s| s.current_replicas).unwrap_or(0),
            None => 0,
        };
        let boundary = range.start.saturating_add(old);
        let replicas = range
            .map(|ordinal| match wanted.next_if(|(found, _)| *found == ordinal) {
                Some((_, pod)) => Replica::Present(pod),
                None => {
                    let version = if ordinal < boundary { current } else { update };
                    let pod = identity::pod_for(&set, &version.template, &version.name, ordinal);
                    Replica::Missing(Box::new(pod))
                }
            })
            .collect();
        let condemned = condemned.into_iter().map(|(_, pod)| pod).collect();
        let (current, update) = (current.name.clone(), update.name.clone());
        Self { set, spec, current, update, replicas, condemned, now }
    }

    /// The revision that pods come from.
    pub(super) fn current(&self) -> &str {
        &self.current
    }

    /// Returns true if pods come and go in order, one after the other.
    pub(super) fn ordered(&self) -> bool {
        self.spec.pod_management_policy.as_deref() != Some("Parallel")
    }

    /// How many replicas, from the first, an update leaves alone, and how many may be unavailable
    /// meanwhile; `None` if pods are replaced when somebody deletes them.
    pub(super) fn rolling(&self) -> Option<(usize, usize)> {
        let strategy = rolling(&self.spec)?;
        let partition = strategy.and_then(|strategy| strategy.partition).unwrap_or(0);
        let most = strategy.and_then(|strategy| strategy.max_unavailable.as_ref());
        let count = i32::try_from(self.replicas.len()).unwrap_or(i32::MAX);
        let most = most.map_or(1, |most| meta::scaled(most, count, false)).max(1);
        Some((usize::try_from(partition).unwrap_or(0), usize::try_from(most).unwrap_or(1)))
    }

    fn min_ready(&self) -> i32 {
        self.spec.min_ready_seconds.unwrap_or(0)
    }

    pub(super) fn is_available(&self, pod: &Pod) -> bool {
        pod::is_available(pod, self.min_ready(), self.now)
    }

    /// When the next pod becomes available, if it stays ready.
    pub(super) fn next_available(&self) -> Option<std::time::Duration> {
        let waits =
            self.pods().filter_map(|p| match pod::availability(p, self.min_ready(), self.now) {
                pod::Availability::In(wait) => Some(wait),
                _ => None,
            });
        waits.min()
    }

    /// Every pod there is.
    pub(super) fn pods(&self) -> impl Iterator<Item = &Arc<Pod>> {
        self.replicas.iter().filter_map(Replica::present).chain(&self.condemned)
    }

    /// The new status; `updating` current pods have just been deleted for an update.
    pub(super) fn status(&self, collisions: Option<i32>, updating: i32) -> StatefulSetStatus {
        let count = |holds: &dyn Fn(&Pod) -> bool| {
            i32::try_from(self.pods().filter(|pod| holds(pod)).count()).unwrap_or(i32::MAX)
        };
        let of = |revision: &str| {
            count(&|pod| identity::revision(pod) == revision && !meta::deleting(pod))
        };
        let ready = |pod: &Pod| pod::phase(pod) == "Running" && pod::is_ready(pod);
        let mut status = StatefulSetStatus {
            observed_generation: self.set.metadata.generation,
            replicas: count(&|_| true),
            ready_replicas: Some(count(&ready)),
            available_replicas: Some(count(&|pod| ready(pod) && self.is_available(pod))),
            current_replicas: Some(of(&self.current) - updating),
            updated_replicas: Some(of(&self.update)),
            current_revision: Some(self.current.clone()),
            update_revision: Some(self.update.clone()),
            collision_count: Some(collisions.unwrap_or(0)),
            conditions: self.set.status.as_ref().and_then(|status| status.conditions.clone()),
        };
        let wanted = i32::try_from(self.replicas.len()).unwrap_or(i32::MAX);
        let complete = self.rolling().is_some()
            && status.replicas == wanted
            && status.updated_replicas == Some(wanted)
            && status.ready_replicas == Some(wanted);
        if complete {
            status.current_replicas = status.updated_replicas;
            status.current_revision.clone_from(&status.update_revision);
        }
        status
    }
}

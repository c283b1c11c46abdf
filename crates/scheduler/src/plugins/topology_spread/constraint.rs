//! One constraint: which pods it counts, and on which nodes.

use k8s_openapi::api::core::v1::TopologySpreadConstraint;

use crate::cache::NodeInfo;
use crate::framework::Cycle;
use crate::plugins::{node_affinity, taint_toleration};
use crate::pod::PodInfo;
use rules::selector::{Labels, Selector};

/// A constraint, read once.
#[derive(Clone)]
pub(super) struct Constraint<'a> {
    pub(super) key: &'a str,
    pub(super) max_skew: i64,
    pub(super) min_domains: usize,
    pub(super) selector: Selector,
    honour_affinity: bool,
    honour_taints: bool,
}

impl<'a> Constraint<'a> {
    /// A constraint as the cluster gives it to pods without.
    pub(super) fn default(key: &'static str, max_skew: i64, selector: Selector) -> Self {
        let (honour_affinity, honour_taints) = (true, false);
        Self { key, max_skew, min_domains: 1, selector, honour_affinity, honour_taints }
    }

    fn new(given: &'a TopologySpreadConstraint) -> Self {
        let honour = |policy: &Option<String>, default: bool| {
            policy.as_deref().map_or(default, |policy| policy == "Honor")
        };
        Self {
            key: &given.topology_key,
            max_skew: given.max_skew.into(),
            min_domains: given.min_domains.and_then(|n| n.try_into().ok()).unwrap_or(1),
            // The API has merged `matchLabelKeys` into it.
            selector: Selector::new(given.label_selector.as_ref()),
            honour_affinity: honour(&given.node_affinity_policy, true),
            honour_taints: honour(&given.node_taints_policy, false),
        }
    }

    /// Returns true if a node's pods count.
    pub(super) fn counts_on(&self, pod: &PodInfo, node: &NodeInfo) -> bool {
        (!self.honour_affinity || node_affinity::attracted(pod, node))
            && (!self.honour_taints || taint_toleration::in_the_way(pod, node).is_none())
    }

    /// Returns true if a pod of the namespace counts. An empty selector counts none, as upstream.
    pub(super) fn counts(&self, labels: Option<&Labels>) -> bool {
        !self.selector.is_everything() && self.selector.matches_labels(labels)
    }
}

/// Constraints in the pod's order.
pub(super) struct Constraints<'a>(pub(super) Vec<Constraint<'a>>);

/// A pod's own constraints of which `action` is taken when they cannot be met.
pub(super) fn of_pod<'a>(pod: &'a PodInfo, action: &str) -> Constraints<'a> {
    let given = pod.spec().into_iter().flat_map(|s| s.topology_spread_constraints.iter().flatten());
    let given = given.filter(|constraint| constraint.when_unsatisfiable == action);
    Constraints(given.map(Constraint::new).collect())
}

/// The groups of pods that a constraint counts.
pub(super) struct Matching(Option<Vec<Option<()>>>);

impl Matching {
    /// How many counted pods a node has.
    pub(super) fn pods_on(&self, node: &NodeInfo) -> i64 {
        let Some(table) = &self.0 else { return 0 };
        let counted = node.groups.iter().filter(|g| matches!(table.get(g.group), Some(Some(()))));
        counted.map(|group| group.staying).sum()
    }
}

impl Constraints<'_> {
    /// For each constraint, which pods it counts.
    pub(super) fn matching(&self, cycle: &Cycle<'_>) -> Vec<Matching> {
        let groups = &cycle.cluster.cache.groups;
        let namespace = &cycle.pod.key.namespace;
        let table = |constraint: &Constraint<'_>| {
            let here = groups.all().filter(|(_, pod)| pod.key.namespace == *namespace);
            Matching(groups.table(here, |pod| constraint.counts(pod.labels()).then_some(())))
        };
        self.0.iter().map(table).collect()
    }
}

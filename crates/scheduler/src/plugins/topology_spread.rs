//! PodTopologySpread: pods that are alike are spread evenly over zones, hosts or other domains.

use std::collections::{BTreeMap, HashMap};

use k8s_openapi::api::core::v1::Pod;

use crate::cache::NodeInfo;
use crate::change::Change;
use crate::framework::{Cycle, Plugin, Rejection, Score};
use crate::pod::PodInfo;
use constraint::{Constraint, Constraints, of_pod};

mod constraint;
mod defaults;
mod score;
#[cfg(test)]
mod tests;

pub(super) const PLUGIN: Plugin = Plugin {
    prefilter: Some(prefilter),
    filter: Some(filter),
    update: Some(update),
    score: Some(Score { weight: 2, of: score::score }),
    helps,
    ..Plugin::named("PodTopologySpread")
};

const MISMATCH: &str = "node(s) didn't match pod topology spread constraints";
const UNLABELLED: &str =
    "node(s) didn't match pod topology spread constraints (missing required label)";

/// How many matching pods each domain of one constraint has.
#[derive(Clone)]
pub(crate) struct Domains<'a> {
    constraint: Constraint<'a>,
    counts: HashMap<&'a str, i64>,
    /// How many domains have a count, so that the least is known at once, whatever changes.
    tally: BTreeMap<i64, usize>,
}

impl<'a> Domains<'a> {
    fn new(constraint: Constraint<'a>) -> Self {
        Self { constraint, counts: HashMap::new(), tally: BTreeMap::new() }
    }

    fn add(&mut self, domain: &'a str, pods: i64) {
        let known = self.counts.get(domain).copied();
        if let Some(old) = known
            && let Some(domains) = self.tally.get_mut(&old)
        {
            *domains -= 1;
            if *domains == 0 {
                self.tally.remove(&old);
            }
        }
        let new = known.unwrap_or(0) + pods;
        self.counts.insert(domain, new);
        *self.tally.entry(new).or_default() += 1;
    }

    /// The least pods in any domain; too few domains count as if one more were empty.
    fn least(&self) -> i64 {
        if self.counts.len() < self.constraint.min_domains {
            return 0;
        }
        self.tally.keys().next().copied().unwrap_or(i64::from(i32::MAX))
    }
}

fn prefilter(cycle: &mut Cycle<'_>) -> Result<(), Rejection> {
    let constraints = of_pod(cycle.pod, "DoNotSchedule");
    if constraints.0.is_empty() {
        return Ok(());
    }
    let cache = &cycle.cluster.cache;
    let matching = constraints.matching(cycle);
    let mut domains: Vec<Domains<'_>> = constraints.0.into_iter().map(Domains::new).collect();
    for node in cache.nodes() {
        if !domains.iter().all(|d| node.label(d.constraint.key).is_some()) {
            continue;
        }
        for (domains, matching) in domains.iter_mut().zip(&matching) {
            if let Some(domain) = node.label(domains.constraint.key)
                && domains.constraint.counts_on(cycle.pod, node)
            {
                domains.add(domain, matching.pods_on(node));
            }
        }
    }
    cycle.state.spread = domains;
    Ok(())
}

fn update<'a>(cycle: &mut Cycle<'a>, other: &'a PodInfo, node: &'a NodeInfo, change: i64) {
    let domains = &mut cycle.state.spread;
    let labelled = domains.iter().all(|d| node.label(d.constraint.key).is_some());
    // Pods on their way out are not counted to begin with.
    if !labelled || other.key.namespace != cycle.pod.key.namespace || other.is_terminating() {
        return;
    }
    for domains in domains {
        if let Some(domain) = node.label(domains.constraint.key)
            && domains.constraint.counts(other.labels())
            && domains.constraint.counts_on(cycle.pod, node)
        {
            domains.add(domain, change);
        }
    }
}

fn filter(cycle: &Cycle<'_>, node: &NodeInfo) -> Result<(), Rejection> {
    for domains in &cycle.state.spread {
        let constraint = &domains.constraint;
        let Some(domain) = node.label(constraint.key) else {
            return Err(Rejection::unresolvable(UNLABELLED));
        };
        let own = i64::from(constraint.selector.matches_labels(cycle.pod.labels()));
        let there = domains.counts.get(domain).copied().unwrap_or(0);
        if there + own - domains.least() > constraint.max_skew {
            return Err(Rejection::resolvable(MISMATCH));
        }
    }
    Ok(())
}

fn helps(pod: &PodInfo, change: &Change) -> bool {
    if let Change::Node(event) = change {
        let gone = matches!(event, client::Event::Deleted(_));
        return gone || change.node_with_new_labels() || change.node_with_new_taints();
    }
    let Constraints(constraints) = of_pod(pod, "DoNotSchedule");
    let counts = |other: &Pod| {
        other.metadata.namespace.as_ref() == Some(&pod.key.namespace)
            && constraints.iter().any(|c| c.selector.matches_labels(other.metadata.labels.as_ref()))
    };
    match change.changed_pod() {
        Some((old, new)) => counts(old) != counts(new),
        None => change.arrived_pod().or(change.departed_pod()).is_some_and(counts),
    }
}

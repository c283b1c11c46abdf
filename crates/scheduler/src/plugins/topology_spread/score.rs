//! Nodes in domains with fewer matching pods are better.

use std::collections::HashMap;

use super::constraint::{Constraints, Matching, of_pod};
use super::defaults;
use crate::cache::NodeInfo;
use crate::framework::{Cycle, MAX_SCORE};

const HOSTNAME: &str = "kubernetes.io/hostname";

pub(super) fn score(cycle: &Cycle<'_>, nodes: &[&NodeInfo]) -> Option<Vec<i64>> {
    let spec = cycle.pod.spec()?;
    let own = spec.topology_spread_constraints.as_ref().is_some_and(|list| !list.is_empty());
    let constraints = if own {
        of_pod(cycle.pod, "ScheduleAnyway")
    } else {
        defaults::constraints(cycle.pod, cycle.cluster)
    };
    if constraints.0.is_empty() {
        return None;
    }
    // Defaults are for everybody: nodes without zones still spread by host.
    let scored = |node: &NodeInfo| {
        !own || constraints.0.iter().all(|constraint| node.label(constraint.key).is_some())
    };
    let matching = constraints.matching(cycle);
    let totals = totals(cycle, &constraints, &matching, nodes, scored);
    let hosts = nodes.iter().filter(|node| scored(node)).count();
    let raw = |node: &&NodeInfo| -> Option<i64> {
        if !scored(node) {
            return None;
        }
        let mut sum = 0.0;
        for ((constraint, matching), totals) in constraints.0.iter().zip(&matching).zip(&totals) {
            let Some(domain) = node.label(constraint.key) else { continue };
            let by_host = constraint.key == HOSTNAME;
            let pods =
                if by_host { matching.pods_on(node) } else { *totals.get(domain).unwrap_or(&0) };
            let domains = if by_host { hosts } else { totals.len() };
            // The more domains there are, the fewer pods are in each: what counts is relative. A
            // skew that is allowed waters the difference down.
            sum += pods as f64 * ((domains + 2) as f64).ln() + (constraint.max_skew - 1) as f64;
        }
        Some(sum.round() as i64)
    };
    let raw: Vec<Option<i64>> = nodes.iter().map(raw).collect();
    let max = raw.iter().flatten().max().copied().unwrap_or(0);
    let min = raw.iter().flatten().min().copied().unwrap_or(0);
    let normal = |score: &Option<i64>| match score {
        None => 0,
        Some(_) if max == 0 => MAX_SCORE,
        Some(score) => MAX_SCORE * (max + min - score) / max,
    };
    Some(raw.iter().map(normal).collect())
}

/// For each constraint the matching pods by domain, of the domains that candidates are in. Hosts are
/// counted when they are scored.
fn totals<'n>(
    cycle: &Cycle<'n>,
    constraints: &Constraints<'_>,
    matching: &[Matching],
    nodes: &[&'n NodeInfo],
    scored: impl Fn(&NodeInfo) -> bool,
) -> Vec<HashMap<&'n str, i64>> {
    let mut totals = Vec::new();
    for (constraint, matching) in constraints.0.iter().zip(matching) {
        if constraint.key == HOSTNAME {
            totals.push(HashMap::new());
            continue;
        }
        let candidates = nodes.iter().filter(|node| scored(node));
        let mut pods: HashMap<&str, i64> =
            candidates.map(|node| (node.label(constraint.key).unwrap_or_default(), 0)).collect();
        for node in cycle.cluster.cache.nodes() {
            let domain = node.label(constraint.key).unwrap_or_default();
            if let Some(sum) = pods.get_mut(domain)
                && scored(node)
                && constraint.counts_on(cycle.pod, node)
            {
                *sum += matching.pods_on(node);
            }
        }
        totals.push(pods);
    }
    totals
}

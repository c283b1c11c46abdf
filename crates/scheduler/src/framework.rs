//! The scheduling cycle: filter the nodes, score what remains, take the best.

use std::collections::BTreeMap;

use rand::Rng;

use crate::cache::{Cache, NodeInfo};
use crate::plugins::PLUGINS;
use crate::pod::PodInfo;

/// The best score of a plugin for a node.
pub(crate) const MAX_SCORE: i64 = 100;

/// Why a node does not take a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rejection {
    reasons: Vec<String>,
    /// Whether removing pods from the node might help.
    resolvable: bool,
}

impl Rejection {
    /// Other pods are in the way.
    pub(crate) fn resolvable(reasons: Vec<String>) -> Self {
        Self { reasons, resolvable: true }
    }

    /// Nothing that happens to the node's pods helps.
    pub(crate) fn unresolvable(reasons: Vec<String>) -> Self {
        Self { reasons, resolvable: false }
    }
}

/// Says whether a node takes the cycle's pod.
pub(crate) type Filter = fn(&Cycle<'_>, &NodeInfo) -> Result<(), Rejection>;

/// One plugin. Filters run in the table's order until one rejects; scores are weighted and added.
pub(crate) struct Plugin {
    /// Upstream's name of it.
    pub(crate) name: &'static str,
    pub(crate) filter: Option<Filter>,
    pub(crate) score: Option<Score>,
}

/// How a plugin ranks nodes.
pub(crate) struct Score {
    pub(crate) weight: i64,
    pub(crate) of: fn(&Cycle<'_>, &NodeInfo) -> i64,
    pub(crate) normalize: Normalize,
}

/// How raw scores become 0 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Normalize {
    /// They are already.
    Already,
    /// The largest becomes 100.
    Max,
    /// The largest becomes 0: the raw score counts what speaks against a node.
    Reverse,
}

/// What the plugins may look at.
pub(crate) struct Cycle<'a> {
    pub(crate) pod: &'a PodInfo,
    pub(crate) cache: &'a Cache,
}

/// Why a pod fits nowhere.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct FitError {
    nodes: usize,
    reasons: BTreeMap<String, usize>,
    resolvable: usize,
}

impl FitError {
    /// Upstream's `FailedScheduling` message.
    pub(crate) fn message(&self) -> String {
        if self.nodes == 0 {
            return "no nodes available to schedule pods".into();
        }
        let mut reasons: Vec<String> =
            self.reasons.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        reasons.sort();
        let mut preemption = Vec::new();
        if self.resolvable > 0 {
            preemption
                .push(format!("{} No preemption victims found for incoming pod", self.resolvable));
        }
        if self.nodes > self.resolvable {
            preemption.push(format!(
                "{} Preemption is not helpful for scheduling",
                self.nodes - self.resolvable
            ));
        }
        preemption.sort();
        format!(
            "0/{n} nodes are available: {}. no new claims to deallocate, preemption: 0/{n} nodes are available: {}.",
            reasons.join(", "),
            preemption.join(", "),
            n = self.nodes,
        )
    }
}

/// The node for a pod.
pub(crate) fn schedule(pod: &PodInfo, cache: &Cache) -> Result<String, FitError> {
    let cycle = Cycle { pod, cache };
    let mut error = FitError { nodes: 0, reasons: BTreeMap::new(), resolvable: 0 };
    let mut feasible: Vec<&NodeInfo> = Vec::new();
    for node in cache.nodes() {
        error.nodes += 1;
        let rejection = PLUGINS.iter().find_map(|plugin| {
            let rejection = plugin.filter?(&cycle, node).err()?;
            Some((plugin.name, rejection))
        });
        match rejection {
            None => feasible.push(node),
            Some((plugin, rejection)) => {
                tracing::debug!(pod = %pod.key.name, node = node.name(), plugin, "filtered out");
                error.resolvable += usize::from(rejection.resolvable);
                for reason in rejection.reasons {
                    *error.reasons.entry(reason).or_default() += 1;
                }
            }
        }
    }
    match feasible.as_slice() {
        [] => Err(error),
        [only] => Ok(only.name().to_owned()),
        nodes => Ok(best(&cycle, nodes)),
    }
}

/// The name of the node with the highest sum; one at random among equals.
fn best(cycle: &Cycle<'_>, nodes: &[&NodeInfo]) -> String {
    let mut totals = vec![0i64; nodes.len()];
    for score in PLUGINS.iter().filter_map(|plugin| plugin.score.as_ref()) {
        let mut scores: Vec<i64> = nodes.iter().map(|node| (score.of)(cycle, node)).collect();
        normalize(&mut scores, score.normalize);
        for (total, score_of_node) in totals.iter_mut().zip(scores) {
            *total += score_of_node * score.weight;
        }
    }
    let top = totals.iter().max().copied().unwrap_or(0);
    let ties: Vec<usize> = (0..nodes.len()).filter(|i| totals[*i] == top).collect();
    nodes[ties[rand::rng().random_range(0..ties.len())]].name().to_owned()
}

fn normalize(scores: &mut [i64], how: Normalize) {
    if how == Normalize::Already {
        return;
    }
    let max = scores.iter().max().copied().unwrap_or(0);
    for score in scores {
        let share = if max == 0 { 0 } else { *score * MAX_SCORE / max };
        *score = if how == Normalize::Reverse { MAX_SCORE - share } else { share };
    }
}

#[cfg(test)]
mod tests;

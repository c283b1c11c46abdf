//! Scores, 0 to 100 for each node.

use rand::RngExt;

use super::Cycle;
use crate::cache::NodeInfo;
use crate::plugins::PLUGINS;

/// The best score of a plugin for a node.
pub(crate) const MAX_SCORE: i64 = 100;

/// How a plugin ranks nodes.
pub(crate) struct Score {
    pub(crate) weight: i64,
    /// 0 to 100 for each node, in their order; none where the plugin has no opinion.
    pub(crate) of: fn(&Cycle<'_>, &[&NodeInfo]) -> Option<Vec<i64>>,
}

/// A score for each node by itself.
pub(crate) fn each(nodes: &[&NodeInfo], of: impl Fn(&NodeInfo) -> i64) -> Option<Vec<i64>> {
    Some(nodes.iter().map(|node| of(node)).collect())
}

/// The largest becomes 100.
pub(crate) fn by_largest(mut scores: Vec<i64>) -> Option<Vec<i64>> {
    let max = scores.iter().max().copied().unwrap_or(0);
    if max == 0 {
        return None;
    }
    scores.iter_mut().for_each(|score| *score = *score * MAX_SCORE / max);
    Some(scores)
}

/// The largest becomes 0: the scores count what speaks against a node.
pub(crate) fn against(scores: Vec<i64>) -> Option<Vec<i64>> {
    let mut scores = by_largest(scores)?;
    scores.iter_mut().for_each(|score| *score = MAX_SCORE - *score);
    Some(scores)
}

/// The node with the highest sum; one at random among equals.
pub(super) fn best<'a>(cycle: &Cycle<'a>, nodes: &[&'a NodeInfo]) -> &'a NodeInfo {
    let mut totals = vec![0i64; nodes.len()];
    for score in PLUGINS.iter().filter_map(|plugin| plugin.score.as_ref()) {
        let scores = (score.of)(cycle, nodes).unwrap_or_default();
        for (total, score_of_node) in totals.iter_mut().zip(scores) {
            *total += score_of_node * score.weight;
        }
    }
    let top = totals.iter().max().copied().unwrap_or(0);
    let ties: Vec<usize> = (0..nodes.len()).filter(|i| totals[*i] == top).collect();
    nodes[ties[rand::rng().random_range(0..ties.len())]]
}

//! NodeResourcesBalancedAllocation: CPU and memory are better used up evenly.

use crate::cache::NodeInfo;
use crate::framework::{Cycle, MAX_SCORE, Normalize, Plugin, Score};

pub(super) const PLUGIN: Plugin = Plugin {
    name: "NodeResourcesBalancedAllocation",
    filter: None,
    score: Some(Score { weight: 1, of: score, normalize: Normalize::Already }),
};

/// Used and allocatable CPU and memory of the node, were the pod on it.
pub(super) fn after(cycle: &Cycle<'_>, node: &NodeInfo) -> ((i64, i64), (i64, i64)) {
    let (cpu, memory) = cycle.pod.scored;
    (
        (node.scored.0 + cpu, node.allocatable.get("cpu")),
        (node.scored.1 + memory, node.allocatable.get("memory")),
    )
}

/// 100 less the standard deviation of the used shares, which for two is half their distance.
fn score(cycle: &Cycle<'_>, node: &NodeInfo) -> i64 {
    let (cpu, memory) = after(cycle, node);
    let share = |(used, has): (i64, i64)| {
        if has == 0 { 1.0 } else { (used as f64 / has as f64).min(1.0) }
    };
    let deviation = (share(cpu) - share(memory)).abs() / 2.0;
    ((1.0 - deviation) * MAX_SCORE as f64) as i64
}

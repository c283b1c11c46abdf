//! NodeResourcesBalancedAllocation: CPU and memory are better used up evenly.

use crate::cache::NodeInfo;
use crate::framework::score::each;
use crate::framework::{Cycle, MAX_SCORE, Plugin, Score};

pub(super) const PLUGIN: Plugin = Plugin {
    score: Some(Score { weight: 1, of: score }),
    ..Plugin::named("NodeResourcesBalancedAllocation")
};

/// 100 less the standard deviation of the used shares, which for two is half their distance. Has no
/// opinion on pods that ask for neither.
fn score(cycle: &Cycle<'_>, nodes: &[&NodeInfo]) -> Option<Vec<i64>> {
    let requests = &cycle.pod.requests;
    if requests.get("cpu") == 0 && requests.get("memory") == 0 {
        return None;
    }
    each(nodes, |node| {
        let share = |name| {
            let used = node.requested.get(name).saturating_add(requests.get(name));
            let has = node.allocatable.get(name);
            (has != 0).then(|| (used as f64 / has as f64).min(1.0))
        };
        let distance = share("cpu").zip(share("memory")).map_or(0.0, |(a, b)| (a - b).abs());
        ((1.0 - distance / 2.0) * MAX_SCORE as f64) as i64
    })
}

//! NodeResourcesFit: enough of everything is left; the emptier node is better.

use crate::cache::NodeInfo;
use crate::framework::{Cycle, MAX_SCORE, Normalize, Plugin, Rejection, Score};

pub(super) const PLUGIN: Plugin = Plugin {
    name: "NodeResourcesFit",
    filter: Some(filter),
    score: Some(Score { weight: 1, of: least_allocated, normalize: Normalize::Already }),
};

fn filter(cycle: &Cycle<'_>, node: &NodeInfo) -> Result<(), Rejection> {
    let mut reasons = Vec::new();
    let mut never = false;
    if node.pods.len() as i64 + 1 > node.allocatable.get("pods") {
        reasons.push("Too many pods".to_owned());
    }
    for (name, wanted) in &cycle.pod.requests.0 {
        let has = node.allocatable.get(name);
        if *wanted > 0 && *wanted > has - node.requested.get(name) {
            reasons.push(format!("Insufficient {name}"));
            never |= *wanted > has;
        }
    }
    match (reasons.is_empty(), never) {
        (true, _) => Ok(()),
        (false, true) => Err(Rejection::unresolvable(reasons)),
        (false, false) => Err(Rejection::resolvable(reasons)),
    }
}

/// The mean of the free shares of CPU and memory.
fn least_allocated(cycle: &Cycle<'_>, node: &NodeInfo) -> i64 {
    let (cpu, memory) = super::resources_balanced::after(cycle, node);
    let free = |(used, has): (i64, i64)| {
        if has == 0 || used > has { 0 } else { (has - used) * MAX_SCORE / has }
    };
    (free(cpu) + free(memory)) / 2
}

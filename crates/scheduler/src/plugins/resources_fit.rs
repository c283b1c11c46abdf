//! NodeResourcesFit: enough of everything is left; the emptier node is better.

use crate::cache::NodeInfo;
use crate::change::Change;
use crate::framework::score::each;
use crate::framework::{Cycle, MAX_SCORE, Plugin, PluginSet, Rejection, Score};
use crate::pod::PodInfo;
use crate::resources::Amounts;
use k8s_openapi::api::core::v1::Pod;
use rules::resources::PodResources;

pub(super) const PLUGIN: Plugin = Plugin {
    filter: Some(filter),
    score: Some(Score { weight: 1, of: |cycle, nodes| each(nodes, |node| free(cycle, node)) }),
    helps,
    ..Plugin::named("NodeResourcesFit")
};

fn filter(cycle: &Cycle<'_>, node: &NodeInfo) -> Result<(), Rejection> {
    let mut reasons = Vec::new();
    let mut resolvable = true;
    if node.pods.len() as i64 + 1 > node.allocatable.get("pods") {
        reasons.push("Too many pods".into());
    }
    for (name, wanted) in &cycle.pod.requests.0 {
        let has = node.allocatable.get(name);
        if *wanted > 0 && *wanted > has.saturating_sub(node.requested.get(name)) {
            reasons.push(format!("Insufficient {name}").into());
            resolvable &= *wanted <= has;
        }
    }
    if reasons.is_empty() {
        return Ok(());
    }
    Err(Rejection { reasons, resolvable, by: PluginSet::default() })
}

/// The mean of the free shares of CPU and memory, were the pod on the node.
fn free(cycle: &Cycle<'_>, node: &NodeInfo) -> i64 {
    let share = |name, used, wanted| {
        let (has, taken) = (node.allocatable.get(name), i64::saturating_add(used, wanted));
        match has {
            0 => None,
            has if taken > has => Some(0),
            has => Some(((has - taken) as f64 * MAX_SCORE as f64 / has as f64) as i64),
        }
    };
    let (cpu, memory) = cycle.pod.scored;
    let shares = [share("cpu", node.scored.0, cpu), share("memory", node.scored.1, memory)];
    let count = shares.iter().flatten().count() as i64;
    shares.iter().flatten().sum::<i64>() / count.max(1)
}

fn asked(pod: &Pod) -> Amounts {
    (&PodResources::of(pod).requests()).into()
}

fn helps(pod: &PodInfo, change: &Change) -> bool {
    if change.departed_pod().is_some() {
        return true;
    }
    if let Some((old, new)) = change.changed_pod() {
        let (before, now) = (asked(old), asked(new));
        return pod.requests.0.iter().any(|(n, wanted)| *wanted > 0 && now.get(n) < before.get(n));
    }
    change.node_with_new(|node| node.status.as_ref()?.allocatable.as_ref())
}

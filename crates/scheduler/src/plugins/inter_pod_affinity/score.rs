//! Nodes near pods that attract, or are attracted, are better; near pods that repel, worse.

use std::collections::HashMap;

use super::{has_preferences, preferences};
use crate::cache::NodeInfo;
use crate::framework::{Cycle, MAX_SCORE};

pub(super) fn score(cycle: &Cycle<'_>, nodes: &[&NodeInfo]) -> Option<Vec<i64>> {
    let (pod, cluster) = (cycle.pod, cycle.cluster);
    let groups = &cluster.cache.groups;
    let opinion = |other| {
        let sums = preferences(pod, other, cluster);
        (!sums.is_empty()).then_some(sums)
    };
    let opinions = if has_preferences(pod) {
        groups.table(groups.all(), opinion)
    } else {
        groups.table(groups.choosy(), opinion)
    }?;
    let mut places: HashMap<&str, HashMap<&str, i64>> = HashMap::new();
    for node in cluster.cache.nodes() {
        for group in &node.groups {
            for (key, weight) in opinions.get(group.group).into_iter().flatten().flatten() {
                if let Some(value) = node.label(key) {
                    let sum = places.entry(key).or_default().entry(value).or_default();
                    *sum += weight * group.pods;
                }
            }
        }
    }
    let sum = |node: &&NodeInfo| -> i64 {
        let at = |(key, sums): (&&str, &HashMap<&str, i64>)| sums.get(node.label(key)?).copied();
        places.iter().filter_map(at).sum()
    };
    let sums: Vec<i64> = nodes.iter().map(sum).collect();
    let (min, max) = (*sums.iter().min()?, *sums.iter().max()?);
    (max > min).then(|| sums.iter().map(|sum| MAX_SCORE * (sum - min) / (max - min)).collect())
}

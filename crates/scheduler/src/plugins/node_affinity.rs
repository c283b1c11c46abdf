//! NodeAffinity: nodeSelector, required and preferred node affinity.

use k8s_openapi::api::core::v1::NodeAffinity;

use super::selector;
use crate::cache::NodeInfo;
use crate::framework::{Cycle, Normalize, Plugin, Rejection, Score};

pub(super) const PLUGIN: Plugin = Plugin {
    name: "NodeAffinity",
    filter: Some(filter),
    score: Some(Score { weight: 2, of: score, normalize: Normalize::Max }),
};

fn affinity<'a>(cycle: &Cycle<'a>) -> Option<&'a NodeAffinity> {
    cycle.pod.pod.spec.as_ref()?.affinity.as_ref()?.node_affinity.as_ref()
}

fn filter(cycle: &Cycle<'_>, node: &NodeInfo) -> Result<(), Rejection> {
    let wanted = cycle.pod.pod.spec.as_ref().and_then(|s| s.node_selector.as_ref());
    let has = |(key, value): (&String, &String)| {
        node.labels().and_then(|l| l.get(key)).is_some_and(|own| own == value)
    };
    let selected = wanted.is_none_or(|labels| labels.iter().all(has));
    let required = affinity(cycle)
        .and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref());
    let attracted = required
        .is_none_or(|r| r.node_selector_terms.iter().any(|term| selector::matches(term, node)));
    if selected && attracted {
        return Ok(());
    }
    Err(Rejection::unresolvable(vec!["node(s) didn't match Pod's node affinity/selector".into()]))
}

fn score(cycle: &Cycle<'_>, node: &NodeInfo) -> i64 {
    let preferred = affinity(cycle)
        .and_then(|a| a.preferred_during_scheduling_ignored_during_execution.as_ref());
    let terms = preferred.into_iter().flatten();
    terms.filter(|t| selector::matches(&t.preference, node)).map(|t| i64::from(t.weight)).sum()
}
